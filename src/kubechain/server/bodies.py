"""Request bodies -> objects: JSON, YAML or protobuf, with the strict report that `fieldValidation` asks for.

Called by `write` and `http`. Never stores.
"""

from __future__ import annotations

import msgspec

from kubechain.errors import BadRequest, UnsupportedMediaType
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.server import protobuf, strict
from kubechain.server.call import Call
from kubechain.server.query import Validation
from kubechain.server.status import JSON

PROTOBUF = "application/vnd.kubernetes.protobuf"
YAML = "application/yaml"
_FORMATS = f"{JSON}, {YAML}, {PROTOBUF}"


def media_type(call: Call) -> str:
    """The Content-Type without parameters; JSON where the client does not say."""
    return call.request.headers.get("content-type", "").split(";", 1)[0].strip().lower() or JSON


def unsupported(accepted: str) -> UnsupportedMediaType:
    """The refusal of a body in a format that is not accepted here."""
    return UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    )


async def object_in(call: Call, validation: Validation) -> JsonObject:
    """The object in the body of a POST or PUT. Raises BadRequest, UnsupportedMediaType, TooLarge."""
    body = await call.body()
    media, kind = media_type(call), call.target.served.kind
    if media == PROTOBUF:
        return protobuf.decode(body)
    if media not in (JSON, YAML):
        raise unsupported(_FORMATS)
    obj, faults = strict.decode(body, kind, as_yaml=media == YAML)
    report(call, validation, faults)
    return obj


async def plain_in(call: Call) -> JsonObject:
    """The body of a request that is not stored (delete options, a review), {} where there is none."""
    body = await call.body()
    if not body:
        return {}
    media = media_type(call)
    if media == PROTOBUF:
        return protobuf.decode(body)
    if media not in (JSON, YAML):
        raise unsupported(_FORMATS)
    value = json_value(body) if media == JSON else yaml_value(body)
    if not isinstance(value, dict):
        raise BadRequest("the body of the request is not an object")
    return value


def report(call: Call, validation: Validation, faults: list[str]) -> None:
    """What strict decoding found: a refusal, warnings in the answer, or nothing. Raises BadRequest."""
    if validation == "Strict" and faults:
        raise strict.refusal(call.target.served.kind, faults)
    if validation == "Warn":
        call.warnings.extend(faults)


def json_value(body: bytes, repeated: list[str] | None = None) -> JsonValue:
    """Any JSON document; members that come twice are reported in `repeated`. Raises BadRequest."""
    try:
        return strict.parse(body, [] if repeated is None else repeated)
    except ValueError as error:
        raise BadRequest(f"the body of the request is not JSON: {error}") from None


def yaml_value(body: bytes) -> JsonValue:
    """Any YAML document. Raises BadRequest."""
    try:
        value: JsonValue = msgspec.json.decode(body)
        return value
    except msgspec.DecodeError:
        pass
    import yaml  # kubectl sends JSON under this name: only people with curl pay for it

    try:
        loaded: JsonValue = yaml.load(body, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise BadRequest(f"error converting YAML to JSON: {error}") from None
    return loaded
