"""Request bodies -> objects: JSON, YAML or protobuf, with the strict report that `fieldValidation` asks for.

Called by `write` and `http`. Never stores.
"""

from __future__ import annotations

import msgspec

from kubechain.errors import ApiError, BadRequest, UnsupportedMediaType
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.server import protobuf, strict
from kubechain.server.call import Call
from kubechain.server.query import Validation

PROTOBUF = "application/vnd.kubernetes.protobuf"
YAML = "application/yaml"
_FORMATS = f"application/json, {YAML}, {PROTOBUF}"


def media_type(call: Call) -> str:
    """The Content-Type without parameters; JSON where the client does not say."""
    return call.request.headers.get("content-type", "").split(";", 1)[0].strip().lower() or "application/json"


def unsupported(accepted: str) -> UnsupportedMediaType:
    """The refusal of a body in a format that is not accepted here."""
    return UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    )


async def object_in(call: Call, validation: Validation) -> JsonObject:
    """The object in the body of a POST or PUT. Raises BadRequest, UnsupportedMediaType, TooLarge."""
    body = await call.body()
    match media_type(call):
        case "application/json":
            obj, faults = strict.decode(body, call.target.served.kind)
        case "application/yaml":
            obj, faults = strict.decode(msgspec.json.encode(yaml_value(body)), call.target.served.kind)
        case "application/vnd.kubernetes.protobuf":
            return protobuf.decode(body)
        case _:
            raise unsupported(_FORMATS)
    report(call, validation, faults)
    return obj


async def plain_in(call: Call) -> JsonObject:
    """The body of a request that is not stored (delete options, a review), {} where there is none."""
    body = await call.body()
    if not body:
        return {}
    match media_type(call):
        case "application/vnd.kubernetes.protobuf":
            return protobuf.decode(body)
        case "application/yaml":
            value = yaml_value(body)
        case "application/json":
            value = json_value(body)
        case _:
            raise unsupported(_FORMATS)
    if not isinstance(value, dict):
        raise BadRequest("the body of the request is not an object")
    return value


def report(call: Call, validation: Validation, faults: list[str]) -> None:
    """What strict decoding found: a refusal, warnings in the answer, or nothing. Raises BadRequest."""
    if validation == "Strict" and faults:
        raise strict_refusal(call, faults)
    if validation == "Warn":
        call.warnings.extend(faults)


def strict_refusal(call: Call, faults: list[str]) -> ApiError:
    """The refusal of a body with unknown or duplicate fields."""
    kind = call.target.served.kind
    return BadRequest(
        f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
        f"strict decoding error: {', '.join(faults)}"
    )


def json_value(body: bytes) -> JsonValue:
    """Any JSON document. Raises BadRequest."""
    try:
        value: JsonValue = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise BadRequest(f"the body of the request is not JSON: {error}") from None
    return value


def yaml_value(body: bytes) -> JsonValue:
    """Any YAML document. Raises BadRequest."""
    try:
        value: JsonValue = msgspec.json.decode(body)
        return value
    except msgspec.DecodeError:
        pass
    import yaml  # kubectl sends JSON under this name: only people with curl pay for it

    try:
        return yaml.load(body, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise BadRequest(f"error converting YAML to JSON: {error}") from None
