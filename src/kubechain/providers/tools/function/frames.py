"""The messages between KubeChain and a tool process: JSON, each after its length in 4 bytes, big-endian.

Both ends use it. The messages have their own socket, so what a function prints cannot get between them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct

MAX_FRAME_BYTES = 64 * 1024 * 1024
_LENGTH = 4


class Inspect(Struct, tag=True, frozen=True):
    """Asks for a function's signature."""

    id: int
    entrypoint: str


class Invoke(Struct, tag=True, frozen=True):
    """Asks for a function's result; `arguments` is a JSON document, `hidden` names the variables with secret
    values."""

    id: int
    entrypoint: str
    arguments: str
    idempotency_key: str = ""
    hidden: frozenset[str] = frozenset()


class Cancel(Struct, tag=True, frozen=True):
    """Cancels a call."""

    id: int


Request = Inspect | Invoke | Cancel


class Described(Struct, tag=True, frozen=True):
    """A function's signature. `stale`: its files have changed on disk since this process loaded them."""

    id: int
    description: str
    parameters: Raw
    stale: bool = False


class Returned(Struct, tag=True, frozen=True):
    """A function's result as text."""

    id: int
    text: str


class Failed(Struct, tag=True, frozen=True):
    """What a function raised, or why its arguments do not fit."""

    id: int
    message: str


class Unusable(Struct, tag=True, frozen=True):
    """There is no such function, or none that can be a tool; `reason` is a CamelCase word, `stale` as above."""

    id: int
    reason: str
    message: str
    stale: bool = False


class Printed(Struct, tag=True, frozen=True):
    """A line that was printed for a request that is being answered."""

    id: int
    line: str


Reply = Described | Returned | Failed | Unusable | Printed

_requests = msgspec.json.Decoder(Request)
_replies = msgspec.json.Decoder(Reply)


def frame(message: Request | Reply) -> bytes:
    """A message, encoded for the socket."""
    body = msgspec.json.encode(message)
    return len(body).to_bytes(_LENGTH) + body


def read_request(connection: socket.socket) -> Request | None:
    """Waits for the next request, and reads no further. None when the socket is closed."""
    try:
        body = _exactly(connection, int.from_bytes(_exactly(connection, _LENGTH)))
    except ConnectionError:
        return None
    request: Request = _requests.decode(body)
    return request


def _exactly(connection: socket.socket, size: int) -> bytearray:
    """Reads exactly `size` bytes. Raises ConnectionError if the other end closes first."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        if not (count := connection.recv_into(view)):
            raise ConnectionResetError
        view = view[count:]
    return data


class Replies(asyncio.Protocol):
    """KubeChain's end: passes every reply to `on_reply`; `ended` is set when there will be no more."""

    def __init__(self, on_reply: Callable[[Reply], None]) -> None:
        self.ended = asyncio.Event()
        self._on_reply = on_reply
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        begin = 0
        while len(data) - begin >= _LENGTH:
            end = begin + _LENGTH + int.from_bytes(data[begin : begin + _LENGTH])
            if end - begin > MAX_FRAME_BYTES:
                self._transport.close()
                return
            if end > len(data):
                break
            try:
                reply = _replies.decode(memoryview(data)[begin + _LENGTH : end])
            except msgspec.DecodeError:
                self._transport.close()
                return
            self._on_reply(reply)
            begin = end
        self._rest = data[begin:]

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set()
