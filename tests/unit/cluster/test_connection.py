"""What goes over the wire, seen from a server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from kubechain.cluster.connection import Unreachable
from kubechain.cluster.credentials import Credentials, Fixed, Identity, TokenFile
from kubechain.cluster.http import opened
from kubechain.cluster.remote import RemoteApi
from kubechain.cluster.target import Target
from kubechain.errors import InternalError, Unauthorized
from kubechain.resources.model import ObjectMeta
from kubechain.resources.task import TASKS, Task, TaskSpec
from kubechain.runtime.api import Change

pytestmark = pytest.mark.timeout(30)
STORED = TASKS.encode(
    Task(
        metadata=ObjectMeta(name="t", namespace="n", resource_version="1"),
        spec=TaskSpec(agent="a", user_message="x\u0085y\u2028z"),
    )
)


class Server:
    """Answers every request with the bytes that `answer(request)` gives; b"" breaks the connection.

    `once`: it also breaks after an answer.
    """

    def __init__(self, answer: Callable[[str], bytes], *, once: bool = False) -> None:
        self._once = once
        self.requests: list[str] = []
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                text = head.decode()
                for line in text.lower().splitlines():
                    if line.startswith("content-length:"):
                        await reader.readexactly(int(line.split(":")[1]))
                self.requests.append(text)
                if not (answer := self._answer(text)):
                    break
                writer.write(answer)
                await writer.drain()
                if self._once:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def connected(server: Server, credentials: Credentials | None = None) -> AsyncIterator[RemoteApi]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    target = Target(f"http://{host}:{port}", credentials or Fixed(Identity("first")))
    try:
        async with opened(target) as connection:
            yield RemoteApi(connection, target)
    finally:
        listening.close()
        await listening.wait_closed()


async def test_a_write_over_a_kept_connection_that_breaks_is_sent_once() -> None:
    server = Server(lambda request: http(STORED) if len(server.requests) < 2 else b"")
    async with connected(server) as api:
        task = TASKS.decode(STORED)
        await api.put_status(TASKS, task)
        with pytest.raises(Unreachable, match="no answer from http://127"):
            await api.put_status(TASKS, task)
    assert [r.split()[0] for r in server.requests] == ["PUT", "PUT"]


async def test_a_read_over_a_kept_connection_that_breaks_is_sent_again() -> None:
    server = Server(lambda request: b"" if len(server.requests) == 2 else http(STORED))
    async with connected(server) as api:
        for _ in range(2):
            assert (await api.get(TASKS, "t", "n")).metadata.name == "t"
    assert len(server.requests) == 3


async def test_nobody_there_is_an_error_of_the_api_that_is_retried() -> None:
    async with opened(Target("http://127.0.0.1:1", Fixed(Identity()))) as connection:
        with pytest.raises(Unreachable, match=r"no answer from http://127\.0\.0\.1:1 to GET") as caught:
            await RemoteApi(connection, Target("http://127.0.0.1:1", Fixed(Identity()))).get(TASKS, "t", "n")
    assert isinstance(caught.value, InternalError)


async def test_a_refused_token_is_looked_up_anew_and_the_request_sent_again(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")

    def answer(request: str) -> bytes:
        if "Bearer second" in request:
            return http(STORED)
        token.write_text("second")
        return http(b"no", "401 Unauthorized")

    server = Server(answer)
    async with connected(server, TokenFile(token)) as api:
        await api.put(TASKS, TASKS.decode(STORED))
        await api.put(TASKS, TASKS.decode(STORED))
    assert [("second" in r) for r in server.requests] == [False, True, True]


async def test_a_token_that_stays_refused_is_sent_once() -> None:
    server = Server(lambda request: http(b"no", "401 Unauthorized"))
    async with connected(server) as api:
        with pytest.raises(Unauthorized):
            await api.get(TASKS, "t", "n")
    assert len(server.requests) == 1


async def test_a_watch_survives_strange_line_ends_and_megabytes_and_ends_when_it_is_cut() -> None:
    big = TASKS.decode(STORED)
    big.spec.user_message = "\u2028" * 1_000_000
    lines = [b'{"type":"ADDED","object":%s}\n' % document for document in (STORED, TASKS.encode(big))]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = head + b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in lines)

    server = Server(lambda request: sent, once=True)
    async with connected(server) as api, aclosing(api.watch(TASKS, "n")) as events:
        seen = [event.object.spec.user_message async for event in events if isinstance(event, Change)]
    assert seen == ["x\u0085y\u2028z", big.spec.user_message]


async def test_dates_of_a_kind_that_does_not_fit_are_told_and_not_hidden() -> None:
    server = Server(lambda request: http(b'{"metadata":{"name":"t"}}'))
    async with connected(server) as api:
        with pytest.raises(msgspec.ValidationError):
            await api.get(TASKS, "t", "n")
