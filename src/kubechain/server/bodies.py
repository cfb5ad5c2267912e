"""Request bodies -> objects: JSON, YAML or protobuf, with the strict report that `fieldValidation` asks for.

Called by `write` and `http`. Never stores.
"""

from __future__ import annotations

from kubechain.errors import BadRequest, UnsupportedMediaType
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.yamlscalars import NotYaml
from kubechain.server import protobuf, strict
from kubechain.server.jsontext import TOO_DEEP, NotJson, parse
from kubechain.server.manifest import load
from kubechain.server.messages import messages
from kubechain.server.query import Validation
from kubechain.server.scope import MAX_BODY, RequestScope
from kubechain.server.status import JSON, YAML
from kubechain.server.typed import Mistyped, read

PROTOBUF = "application/vnd.kubernetes.protobuf"
_FORMATS = f"{JSON}, {YAML}, {PROTOBUF}"


def media_type(scope: RequestScope) -> str:
    """The Content-Type without parameters; JSON if the client does not send one."""
    return scope.request.headers.get("content-type", "").split(";", 1)[0].strip().lower() or JSON


def unsupported(accepted: str) -> UnsupportedMediaType:
    """The refusal of a body in a format that is not accepted here."""
    return UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    )


def weight(media: str, body: bytes) -> int:
    """How much work a body is, in bytes: a short YAML document or JSON patch may expand to much more."""
    return MAX_BODY if "yaml" in media or "json-patch" in media else len(body)


async def object_in(scope: RequestScope, validation: Validation) -> tuple[JsonObject, int]:
    """The object in the body of a POST or PUT, and its weight.

    Raises BadRequest, UnsupportedMediaType, TooLarge.
    """
    body = await scope.body()
    media, kind = media_type(scope), scope.target.served.kind
    size = weight(media, body)
    if media == PROTOBUF:
        return await scope.work(size, protobuf.decode, body), size
    if media not in (JSON, YAML):
        raise unsupported(_FORMATS)
    obj, faults = await scope.work(size, strict.decode, body, kind, as_yaml=media == YAML)
    report(scope, validation, faults)
    return obj, size


async def plain_in(scope: RequestScope, sort: str = "") -> JsonObject:
    """The body of a request that is not stored, {} where there is none; raises BadRequest.

    `sort` is DeleteOptions, or nothing for what the address takes: a review, a request for a token.
    """
    body = await scope.body()
    if not body:
        return {}
    media = media_type(scope)
    if media not in (JSON, YAML, PROTOBUF):
        raise unsupported(_FORMATS)
    below = scope.target.subresource
    expected = sort or (below.kind if below else "") or scope.target.served.kind.kind
    return await scope.work(weight(media, body), _plain, media, body, expected, blamed=not sort)


def _plain(media: str, body: bytes, expected: str, *, blamed: bool) -> JsonObject:
    """`blamed`: what is no object is refused with the kind that was expected."""
    try:
        value: JsonValue
        value = (
            protobuf.decode(body) if media == PROTOBUF else parse(body, []) if media == JSON else yaml_value(body)
        )
    except ValueError as error:
        text = body[:30].decode(errors="replace")
        blame = f"the object provided is unrecognized (must be of type {expected}): "
        raise BadRequest(f"{blame}{error} ({text})" if blamed else str(error)) from None
    if not isinstance(value, dict):
        raise BadRequest("the body of the request is not an object")
    given = value.get("kind")
    if blamed and given not in (None, "", expected):
        version = str(value.get("apiVersion") or "").rpartition("/")[2]
        raise BadRequest(f'{given} in version "{version}" cannot be handled as a {expected}')
    message = messages().get(expected)
    try:
        return value if message is None or given not in (None, "", expected) else read(message, value, [])
    except Mistyped as error:
        raise BadRequest(f"the body cannot be handled as a {expected}: {error}") from None


def report(scope: RequestScope, validation: Validation, faults: list[str]) -> None:
    """What strict decoding found: a refusal, warnings in the answer, or nothing. Raises BadRequest."""
    if validation == "Strict" and faults:
        raise strict.refusal(scope.target.served.kind, faults)
    if validation == "Warn":
        scope.warnings.extend(faults)


def yaml_value(body: bytes, blame: str = "error converting YAML to JSON") -> JsonValue:
    """Any YAML document. Raises BadRequest."""
    try:
        return parse(body, [])  # kubectl sends JSON under this name
    except NotJson as error:
        if error.fault == TOO_DEEP:
            raise BadRequest(f"{blame}: {TOO_DEEP}") from None
    try:
        return load(body, [])
    except NotYaml as error:
        raise BadRequest(f"{blame}: {error}") from None
