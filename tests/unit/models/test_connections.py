"""Requests and answers byte by byte, over real sockets: what a model server is sent, and what it may answer."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kubechain.agents.ports.model import Reply
from kubechain.errors import Terminal, Transient
from kubechain.providers.models.connections import LONGEST_BODY, USER_AGENT
from kubechain.providers.models.router import Models
from kubechain.server import tls
from tests.unit.models.world import KEY, endpoint, user

pytestmark = pytest.mark.timeout(30)
Speaker = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BODY = b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'


def answer(body: bytes = BODY, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def request(reader: asyncio.StreamReader) -> bytes:
    """One request, head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head + await reader.readexactly(length)


@asynccontextmanager
async def speaking(speak: Speaker, secure: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a server that speaks so on each connection."""
    failed: list[BaseException] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await speak(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:
            failed.append(error)
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=secure, limit=2**20)
    try:
        yield f"{'https' if secure else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
    assert not failed


async def ask(models: Models, url: str, **parameters: object) -> Reply:
    async with asyncio.timeout(10):
        return await models.ask(endpoint(url, **parameters), [user("x")], [])  # type: ignore[arg-type]


async def refused(models: Models, url: str, **parameters: object) -> Transient:
    with pytest.raises(Transient) as caught:
        await ask(models, url, **parameters)
    return caught.value


def replying(*bytes_: bytes) -> Speaker:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        for piece in bytes_:
            writer.write(piece)
            await writer.drain()

    return speak


async def test_a_request_is_sent_whole_with_its_own_headers(models: Models) -> None:
    sent: list[bytes] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent.append(await request(reader))
        writer.write(answer())

    async with speaking(speak) as url:
        await ask(models, url + "/a b?api-version=1", headers=(("X-Team", "café"), ("User-Agent", "ours")))
    head, _, body = sent[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    named = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert first == "POST /v1/a%20b/chat/completions?api-version=1 HTTP/1.1"
    assert len(named) == len(lines)
    assert named["host"] == url.removeprefix("http://").removesuffix("/v1")
    assert (named["authorization"], named["x-team"], named["user-agent"]) == (f"Bearer {KEY}", "café", "ours")
    assert (named["content-length"], named["content-type"]) == (str(len(body)), "application/json")


async def test_without_a_key_the_credentials_of_the_url_are_sent(models: Models) -> None:
    sent: list[bytes] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent.append(await request(reader))
        writer.write(answer())

    async with speaking(speak) as url:
        await ask(models, url.replace("//", "//ann:pass@"), key="", provider="ollama")
        with pytest.raises(Terminal):
            await ask(models, url.replace("//", "//ann:pass@"))
    assert b"\r\nauthorization: basic yw5uonbhc3m=\r\n" in sent[0].lower()
    assert f"\r\nuser-agent: {USER_AGENT}\r\n".encode() in sent[0].lower()
    assert len(sent) == 1


async def test_an_answer_may_be_announced_packed_and_cut_into_pieces(models: Models) -> None:
    packed = answer(gzip.compress(BODY), "content-encoding: gzip")
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    until_the_end = b"HTTP/1.1 200 OK\r\n\r\n" + BODY
    for said in ([early + packed], [early, packed], [chunked], [until_the_end], [bytes([b]) for b in answer()]):
        async with speaking(replying(*said)) as url:
            assert (await ask(models, url)).message.content == "hi"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_no_http_is_unreadable(models: Models, stream: bool) -> None:
    async with speaking(replying(b"SSH-2.0-OpenSSH_9.2\r\n")) as url:
        unread = await refused(models, url, stream=stream)
    assert (unread.reason, "not HTTP" in str(unread)) == ("UnreadableReply", True)


async def test_a_body_without_an_end_is_given_up(models: Models) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b" " * 2**20)
            await writer.drain()

    async with speaking(speak) as url:
        assert str(LONGEST_BODY) in str(await refused(models, url))


async def test_the_patience_of_a_whole_reply_is_for_all_of_it(models: Models) -> None:
    gone = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        end = asyncio.create_task(reader.read())
        while not end.done():
            writer.write(b" ")
            await asyncio.wait([end], timeout=0.01)
        gone.set()

    async with speaking(drip) as url:
        late = await refused(models, url, timeout="100ms")
        assert late.reason == "Timeout"
        async with asyncio.timeout(10):
            await gone.wait()


async def test_a_connection_that_the_server_closed_is_not_used_again(models: Models) -> None:
    connections = 0
    closed = asyncio.Event()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await request(reader)
        writer.write(answer())
        writer.write_eof()
        assert await reader.read() == b""
        closed.set()

    async with speaking(once) as url:
        for _ in range(2):
            closed.clear()
            assert (await ask(models, url)).message.content == "hi"
            async with asyncio.timeout(10):
                await closed.wait()
    assert connections == 2


async def test_a_request_on_a_connection_that_breaks_is_sent_once(models: Models) -> None:
    """Nobody knows whether it was answered elsewhere and paid for: the run's own bounded tries decide."""
    requests = 0

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await request(reader)
        writer.write(answer())
        await request(reader)
        requests += 1

    async with speaking(swallow) as url:
        await ask(models, url)
        broken = await refused(models, url)
    assert (broken.reason, requests) == ("Unreachable", 1)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"])
async def test_a_call_that_is_cancelled_at_any_point_closes_its_connection(models: Models, begun: bytes) -> None:
    there, gone = asyncio.Event(), asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(begun)
        await writer.drain()
        there.set()
        assert await reader.read() == b""
        gone.set()

    async with speaking(speak) as url, asyncio.timeout(10):
        asking = asyncio.create_task(models.ask(endpoint(url), [user("x")], []))
        await there.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await gone.wait()


async def test_a_server_that_nobody_vouches_for_gets_no_request(models: Models, tmp_path: Path) -> None:
    files = tls.ensure(tmp_path, lambda: datetime.now(UTC))
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(files.certificate, files.private_key)
    async with speaking(replying(answer()), secure) as url:
        distrusted = await refused(models, url)
    assert (distrusted.reason, "certificate verify failed" in str(distrusted)) == ("Unreachable", True)
