"""The codec of botocore over the committed models, for a comparison.

requests: prints, for each operation, what a client sends and with which members.
answers:  reads lines {service, operation, status, headers, body}, and prints what
          a client understands of each.

Blobs are {"$blob": base64}, timestamps {"$time": seconds}.
"""
import base64, datetime, json, os, sys
from urllib.parse import urlencode
from botocore import compat, model, parsers, serialize

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "..", "apis")
MOMENT = datetime.datetime(2026, 11, 30, 10, 17, 5, tzinfo=datetime.timezone.utc)


def sample(shape, depth, seed):
    kind = shape.type_name
    if kind == "structure":
        # A structure without members is not on the wire of every protocol: the
        # deepest ones have scalars alone.
        return {name: sample(member, depth + 1, seed + i) for i, (name, member) in enumerate(sorted(shape.members.items()))
                if not getattr(member, "is_eventstream", False) and (depth < 5 or member.type_name not in ("structure", "list", "map"))}
    if kind == "list":
        return [sample(shape.member, depth + 1, seed), sample(shape.member, depth + 1, seed + 1)]
    if kind == "map":
        return {"k%d" % seed: sample(shape.value, depth + 1, seed), "other": sample(shape.value, depth + 1, seed + 1)}
    if kind == "string":
        return shape.enum[seed % len(shape.enum)] if shape.enum else "v %d/é&<" % seed
    if kind == "character":
        return "c"
    if kind in ("integer", "long"):
        return seed
    if kind in ("float", "double"):
        return seed + 0.5
    if kind == "boolean":
        return seed % 2 == 0
    if kind == "blob":
        return b"bytes %d" % seed
    if kind == "timestamp":
        return MOMENT
    raise ValueError(kind)


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (bytes, bytearray)):
        return {"$blob": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, datetime.datetime):
        return {"$time": value.timestamp()}
    if hasattr(value, "read"):
        return {"$blob": base64.b64encode(value.read()).decode()}
    return value


def services():
    for name in sorted(os.listdir(FOLDER)):
        if not name.endswith(".json"):
            continue
        with open(os.path.join(FOLDER, name)) as f:
            text = json.load(f)
        protocols = [text["metadata"]["protocol"]]
        if name == "monitoring.json":
            text["metadata"].update(targetPrefix="GraniteServiceVersion20100801", jsonVersion="1.0")
            protocols += ["json", "smithy-rpc-v2-cbor"]
        yield name[:-5], text, protocols


def requests():
    for name, text, protocols in services():
        service = model.ServiceModel(text, name)
        for protocol in protocols:
            if protocol not in serialize.SERIALIZERS:
                continue  # an older botocore
            serializer = serialize.create_serializer(protocol, include_validation=False)
            for operation in service.operation_names:
                op = service.operation_model(operation)
                params = sample(op.input_shape, 0, 1) if op.input_shape else {}
                try:
                    r = serializer.serialize_to_request(params, op)
                except Exception as e:
                    print(json.dumps({"service": name, "operation": operation, "protocol": protocol, "skip": repr(e)}))
                    continue
                body = r["body"]
                if isinstance(body, dict):
                    body = urlencode(body).encode()
                elif isinstance(body, str):
                    body = body.encode()
                path = r["url_path"]
                if r.get("query_string"):
                    path += ("&" if "?" in path else "?") + urlencode(r["query_string"], doseq=True)
                print(json.dumps({
                    "service": name, "operation": operation, "protocol": protocol, "signing": text["metadata"].get("signingName") or text["metadata"]["endpointPrefix"],
                    "method": r["method"], "path": path, "headers": {k: v for k, v in r["headers"].items()},
                    "body": base64.b64encode(body or b"").decode(), "params": plain(params),
                }))


def answers():
    models = {name: (model.ServiceModel(text, name)) for name, text, _ in services()}
    for line in sys.stdin:
        a = json.loads(line)
        if a["protocol"] not in parsers.PROTOCOL_PARSERS:
            print("null")  # an older botocore
            continue
        parser = parsers.create_parser(a["protocol"])
        op = models[a["service"]].operation_model(a["operation"])
        got = parser.parse({"headers": compat.HTTPHeaders.from_dict(a["headers"]), "status_code": a["status"], "body": base64.b64decode(a["body"]), "context": {"operation_name": a["operation"]}}, op.output_shape)
        got.pop("ResponseMetadata", None)
        print(json.dumps(plain(got)))


{"requests": requests, "answers": answers}[sys.argv[1]]()
