"""Calls one function for an experiment, or checks many. Reads a question on stdin,
writes the answer to descriptor 3."""
import importlib
import inspect
import json
import os
import sys

sys.path.insert(0, os.getcwd())
question = json.load(sys.stdin)
answer = os.fdopen(3, "w")


def function(module, name):
    return getattr(importlib.import_module(module), name)


def problem(wanted):
    try:
        found = function(wanted["module"], wanted["func"])
    except ImportError as x:
        return "the module %s cannot be imported: %s" % (wanted["module"], x)
    except AttributeError:
        return "the module %s has no function %s" % (wanted["module"], wanted["func"])
    except Exception as x:
        return "the module %s cannot be imported: %r" % (wanted["module"], x)
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return ""
    if any(p.kind == p.VAR_KEYWORD for p in parameters):
        known = None
    else:
        known = {p.name for p in parameters}
    for p in parameters:
        if (p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
                and p.name not in wanted["arguments"] and p.name not in ("configuration", "secrets")):
            return "%s.%s needs the argument %s" % (wanted["module"], wanted["func"], p.name)
    if known is not None:
        for name in wanted["arguments"]:
            if name not in known:
                return "%s.%s takes no argument %s" % (wanted["module"], wanted["func"], name)
    return ""


def call():
    found = function(question["module"], question["func"])
    arguments = dict(question.get("arguments") or {})
    try:
        names = inspect.signature(found).parameters
    except (TypeError, ValueError):
        names = {}
    for name in ("configuration", "secrets"):
        if name in names and name not in arguments:
            arguments[name] = question.get(name) or {}
    return found(**arguments)


if "check" in question:
    result = {"problems": [problem(w) for w in question["check"]]}
else:
    try:
        result = {"output": call()}
    except BaseException as x:
        result = {"failed": "%s: %s" % (type(x).__name__, x)}
json.dump(result, answer, default=str)
answer.flush()
