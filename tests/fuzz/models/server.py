"""A model server over a bare socket that answers as a Delivery says, and counts who asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import TracebackType
from typing import Self

from tests.fuzz.models.delivery import Delivery


class Server:
    """`async with Server() as server`; `answer` is the delivery of the next requests."""

    def __init__(self) -> None:
        self.answer: Delivery | None = None
        self.asked: Counter[str] = Counter()
        """Requests by the first part of their path."""
        self.last = b""
        """The body of the last request."""

    def url(self, name: str) -> str:
        """An address whose requests are counted as `name`."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/{name}/v1"

    def choose(self, name: str) -> Delivery:
        """What the request is answered with whose address is `url(name)`."""
        assert self.answer is not None
        return self.answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
                self.last = await reader.readexactly(length)
                if head.startswith(b"GET"):
                    writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                    continue
                name = head.split(b"/", 2)[1].decode()
                self.asked[name] += 1
                if not await self._say(self.choose(name), reader, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _say(self, answer: Delivery, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open."""
        empty = answer.status == 204
        lines = [f"HTTP/1.1 {answer.status} Whatever", *([] if empty else ["transfer-encoding: chunked"])]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        if empty:
            return True
        for chunk in answer.chunks:
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        match answer.end:
            case "clean":
                writer.write(b"0\r\n\r\n")
                return True
            case "abort":
                await writer.drain()
                return False
            case "silence" | "comments":
                gone = asyncio.create_task(reader.read(1))
                try:
                    while not gone.done() and not writer.is_closing():
                        if answer.end == "comments":
                            writer.write(b"e\r\n: keep-alive\n\n\r\n")
                        await asyncio.wait([gone], timeout=0.01)
                finally:
                    gone.cancel()
                    await asyncio.gather(gone, return_exceptions=True)
                return False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**22)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
