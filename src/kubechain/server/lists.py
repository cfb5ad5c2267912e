"""Long lists: built in slices, so that others are answered meanwhile, and sent as fast as the client reads.

Called by `read` and `write` for collections. Holds the stored documents as they are; joins them while it sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

import msgspec
from msgspec import Struct
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kubechain.server import pretty
from kubechain.server.scope import RequestScope
from kubechain.server.status import JSON, YAML, as_yaml

SLICE = 64 * 1024
"""Bytes of documents between two looks at what else there is to do, and bytes of an answer sent at once."""


class Listing(Struct, frozen=True):
    """A JSON object whose last member is a list: what stands before its items, the items, what stands after."""

    head: bytes
    items: Sequence[bytes]
    tail: bytes = b"]}"

    def whole(self) -> bytes:
        return b"".join((self.head, b",".join(self.items), self.tail))

    def pieces(self) -> Iterator[bytes]:
        """The same in pieces of some length."""
        held, size = [self.head], len(self.head)
        for at, item in enumerate(self.items):
            held += [b",", item] if at else [item]
            size += len(item) + 1
            if size > SLICE:
                yield b"".join(held)
                held, size = [], 0
        yield b"".join([*held, self.tail])

    def __len__(self) -> int:
        commas = max(0, len(self.items) - 1)
        return len(self.head) + sum(map(len, self.items)) + commas + len(self.tail)


async def each(documents: Sequence[bytes], change: Callable[[bytes], bytes]) -> list[bytes]:
    """The documents, changed one after the other."""
    out, since = [], 0
    for document in documents:
        out.append(change(document))
        since += len(document)
        if since > SLICE:
            await asyncio.sleep(0)
            since = 0
    return out


async def answer(scope: RequestScope, listing: Listing, *, yaml: bool = False) -> Response:
    """The answer that is a list, in JSON, indented JSON or YAML."""
    if yaml:
        return scope.warned(Response(await scope.work(len(listing), _as_yaml, listing), media_type=YAML))
    if pretty.wanted(scope.request):
        return scope.warned(Response(await scope.work(len(listing), _indented, listing), media_type=JSON))
    return scope.warned(Pieces(listing))


def _as_yaml(listing: Listing) -> str:
    return as_yaml(msgspec.json.decode(listing.whole()))


def _indented(listing: Listing) -> bytes:
    return pretty.indented(listing.whole())


class Pieces(Response):
    """A listing that is being sent."""

    media_type = JSON

    def __init__(self, listing: Listing) -> None:
        super().__init__()
        self._listing = listing
        self.headers["content-length"] = str(len(listing))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        for piece in self._listing.pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
