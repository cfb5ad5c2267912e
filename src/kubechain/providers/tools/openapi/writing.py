"""The request of an operation: each argument where it belongs, written by its style. Pure.

Styles are those of OpenAPI: an array of 1 and 2 named `id` in a query is `id=1&id=2` (form, the default), `id=1,2`
(form that does not explode), `id=1%202` (spaceDelimited) or `id=1%7C2` (pipeDelimited).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Raw
from yarl import URL

from kubechain.agents.ports.tool import ToolError
from kubechain.errors import Terminal
from kubechain.providers.tools.http.arguments import ACCEPT, given, pairs, text_of
from kubechain.providers.tools.http.template import template
from kubechain.providers.tools.openapi.operations import FORM, Operation, Parameter
from kubechain.providers.tools.openapi.security import Credentials
from kubechain.providers.web.credentials import check_header
from kubechain.providers.web.reading import is_json
from kubechain.providers.web.requests import Request
from kubechain.resources.json import JsonValue

_BETWEEN = {"form": ",", "simple": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C"}
_RESERVED = ":/?[]@!$'()*,;"


def request_of(operation: Operation, arguments: bytes, credentials: Credentials, key: str) -> Request:
    """`key` is the idempotency key of the call. Raises ToolError."""
    found = given(arguments)
    sent = [(p, msgspec.json.decode(found[p.argument])) for p in operation.sent if p.argument in found]
    values = {p.name: (p, value) for p, value in sent if p.where == "path"}
    url = template(operation.url).filled(lambda name: _in_path(name, values.get(name)))
    query = [part for p, value in sent if p.where == "query" and value is not None for part in _in_query(p, value)]
    query += [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in credentials.query]
    if query:
        url = URL(f"{url}{'&' if '?' in str(url) else '?'}{'&'.join(query)}", encoded=True)
    private = {
        p.name.lower(): _in_header(p, value) for p, value in sent if p.where == "header" and value is not None
    }
    cookies = [c for p, value in sent if p.where == "cookie" and value is not None for c in _in_query(p, value)]
    cookies += [f"{name}={value}" for name, value in credentials.cookies]
    if cookies:
        private["cookie"] = "; ".join(cookies)
    if operation.method not in ("GET", "HEAD", "OPTIONS", "TRACE"):
        private.setdefault("idempotency-key", key)
    _check(private)
    common, body = _body(operation, found)
    return Request(operation.method, url, common, {**private, **credentials.headers}, body)


def _check(headers: Mapping[str, str]) -> None:
    """The values come from a model."""
    for name, value in headers.items():
        try:
            check_header(name, value)
        except Terminal as error:
            raise ToolError(f'the argument for header "{name}" cannot be sent in a header') from error


def _body(operation: Operation, found: Mapping[str, Raw]) -> tuple[Mapping[str, str], bytes | None]:
    body = operation.body
    if body is None or body.argument not in found:
        return {"accept": ACCEPT}, None
    raw = bytes(found[body.argument])
    if is_json(body.media.lower()):
        content = raw
    elif body.media.lower() == FORM:
        content = urlencode(list(pairs(given(raw)))).encode()
    else:
        content = text_of(msgspec.json.decode(raw)).encode()
    return {"accept": ACCEPT, "content-type": body.media}, content


def _in_path(name: str, found: tuple[Parameter, JsonValue] | None) -> str:
    if found is None or found[1] is None or found[1] in ("", [], {}):
        raise ToolError(f'the argument "{name}" is part of the address and cannot be empty')
    parameter, value = found
    if parameter.as_json:
        return _text(parameter, msgspec.json.encode(value).decode())
    match parameter.style:
        case "label":
            between = "." if parameter.explode else ","
            return "." + between.join(_flat(parameter, value, "=" if parameter.explode else between))
        case "matrix" if parameter.explode and isinstance(value, dict):
            return "".join(f";{pair}" for pair in _flat(parameter, value, "="))
        case "matrix" if parameter.explode and isinstance(value, list):
            return "".join(f";{name}={_text(parameter, one)}" for one in value)
        case "matrix":
            return f";{name}=" + ",".join(_flat(parameter, value, ","))
        case _:
            return ",".join(_flat(parameter, value, "=" if parameter.explode else ","))


def _in_query(parameter: Parameter, value: JsonValue) -> Iterator[str]:
    """Pairs for a query, or for a Cookie header."""
    name = quote(parameter.name, safe="[]")
    if parameter.as_json:
        yield f"{name}={_text(parameter, msgspec.json.encode(value).decode())}"
    elif isinstance(value, dict) and parameter.style == "deepObject":
        for member, one in value.items():
            for single in one if isinstance(one, list) else [one]:
                yield f"{name}[{quote(member, safe='')}]={_text(parameter, single)}"
    elif isinstance(value, dict) and parameter.explode:
        yield from (f"{quote(member, safe='')}={_text(parameter, one)}" for member, one in value.items())
    elif isinstance(value, list) and parameter.explode and parameter.style == "form":
        yield from (f"{name}={_text(parameter, one)}" for one in value)
    elif value not in ([], {}):
        between = _BETWEEN.get(parameter.style, ",")
        yield f"{name}={between.join(_flat(parameter, value, between))}"


def _in_header(parameter: Parameter, value: JsonValue) -> str:
    if parameter.as_json:
        return msgspec.json.encode(value).decode()
    if isinstance(value, dict):
        return ",".join(f"{m}{'=' if parameter.explode else ','}{text_of(one)}" for m, one in value.items())
    return ",".join(map(text_of, value)) if isinstance(value, list) else text_of(value)


def _flat(parameter: Parameter, value: JsonValue, between: str) -> list[str]:
    """The texts of a value; those of an object are its members, `between` name and value."""
    if isinstance(value, dict):
        return [f"{quote(m, safe='')}{between}{_text(parameter, one)}" for m, one in value.items()]
    return [_text(parameter, one) for one in (value if isinstance(value, list) else [value])]


def _text(parameter: Parameter, value: JsonValue) -> str:
    return quote(text_of(value), safe=_RESERVED if parameter.reserved else "")
