"""Servers on loopback that note what they are asked, and a DNS server whose answers change."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """A server at `url`; `seen` has the requests, oldest first."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.seen: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.url = ""
        self.port = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.Request)
        self.seen.append(request)
        self.bodies.append(await request.read())
        return await self._handler(request)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Site]:
    """A server while the context is open."""
    site = Site(handler)
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", site.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        place = web.TCPSite(runner, "127.0.0.1", 0)
        await place.start()
        site.port = runner.addresses[0][1]
        site.url = f"http://127.0.0.1:{site.port}"
        yield site
    finally:
        await runner.cleanup()


def saying(text: str, status: int = 200, **headers: str) -> Handler:
    """The same answer to everybody."""

    async def handler(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(text=text, status=status, headers=named)

    return handler


class NameServer(asyncio.DatagramProtocol):
    """A DNS server: the n-th question for an IPv4 address gets the n-th answer, those after the last the last."""

    def __init__(self, answers: Sequence[Sequence[str]]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5
        self.asked.append(data[12 : end - 5].decode("latin-1"))
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, len(addresses), 0, 0)
        records = [
            b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + ipaddress.IPv4Address(a).packed for a in addresses
        ]
        assert self._transport is not None
        self._transport.sendto(head + data[12:end] + b"".join(records), addr)


class _Question(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.answer.set_result(data)


class Asking(AbstractResolver):
    """A resolver that asks the DNS server at a port of this machine, every time."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        name = b"".join(bytes([len(part)]) + part.encode() for part in host.split(".")) + b"\0"
        question = secrets.token_bytes(2) + struct.pack(">HHHHH", 0x100, 1, 0, 0, 0) + name + b"\0\1\0\1"
        loop = asyncio.get_running_loop()
        transport, asked = await loop.create_datagram_endpoint(_Question, remote_addr=("127.0.0.1", self._port))
        try:
            transport.sendto(question)
            reply = await asked.answer
        finally:
            transport.close()
        count = struct.unpack(">H", reply[6:8])[0]
        found = [reply[len(reply) - 16 * (count - n) :][12:16] for n in range(count)]
        return [
            ResolveResult(
                hostname=host,
                host=str(ipaddress.IPv4Address(address)),
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        return None


@asynccontextmanager
async def naming(*answers: Sequence[str]) -> AsyncIterator[tuple[NameServer, Asking]]:
    """A DNS server and a resolver that asks it."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: NameServer(answers), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server, Asking(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()
