"""`Catalog`: the operations of the documents in use, each read once for each version of it.

`runner` asks for them. A document is read in a thread. One from an address is fetched when it is first needed,
when it is an hour old, and when its Tool is to be checked anew; a fetch that fails leaves the last one in use.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from yarl import URL

from kubechain.agents.ports.tool import Environment
from kubechain.errors import Terminal, Transient
from kubechain.providers.tools.openapi.document import LARGEST, Document, invalid, judged
from kubechain.providers.tools.openapi.operations import LeftOut, Operation, Place, operations
from kubechain.providers.tools.openapi.security import Scheme, schemes_of
from kubechain.providers.web.requests import Limits, Request, origin
from kubechain.providers.web.web import Web
from kubechain.resources.choice import chosen
from kubechain.resources.tool import Tool
from kubechain.resources.tool_openapi import OpenAPITool
from kubechain.resources.toolkind import CONFIG, CONFIG_VERSION

REFRESH = 3600.0
"""Seconds after which a document from an address is read again."""
PATIENCE = 30.0
_KEPT = 128
_ACCEPT = "application/json, application/yaml;q=0.9, text/yaml;q=0.9, */*;q=0.5"


class Contents(Struct, frozen=True):
    """What a Tool offers: its operations by name, what is left out and why, the security schemes."""

    title: str
    operations: Mapping[str, Operation]
    left_out: Sequence[LeftOut]
    schemes: Mapping[str, Scheme]


class _Fetched(Struct, frozen=True):
    """`until`: when it is fetched again, by the loop's clock."""

    url: str
    text: str
    etag: str
    until: float


class Catalog:
    """Keeps the contents of the documents used last."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._contents: OrderedDict[tuple[str, ...], Contents] = OrderedDict()
        self._fetched: dict[str, _Fetched] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def of(self, tool: Tool, openapi: OpenAPITool, env: Environment) -> Contents:
        """The contents of the Tool's document. Raises Terminal (DocumentInvalid, ...) or Transient."""
        version = env.get(CONFIG_VERSION) or await self._version(tool, openapi)
        key = (_owner(tool), version, openapi.server or "", *openapi.include, "", *openapi.exclude)
        found = self._contents.get(key)
        if found is None:
            text = env.get(CONFIG) or self._fetched[_owner(tool)].text
            found = await asyncio.to_thread(_contents, text, openapi)
            self._contents[key] = found
            while len(self._contents) > _KEPT:
                self._contents.popitem(last=False)
        self._contents.move_to_end(key)
        return found

    def due(self, tool: Tool) -> float | None:
        """When the document is to be read again, by the loop's clock."""
        fetched = self._fetched.get(_owner(tool))
        return None if fetched is None else fetched.until

    def forget(self, tool: Tool) -> None:
        """Reads the Tool's document anew when it is needed again."""
        self._fetched.pop(_owner(tool), None)
        self._locks.pop(_owner(tool), None)
        for key in [key for key in self._contents if key[0] == _owner(tool)]:
            del self._contents[key]

    async def _version(self, tool: Tool, openapi: OpenAPITool) -> str:
        """Fetches the document if that is due; what tells one version of it from another."""
        owner, now = _owner(tool), asyncio.get_running_loop().time
        async with self._locks.setdefault(owner, asyncio.Lock()):
            last = self._fetched.get(owner)
            if last is not None and last.url != openapi.document_from.url:
                last = None
            if last is None or now() >= last.until:
                last = await self._fetch(openapi, last, now)
                self._fetched[owner] = last
        return str(hash(last.text))

    async def _fetch(self, openapi: OpenAPITool, last: _Fetched | None, now: Callable[[], float]) -> _Fetched:
        address = openapi.document_from.url or ""
        url = URL(address)
        headers = {"accept": _ACCEPT, **({"if-none-match": last.etag} if last is not None and last.etag else {})}
        limits = Limits("spec.openapi", openapi.allow_private, PATIENCE)
        try:
            async with self._web.send(Request("GET", url, headers), limits) as answer:
                if answer.status == 304 and last is not None:
                    return _Fetched(address, last.text, last.etag, now() + REFRESH)
                if answer.status != 200:
                    raise _missing(url, answer.status)
                text = (await answer.whole(LARGEST)).decode()
                return _Fetched(address, text, answer.headers.get("etag", ""), now() + REFRESH)
        except UnicodeDecodeError as error:
            raise invalid("it is not UTF-8 text") from error
        except (Terminal, Transient):
            if last is None:
                raise
            return _Fetched(address, last.text, last.etag, now() + REFRESH)


def _missing(url: URL, status: int) -> Terminal | Transient:
    said = f"{origin(url)} answered {status} instead of the OpenAPI document"
    if status == 429 or status >= 500:
        return Transient(said, reason="DocumentNotFound")
    return Terminal(f"{said}; correct spec.openapi.documentFrom.url", reason="DocumentNotFound")


def _contents(text: str, openapi: OpenAPITool) -> Contents:
    document = judged(text)
    place = Place(openapi.server or "", openapi.document_from.url or "")
    found: dict[str, Operation] = {}
    left_out = []
    for one in operations(document, place):
        if not chosen(one.name, openapi.include, openapi.exclude):
            continue
        if isinstance(one, LeftOut):
            left_out.append(one)
        elif one.name in found:
            left_out.append(LeftOut(one.name, "another operation has the same name"))
        else:
            found[one.name] = one
    return Contents(_title(document), found, left_out, schemes_of(document))


def _title(document: Document) -> str:
    info = document.whole.get("info")
    title = info.get("title") if isinstance(info, dict) else None
    return title if isinstance(title, str) else "the document"


def _owner(tool: Tool) -> str:
    return f"{tool.metadata.namespace}/{tool.metadata.name}"
