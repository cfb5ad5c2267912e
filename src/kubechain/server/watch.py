"""WATCH: changes as lines of JSON, for as long as client, server and time allow.

Called by `http`. One connection, one generator of the port `Api`: a client that reads too slowly makes the
generator end, and resumes from the last version it saw. Never writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from starlette.types import Receive, Scope, Send

from kubechain.errors import ApiError
from kubechain.resources.json import JsonObject
from kubechain.runtime.api import Bookmark, Change, Key, ListOptions, WatchOptions
from kubechain.server import fixed
from kubechain.server.accept import Form, form_of
from kubechain.server.query import watch_options, watch_seconds
from kubechain.server.read import single
from kubechain.server.scope import RequestScope
from kubechain.server.status import status_of
from kubechain.server.table import row, table

Events = AsyncGenerator["Change[bytes] | Bookmark", None]
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-cache, private"),
]
_AHEAD = 64 * 1024
"""Bytes that may wait for a client before the next change is looked at."""


class Watch:
    """The answer to a watch request: an ASGI application. Bad parameters are refused when it is made."""

    def __init__(self, scope: RequestScope) -> None:
        self._call = scope
        self._form = form_of(scope.accept)
        self._options = watch_options(scope.query, scope.target)
        self._seconds = watch_seconds(scope.query)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        outbox = _Outbox(send)
        enders = [
            asyncio.ensure_future(self._pump(outbox)),
            asyncio.ensure_future(outbox.run()),
            asyncio.ensure_future(_disconnected(receive)),
            asyncio.ensure_future(self._call.stopping.wait()),
        ]
        try:
            done, _ = await asyncio.wait(enders, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for ender in enders:
                ender.cancel()
            await asyncio.gather(*enders, return_exceptions=True)
        for ender in done:
            ender.result()
        await outbox.empty()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, outbox: _Outbox) -> None:
        """Every change as one line; a refusal of the store is the last line."""
        first = True
        try:
            async with aclosing(self._events()) as events:
                async for event in events:
                    line = self._line(event, columns=first)
                    first = False
                    await outbox.put(line)
        except ApiError as error:
            await outbox.put(b'{"type":"ERROR","object":' + msgspec.json.encode(status_of(error)) + b"}\n")

    def _events(self) -> Events:
        target = self._call.target
        if target.served.fixed is not None:
            return _unchanging(self._call, self._options)
        return self._call.api.watch(target.served.stored, target.namespace, self._options)

    def _line(self, event: Change[bytes] | Bookmark, *, columns: bool) -> bytes:
        if isinstance(event, Bookmark):
            return b'{"type":"BOOKMARK","object":' + self._bookmark(event) + b"}\n"
        document = self._call.target.served.show(event.object)
        shown = single(self._call, self._form, document, columns=columns)
        return b'{"type":"' + event.type.encode() + b'","object":' + shown + b"}\n"

    def _bookmark(self, event: Bookmark) -> bytes:
        kind, form = self._call.target.served.kind, self._form
        metadata: JsonObject = {"resourceVersion": event.resource_version}
        if event.initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        if form.shape == "table":
            return self._empty_row(metadata)
        name, api_version = _name_in(form) or (kind.kind, kind.api_version)
        return msgspec.json.encode({"kind": name, "apiVersion": api_version, "metadata": metadata})

    def _empty_row(self, metadata: JsonObject) -> bytes:
        """A bookmark as a row of a table."""
        kind, version = self._call.target.served.kind, self._form.version
        about = msgspec.json.encode({"metadata": metadata})
        only = row(kind, about, self._call.settings.clock(), "Metadata", version)
        return table({"resourceVersion": metadata["resourceVersion"]}, None, [only], version).whole()


class _Outbox:
    """Lines on their way to the client. Those of one turn of the event loop, as of one commit, go as one piece."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lines: list[bytes] = []
        self._size = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def put(self, line: bytes) -> None:
        """Waits while a client that reads slowly has enough before it."""
        self._lines.append(line)
        self._size += len(line)
        self._news.set()
        if self._size > _AHEAD:
            self._room.clear()
            await self._room.wait()

    async def run(self) -> None:
        """Sends until cancelled."""
        while True:
            await self._news.wait()
            await self.empty()

    async def empty(self) -> None:
        """Sends what there is."""
        body = b"".join(self._lines)
        self._lines.clear()
        self._size = 0
        self._news.clear()
        if body:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
        self._room.set()


def _name_in(form: Form) -> tuple[str, str] | None:
    return ("PartialObjectMetadata", f"meta.k8s.io/{form.version}") if form.shape == "metadata" else None


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _unchanging(scope: RequestScope, options: WatchOptions) -> Events:
    """The events of a resource that never changes: its objects where they are asked for, then silence."""
    if options.initial_events or options.since in ("", "0"):
        page = fixed.page(scope.target.served, ListOptions(labels=options.labels, fields=options.fields))
        for document in page.items:
            name = msgspec.json.decode(document)["metadata"]["name"]
            yield Change("ADDED", Key("", name), fixed.VERSION, document)
    if options.initial_events:
        yield Bookmark(fixed.VERSION, initial_end=True)
    await asyncio.Event().wait()
