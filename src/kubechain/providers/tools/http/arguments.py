"""The request of an `http` tool, from the arguments of a call: what goes where, and how it is written. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Raw
from yarl import URL

from kubechain.agents.ports.tool import ToolError
from kubechain.providers.tools.http.template import template
from kubechain.providers.web.requests import Request
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.tool_http import WITHOUT_BODY, HTTPTool

ACCEPT = "application/json, text/*;q=0.9, */*;q=0.5"
Given = Mapping[str, Raw]
_GIVEN = msgspec.json.Decoder(dict[str, Raw])


def given(arguments: bytes) -> dict[str, Raw]:
    """The arguments by name, each as it was written. Raises ToolError."""
    try:
        return _GIVEN.decode(arguments)
    except msgspec.MsgspecError as error:
        raise ToolError(f"the arguments are not a JSON object: {error}") from error


def request_of(tool: HTTPTool, arguments: Given, headers: Mapping[str, str], key: str) -> Request:
    """`headers` go to the origin of the tool alone; `key` is its idempotency key. Raises ToolError."""
    address = template(tool.url)
    in_path, query, body = _places(tool, arguments)
    url = address.filled(lambda name: path_text(name, in_path.get(name)))
    if query:
        url = with_query(url, pairs(query))
    common, private = {"accept": ACCEPT}, dict(headers)
    if tool.method not in ("GET", "HEAD"):
        private.setdefault("idempotency-key", key)
    content = None
    if body or tool.method not in WITHOUT_BODY:
        common["content-type"], content = written(body, form=tool.encoding == "Form")
    return Request(tool.method, url, common, private, content)


def _places(tool: HTTPTool, arguments: Given) -> tuple[Given, Given, Given]:
    """Which arguments go into the path, the query and the body."""
    names = template(tool.url).names
    rest_in_query = tool.method in WITHOUT_BODY
    placed: tuple[dict[str, Raw], dict[str, Raw], dict[str, Raw]] = ({}, {}, {})
    for name, value in arguments.items():
        if name in names:
            placed[0][name] = value
        elif name in tool.query or (rest_in_query and name not in tool.body):
            placed[1][name] = value
        else:
            placed[2][name] = value
    return placed


def written(body: Given, *, form: bool) -> tuple[str, bytes]:
    """Media type and content of a body."""
    if form:
        return "application/x-www-form-urlencoded", urlencode(list(pairs(body))).encode()
    return "application/json", msgspec.json.encode(body)


def with_query(url: URL, more: Iterable[tuple[str, str]]) -> URL:
    """The address with further pairs at the end of its query."""
    text = urlencode(list(more))
    if not text:
        return url
    start = str(url)
    return URL(f"{start}{'&' if '?' in start else '?'}{text}", encoded=True)


def pairs(arguments: Given) -> Iterable[tuple[str, str]]:
    """Names and texts for a query or a form: an array repeats its name, null is left out."""
    for name, raw in arguments.items():
        value: JsonValue = msgspec.json.decode(raw)
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                yield name, text_of(one)


def path_text(name: str, raw: Raw | None) -> str:
    """An argument as it stands in a path, percent-encoded. Raises ToolError for an empty one."""
    value: JsonValue = None if raw is None else msgspec.json.decode(raw)
    texts = [] if value is None else [text_of(one) for one in (value if isinstance(value, list) else [value])]
    text = ",".join(quote(one, safe="") for one in texts)
    if not text:
        raise ToolError(f'the argument "{name}" is part of the address and cannot be empty')
    return text


def text_of(value: JsonValue) -> str:
    """A value as text: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def parameters_of(tool: HTTPTool) -> Raw:
    """A JSON Schema with the arguments that the manifest names, for one that has no `parameters`."""
    names = template(tool.url).names
    properties: JsonObject = {name: {"type": "string"} for name in names}
    properties |= {name: {} for name in (*tool.query, *tool.body) if name not in properties}
    schema: JsonObject = {"type": "object", "properties": properties}
    if names:
        schema["required"] = list(names)
    return Raw(msgspec.json.encode(schema))
