"""Loads a function and answers its requests through the Lambda Runtime API, as AWS's
runtime for Python does."""
import http.client
import importlib
import json
import logging
import os
import sys
import time
import traceback

BASE = "/2018-06-01/runtime/"
CURRENT = {"id": ""}


class Connection:
    def __init__(self, address):
        self.address, self.connection = address, None

    def ask(self, method, name, body=None, headers=None):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.address)
        try:
            self.connection.request(method, BASE + name, body=body, headers=headers or {})
            answer = self.connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (http.client.HTTPException, OSError):
            self.connection.close()
            self.connection = None
            raise


class Failure(Exception):
    def __init__(self, kind, message, trace=None):
        super().__init__(message)
        self.kind, self.message, self.trace = "Runtime." + kind, message, trace or []


class Identity:
    def __init__(self):
        self.cognito_identity_id = None
        self.cognito_identity_pool_id = None


class Client:
    pass


class ClientContext:
    def __init__(self, text):
        value = json.loads(text)
        self.custom = value.get("custom")
        self.env = value.get("env")
        self.client = None
        if value.get("client"):
            self.client = Client()
            for name in ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name"):
                setattr(self.client, name, value["client"].get(name))


class Context:
    def __init__(self, headers):
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.identity = Identity()
        client = headers.get("Lambda-Runtime-Client-Context")
        self.client_context = ClientContext(client) if client else None
        self._deadline = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self):
        return max(self._deadline - int(time.time() * 1000), 0)

    def log(self, message):
        sys.stdout.write(str(message))


class Formatter(logging.Formatter):
    converter = time.gmtime

    def format(self, record):
        record.aws_request_id = CURRENT["id"]
        return super().format(record)


class Handler(logging.Handler):
    def emit(self, record):
        sys.stdout.write(self.format(record).replace("\n", "\r") + "\n")


def frames(trace):
    """The stack below this program, in Lambda's form."""
    own = os.path.realpath(__file__)
    kept = [f for f in traceback.extract_tb(trace) if os.path.realpath(f.filename) != own and "importlib" not in f.filename]
    return traceback.format_list(kept)


def write_error(kind, message, trace):
    lines = ["[ERROR] %s: %s" % (kind, message) if kind else "[ERROR] %s" % message]
    if trace:
        lines.append("Traceback (most recent call last):")
        lines.extend(line.rstrip("\n") for line in trace)
    sys.stdout.write("\r".join(lines).replace("\n", "\r") + "\n")


def advice(error):
    """What AWS puts beside a function and this machine may not have."""
    if getattr(error, "name", None) in ("boto3", "botocore"):
        return " (AWS puts this SDK beside functions; here it has to be installed, pip install %s, or be in the zip file or a layer)" % error.name
    return ""


def load():
    named = os.environ.get("_HANDLER", "")
    try:
        module_name, function_name = named.rsplit(".", 1)
    except ValueError:
        raise Failure("MalformedHandlerName", "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % named)
    module_name = module_name.replace("/", ".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise Failure("ImportModuleError", "Unable to import module '%s': %s%s" % (module_name, error, advice(error)))
    except SyntaxError as error:
        raise Failure("UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, error),
                      ["  File \"%s\" Line %s\n    %s" % (error.filename, error.lineno, error.text)])
    function = getattr(module, function_name, None)
    if not callable(function):
        raise Failure("HandlerNotFound", "Handler '%s' missing on module '%s'" % (function_name, module_name))
    return function


def failure_of(error, trace):
    if isinstance(error, Failure):
        return error.kind, error.message, error.trace
    return type(error).__name__, str(error), frames(trace)


def report(connection, name, kind, message, trace, request=None):
    body = {"errorMessage": message, "errorType": kind, "requestId": request or "", "stackTrace": trace}
    connection.ask("POST", name, json.dumps(body), {"Content-Type": "application/json", "Lambda-Runtime-Function-Error-Type": kind})


def answer(handler, headers, body):
    event = json.loads(body.decode("utf-8"))
    result = handler(event, Context(headers))
    if isinstance(result, bytes):
        return result.decode("utf-8")
    try:
        return json.dumps(result, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise Failure("MarshalError", "Unable to marshal response: %s" % error)


def main():
    connection = Connection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    root = os.environ["LAMBDA_TASK_ROOT"]
    sys.path[0] = root
    os.chdir(root)
    output = Handler()
    output.setFormatter(Formatter("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S"))
    logging.getLogger().addHandler(output)
    try:
        handler = load()
    except Exception as error:  # the function's own code may raise anything
        kind, message, trace = failure_of(error, sys.exc_info()[2])
        write_error(kind, message, trace)
        report(connection, "init/error", kind, message, trace)
        sys.exit(1)
    while True:
        _, headers, body = connection.ask("GET", "invocation/next")
        request = CURRENT["id"] = headers["Lambda-Runtime-Aws-Request-Id"]
        os.environ["_X_AMZN_TRACE_ID"] = headers.get("Lambda-Runtime-Trace-Id") or ""
        try:
            text = answer(handler, headers, body)
        except Exception as error:  # as above
            kind, message, trace = failure_of(error, sys.exc_info()[2])
            write_error(kind, message, trace)
            report(connection, "invocation/%s/error" % request, kind, message, trace, request)
            continue
        connection.ask("POST", "invocation/%s/response" % request, text.encode("utf-8"), {"Content-Type": "application/json"})


if __name__ == "__main__":
    main()
