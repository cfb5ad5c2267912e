"""The operations of a document as tools: names, arguments, schemas, and where each argument goes. Pure.

`catalog` calls it once for each version of a document. An operation that cannot be called is left out, with the
reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal
from urllib.parse import urljoin

import msgspec
from msgspec import Raw, Struct

from kubechain.errors import Terminal
from kubechain.providers.tools.openapi.document import Document, invalid
from kubechain.providers.tools.openapi.schemas import Schemas
from kubechain.providers.web.reading import is_json
from kubechain.resources.effect import Effect
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.tool_http import EFFECTS

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
FORM = "application/x-www-form-urlencoded"
_STYLES = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}
_DESCRIPTION = 1_500
_FIXED = frozenset({"accept", "content-type", "authorization"})
"""Header parameters that the specification says are to be ignored."""
Where = Literal["path", "query", "header", "cookie"]


class Parameter(Struct, frozen=True):
    """`argument`: the name a model uses; `name`: the server's. `as_json`: written as one JSON text."""

    argument: str
    name: str
    where: Where
    style: str
    explode: bool
    reserved: bool = False
    as_json: bool = False


class Body(Struct, frozen=True):
    """The request body, which is one argument."""

    argument: str
    media: str
    required: bool


class Operation(Struct, frozen=True):
    """`url`: the server's address and the path, with {name}. `security`: alternatives, each scheme with scopes."""

    name: str
    method: str
    url: str
    description: str
    parameters: Raw
    effect: Effect
    sent: tuple[Parameter, ...] = ()
    body: Body | None = None
    security: tuple[Mapping[str, tuple[str, ...]], ...] = ()


class LeftOut(Struct, frozen=True):
    """An operation that cannot be called; `why` completes "it is left out because"."""

    name: str
    why: str


class _CannotBeCalled(Exception):
    """An operation is left out; its text says why."""


class Place(Struct, frozen=True):
    """`server`: the address that the manifest names, if any; `base`: where the document came from, if anywhere."""

    server: str = ""
    base: str = ""


def operations(document: Document, place: Place) -> Iterator[Operation | LeftOut]:
    """Every operation, in the order of the document. Raises Terminal (DocumentInvalid)."""
    paths = document.whole.get("paths")
    for path, item in paths.items() if isinstance(paths, dict) else ():
        node = document.resolved(item)
        for method in METHODS:
            if method in node:
                operation = document.resolved(node[method])
                name = _name(operation, method, path)
                try:
                    yield _operation(document, place, (name, method, path), node, operation)
                except _CannotBeCalled as error:
                    yield LeftOut(name, str(error))


def _name(operation: JsonObject, method: str, path: str) -> str:
    """Its operationId, or one made of method and path."""
    stated = operation.get("operationId")
    if isinstance(stated, str) and stated.strip():
        return stated.strip()
    return "_".join([method, *re.findall(r"[A-Za-z0-9]+", path)])


def _operation(
    document: Document, place: Place, known: tuple[str, str, str], item: JsonObject, operation: JsonObject
) -> Operation:
    name, method, path = known
    schemas, properties, required = Schemas(document), JsonObject(), list[JsonValue]()
    sent = []
    for node in _parameters(document, item, operation):
        parameter, schema = _parameter(node, schemas, properties)
        properties[parameter.argument] = schema
        if node.get("required") is True or parameter.where == "path":
            required.append(parameter.argument)
        sent.append(parameter)
    body = _body(document, operation, schemas, properties)
    if body is not None and body.required:
        required.append(body.argument)
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    if schemas.defs:
        schema["$defs"] = schemas.defs
    return Operation(
        name=name,
        method=method.upper(),
        url=_server(document, place, item, operation).rstrip("/") + path,
        description=_description(operation, method, path),
        parameters=Raw(msgspec.json.encode(schema)),
        effect=EFFECTS.get(method.upper(), "NonIdempotent"),
        sent=tuple(sent),
        body=body,
        security=_security(document, operation),
    )


def _parameters(document: Document, item: JsonObject, operation: JsonObject) -> Iterator[JsonObject]:
    """Those of the path with those of the operation over them."""
    found: dict[tuple[JsonValue, JsonValue], JsonObject] = {}
    for owner in (item, operation):
        listed = owner.get("parameters")
        for one in listed if isinstance(listed, list) else ():
            node = document.resolved(one)
            found[str(node.get("in")), str(node.get("name"))] = node
    for (where, name), node in found.items():
        if not (where == "header" and str(name).lower() in _FIXED):
            yield node


def _parameter(node: JsonObject, schemas: Schemas, taken: JsonObject) -> tuple[Parameter, JsonValue]:
    name, where = str(node["name"]), _where(node)
    content = node.get("content")
    media = next(iter(content), "") if isinstance(content, dict) else ""
    if media and not is_json(media):
        raise _CannotBeCalled(f'its parameter "{name}" is written as {media}')
    described = content[media] if isinstance(content, dict) and media else node
    schema = schemas.of(described.get("schema", {}) if isinstance(described, dict) else {})
    if (
        isinstance(schema, dict)
        and isinstance(said := node.get("description"), str)
        and "description" not in schema
    ):
        schema = {**schema, "description": said[:_DESCRIPTION]}
    style = str(node.get("style") or _STYLES[where])
    explode = node.get("explode")
    return (
        Parameter(
            argument=name if name not in taken else f"{where}_{name}",
            name=name,
            where=where,
            style=style,
            explode=explode if isinstance(explode, bool) else style == "form",
            reserved=node.get("allowReserved") is True,
            as_json=bool(media),
        ),
        schema,
    )


def _where(node: JsonObject) -> Where:
    match node.get("in"):
        case "path" | "query" | "header" | "cookie" as where:
            return where
        case other:
            raise _CannotBeCalled(f'its parameter "{node.get("name")}" is in "{other}", which is not known')


def _body(document: Document, operation: JsonObject, schemas: Schemas, properties: JsonObject) -> Body | None:
    if "requestBody" not in operation:
        return None
    node = document.resolved(operation["requestBody"])
    content = node.get("content")
    kinds = list(content) if isinstance(content, dict) else []
    media = next((m for m in kinds if is_json(m.lower())), None)
    media = media or next((m for m in kinds if m.lower() == FORM), None)
    media = media or next((m for m in kinds if m.lower().startswith("text/")), None)
    media = media or next((m for m in kinds if m == "*/*"), None)
    if media is None or not isinstance(content, dict):
        named = kinds[0] if kinds else "nothing that is named"
        what = "a file upload" if _is_upload(named) else "a body"
        raise _CannotBeCalled(f"it takes {what} ({named}), which tools cannot send")
    described = document.resolved(content[media])
    schema = schemas.of(described.get("schema", {}))
    if isinstance(said := node.get("description"), str) and isinstance(schema, dict):
        schema = {"description": said[:_DESCRIPTION], **schema}
    argument = next(n for n in ("body", "requestBody", "request_body") if n not in properties)
    properties[argument] = schema
    return Body(argument, "application/json" if media == "*/*" else media, node.get("required") is True)


def _is_upload(media: str) -> bool:
    kind = media.lower().partition("/")[0]
    return kind in ("multipart", "image", "audio", "video") or media.lower() == "application/octet-stream"


def _description(operation: JsonObject, method: str, path: str) -> str:
    said = [text.strip() for word in ("summary", "description") if isinstance(text := operation.get(word), str)]
    text = "\n\n".join(dict.fromkeys(text for text in said if text))
    return (text or f"{method.upper()} {path}")[:_DESCRIPTION]


def _server(document: Document, place: Place, item: JsonObject, operation: JsonObject) -> str:
    """The address of the operation's server: the manifest's, else the first of those that the document names."""
    named: JsonObject = {"url": "/"}
    for owner in (operation, item, document.whole):
        servers = owner.get("servers")
        if isinstance(servers, list) and servers and isinstance(servers[0], dict):
            named = servers[0]
            break
    url = _filled(place.server or str(named.get("url", "/")), named.get("variables"))
    whole = urljoin(place.base, url) if place.base else url
    if not whole.startswith(("http://", "https://")):
        raise Terminal(
            f'the OpenAPI document names the server "{whole[:200]}" without a host; set spec.openapi.server',
            reason="ServerUnknown",
        )
    return whole


def _filled(url: str, variables: JsonValue) -> str:
    """The address with the defaults of its variables in it."""
    for name in re.findall(r"\{([^{}]+)\}", url):
        variable = variables.get(name) if isinstance(variables, dict) else None
        default = variable.get("default") if isinstance(variable, dict) else None
        if not isinstance(default, str | int) or isinstance(default, bool):
            raise invalid(f"the server variable {name} has no default; set spec.openapi.server")
        url = url.replace(f"{{{name}}}", str(default))
    return url


def _security(document: Document, operation: JsonObject) -> tuple[Mapping[str, tuple[str, ...]], ...]:
    stated = operation.get("security", document.whole.get("security"))
    found = []
    for one in stated if isinstance(stated, list) else ():
        if isinstance(one, dict):
            scopes = {n: tuple(map(str, s)) if isinstance(s, list) else () for n, s in one.items()}
            found.append(scopes)
    return tuple(found)
