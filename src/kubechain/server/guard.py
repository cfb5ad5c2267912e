"""Limits what clients send on a connection of uvicorn before and after a request: head, time, unread bytes.

Imported by `embedding` when a server starts. It limits clients that are not
authenticated yet, whatever the path. Bodies are limited by `scope`, after authentication.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kubechain.errors import ApiError, BadRequest
from kubechain.server.status import JSON, refusal

MAX_HEAD = 64 * 1024
"""Bytes of a request's first line and headers, and of anything else between two pieces of its body."""
MAX_HEADERS = 500
MAX_UNREAD = 16 * 1024 * 1024
"""Bytes of a body that may still come after its request was answered; then the connection is closed."""
HEAD_SECONDS = 30.0
"""In which the head must have come, counted from its first byte, or from the connection's beginning."""


class HeaderTooLarge(ApiError):
    code, reason = 431, "RequestHeaderFieldsTooLarge"


async def _too_large(scope: Scope, receive: Receive, send: Send) -> None:
    answer = refusal(_head_too_large())
    answer.headers["connection"] = "close"
    await answer(scope, receive, send)


def _head_too_large() -> HeaderTooLarge:
    return HeaderTooLarge(
        f"the head of the request is too large: send at most {MAX_HEAD} bytes and {MAX_HEADERS} headers"
    )


class Guarded(HttpToolsProtocol):
    """One connection. `_idle` counts bytes since the parser made something of them that is kept elsewhere."""

    _idle = 0
    _unread = 0
    _in_head = False
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._idle += len(data)
        super().data_received(data)
        if self._idle > MAX_HEAD:
            self._close_with(_head_too_large())

    def send_400_response(self, msg: str) -> None:
        self._close_with(BadRequest(msg))

    def on_message_begin(self) -> None:
        self._idle = self._unread = 0
        self._in_head = True
        if self._deadline is None:
            self._wait_for_head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # what follows a body in pieces is read by nobody
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._idle, self._in_head = 0, False
        self._stop_waiting()
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD or len(self.headers) > MAX_HEADERS:
            self.app, self.url = _too_large, b"/"
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._idle = 0
        if self.cycle.response_complete:
            self._unread += len(body)
            if self._unread > MAX_UNREAD:
                self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._idle = 0
        super().on_message_complete()

    def _wait_for_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_with(self, error: ApiError) -> None:
        """Answers without the application, which has not seen the request, and closes the connection."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
            return
        answer = refusal(error)
        phrase = "Request Header Fields Too Large" if error.code == 431 else "Bad Request"
        lines: list[tuple[str, Any]] = [
            ("content-type", JSON), ("content-length", len(answer.body)), ("connection", "close")
        ]  # fmt: skip
        head = f"HTTP/1.1 {error.code} {phrase}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines)
        self.transport.write(head.encode() + b"\r\n" + bytes(answer.body))
        self.transport.close()
