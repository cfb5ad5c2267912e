"""Request bodies -> objects: JSON, YAML or protobuf, with the strict report that `fieldValidation` asks for.

Called by `write` and `http`. Never stores.
"""

from __future__ import annotations

import msgspec

from kubechain.errors import BadRequest, UnsupportedMediaType
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.server import protobuf, strict
from kubechain.server.call import Call
from kubechain.server.manifest import BadManifest, load
from kubechain.server.query import Validation
from kubechain.server.status import JSON, YAML

PROTOBUF = "application/vnd.kubernetes.protobuf"
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


async def plain_in(call: Call, *, bare: bool = False) -> JsonObject:
    """The body of a request that is not stored (delete options, a review), {} where there is none.

    `bare`: what is wrong with it is said without the kind that was expected. Raises BadRequest.
    """
    body = await call.body()
    if not body:
        return {}
    media = media_type(call)
    if media == PROTOBUF:
        return protobuf.decode(body)
    if media not in (JSON, YAML):
        raise unsupported(_FORMATS)
    try:
        value = strict.parse(body, []) if media == JSON else yaml_value(body)
    except ValueError as error:
        text = body[:30].decode(errors="replace")
        expected = f"the object provided is unrecognized (must be of type {call.target.served.kind.kind}): "
        raise BadRequest(str(error) if bare else f"{expected}{error} ({text})") from None
    if not isinstance(value, dict):
        raise BadRequest("the body of the request is not an object")
    return value


def report(call: Call, validation: Validation, faults: list[str]) -> None:
    """What strict decoding found: a refusal, warnings in the answer, or nothing. Raises BadRequest."""
    if validation == "Strict" and faults:
        raise strict.refusal(call.target.served.kind, faults)
    if validation == "Warn":
        call.warnings.extend(faults)


def yaml_value(body: bytes, blame: str = "error converting YAML to JSON") -> JsonValue:
    """Any YAML document. Raises BadRequest."""
    try:
        value: JsonValue = msgspec.json.decode(body)
        return value
    except msgspec.DecodeError:
        pass  # kubectl sends JSON under this name
    try:
        return load(body, [])
    except BadManifest as error:
        raise BadRequest(f"{blame}: {error}") from None
