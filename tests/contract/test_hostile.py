"""What the embedded server does with requests that want to stop it: a Status for them, and others are answered."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from kubechain.server import guard, scope
from tests.contract.test_server import AGENTS_URL, TABLE, Client, agent, http
from tests.world import PLAIN_TOKEN, TOKEN, World

__all__ = ["http"]
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
HEAD = b"GET /api HTTP/1.1\r\nHost: 127.0.0.1\r\n"
DEEP = {"application/json": "[" * 100_000, "application/yaml": "a: " + "[" * 1_000_000}


@dataclass
class Answer:
    code: int
    headers: str
    body: Any


@dataclass
class Wire:
    """One connection, byte for byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes) -> None:
        """Sends as much as the server takes."""
        try:
            for piece in pieces:
                self.writer.write(piece)
                await self.writer.drain()
        except ConnectionError:
            pass

    async def answer(self) -> Answer:
        """The next answer that has a length."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        return Answer(int(head.split(" ")[1]), head, json.loads(await self.reader.readexactly(length)))

    async def closed(self) -> bool:
        """Waits until the server has closed."""
        try:
            return not await self.reader.read()
        except ConnectionError:
            return True


@asynccontextmanager
async def connection(world: World) -> AsyncIterator[Wire]:
    at = urlsplit(world.server.url)
    context = ssl.create_default_context(cafile=str(world.ca))
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(at.hostname, at.port, ssl=context)
        try:
            yield Wire(reader, writer)
        finally:
            writer.transport.abort()


@pytest.fixture
async def wire(running: World) -> AsyncIterator[Wire]:
    async with connection(running) as made:
        yield made


def post(path: str, *headers: str, token: str = TOKEN) -> bytes:
    lines = ["POST " + path + " HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize("media", DEEP)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", REVIEWS), ("POST", CONFIG_MAPS), ("PUT", f"{AGENTS_URL}/a"), ("DELETE", f"{AGENTS_URL}/a")],
)
async def test_a_body_nested_without_end_is_a_bad_request(
    http: Client, method: str, path: str, media: str
) -> None:
    answer = await http(method, path, DEEP[media], content_type=media)
    assert (answer.code, answer.body["reason"]) == (400, "BadRequest")
    assert "exceeded max depth" in answer.body["message"]


@pytest.mark.parametrize("form", ["json-patch+json", "merge-patch+json", "apply-patch+yaml"])
async def test_a_patch_nested_without_end_is_a_bad_request(http: Client, form: str) -> None:
    await http("POST", AGENTS_URL, agent("a"))
    for body in DEEP.values():
        answer = await http("PATCH", f"{AGENTS_URL}/a?fieldManager=x", body, content_type=f"application/{form}")
        assert answer.code == 400
        assert answer.body["kind"] == "Status"


async def test_patches_that_nest_one_into_another_end_at_the_same_depth(http: Client) -> None:
    tool = {"apiVersion": "kubechain.humanlayer.dev/v1alpha1", "kind": "Tool", "metadata": {"name": "deep"}}
    url = AGENTS_URL.replace("agents", "tools")
    inner = '{"a":' * 150 + "1" + "}" * 150
    await http("POST", url, json.dumps({**tool, "spec": {"external": {}}}))
    path = "/spec/parameters" + "/a" * 149
    for place, code in (("/spec/parameters", 200), (path, 400)):
        patch = f'[{{"op":"add","path":"{place}","value":{inner}}}]'
        answer = await http("PATCH", f"{url}/deep", patch, content_type="application/json-patch+json")
        assert answer.code == code


async def test_a_few_aliases_of_yaml_are_not_built(http: Client) -> None:
    lines = ['a: &a ["x","x","x","x","x","x","x","x","x"]']
    lines += [f"{chr(97 + i)}: &{chr(97 + i)} [{','.join([f'*{chr(96 + i)}'] * 9)}]" for i in range(1, 12)]
    answer = await http("POST", REVIEWS, "\n".join(lines), content_type="application/yaml", token=PLAIN_TOKEN)
    assert answer.code == 400
    assert "excessive aliasing" in answer.body["message"]


async def _others(running: World, done: asyncio.Event) -> list[float]:
    """How long each of many small requests took while something else went on."""
    waits: list[float] = []
    loop = asyncio.get_running_loop()
    async with connection(running) as wire:
        while not done.is_set():
            since = loop.time()
            await wire.send(HEAD.replace(b"/api", b"/version") + b"\r\n")
            await wire.answer()
            waits.append(loop.time() - since)
    return waits


@pytest.mark.parametrize("what", ["patch", "yaml", "list"])
async def test_a_request_that_takes_long_holds_up_nobody(running: World, http: Client, what: str) -> None:
    many = agent("slow")
    many["spec"]["tools"] = [{"name": f"t{i}"} for i in range(10_000)]
    await http("POST", AGENTS_URL, many)
    if what == "list":
        for i in range(5):
            await http("POST", AGENTS_URL, {**many, "metadata": {"name": f"slow{i}"}})
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    since = loop.time()
    others = asyncio.ensure_future(_others(running, done))
    if what == "patch":
        operations = [{"op": "add", "path": "/spec/tools/0", "value": {"name": f"n{i}"}} for i in range(9_999)]
        url = f"{AGENTS_URL}/slow"
        answer = await http("PATCH", url, operations, content_type="application/json-patch+json")
    elif what == "yaml":
        body = "a: [" + "[]," * 300_000 + "]"
        answer = await http("POST", CONFIG_MAPS, body, content_type="application/yaml")
        assert answer.code == 422
    else:
        answer = await http("GET", AGENTS_URL, accept="application/yaml")
    assert answer.code in (200, 422)
    took = loop.time() - since
    done.set()
    waits = await others
    assert len(waits) > 5
    assert max(waits) < max(1.0, took / 2)  # held up, one of them takes as long as the request


@pytest.mark.parametrize(
    "rest",
    [b"X-A: " + b"v" * 5_000_000, b"".join(b"X-%d: v\r\n" % i for i in range(5_000)) + b"\r\n"],
    ids=["long", "many"],
)
async def test_a_head_that_is_too_large_is_refused_before_anyone_asks_who_it_is(wire: Wire, rest: bytes) -> None:
    pieces = [rest[at : at + 50_000] for at in range(0, len(rest), 50_000)]
    await asyncio.gather(wire.send(HEAD, *pieces), (asked := asyncio.ensure_future(wire.answer())))
    assert asked.result().code == 431
    assert asked.result().body["reason"] == "RequestHeaderFieldsTooLarge"
    assert await wire.closed()


async def test_a_long_url_is_refused_too(wire: Wire) -> None:
    await wire.send(b"GET /api?labelSelector=" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert (await wire.answer()).code == 431


@pytest.mark.parametrize("endless", [b"0\r\nX-A: ", b"5;"], ids=["trailer", "chunk extension"])
async def test_what_follows_a_body_in_pieces_has_the_same_bound(wire: Wire, endless: bytes) -> None:
    await wire.send(post(CONFIG_MAPS, "Transfer-Encoding: chunked"), endless, *[b"v" * 10_000] * 50)
    assert (await wire.answer()).code == 431
    assert await wire.closed()


async def test_what_is_no_http_is_answered_with_a_status(wire: Wire) -> None:
    await wire.send(b"\x16\x03 nothing\r\n\r\n")
    assert (await wire.answer()).body["reason"] == "BadRequest"


async def test_two_hosts_are_one_too_many(wire: Wire) -> None:
    await wire.send(HEAD + b"Host: localhost\r\n\r\n")
    assert (await wire.answer()).code == 400


async def test_a_body_in_pieces_without_end_is_too_large(wire: Wire) -> None:
    piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    asked = asyncio.ensure_future(wire.answer())
    await wire.send(post(CONFIG_MAPS, "Transfer-Encoding: chunked"), *[piece] * 400)
    assert (await asked).code == 413
    assert await wire.closed()


async def test_a_body_that_is_announced_too_large_is_not_waited_for(wire: Wire) -> None:
    for length in (10_000_000_000, 10**20):
        await wire.send(post(CONFIG_MAPS, f"Content-Length: {length}"))
        assert (await wire.answer()).code in (400, 413)
        break


async def test_who_sends_a_head_too_slowly_is_let_go(running: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "HEAD_SECONDS", 0.3)
    for begun in (b"", b"GET /ap", HEAD):
        async with connection(running) as wire:
            await wire.send(begun)
            assert await wire.closed()


async def test_who_sends_a_body_too_slowly_is_told(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope, "BODY_SECONDS", 0.3)
    await wire.send(post(CONFIG_MAPS, "Content-Length: 100"), b"{")
    assert (await wire.answer()).body["reason"] == "Timeout"


async def test_a_connection_is_used_for_one_request_after_the_other(wire: Wire) -> None:
    for _ in range(3):
        await wire.send(HEAD + b"\r\n")
        assert (await wire.answer()).code == 401
    await wire.send(HEAD + b"\r\n" + HEAD + b"\r\n")
    assert [(await wire.answer()).code for _ in range(2)] == [401, 401]


async def test_a_list_is_whole_in_every_form(http: Client) -> None:
    for i in range(30):
        made = agent(f"a{i}")
        made["spec"]["system"] = "x" * 5_000
        await http("POST", AGENTS_URL, made)
    whole = (await http("GET", AGENTS_URL)).body
    assert len(whole["items"]) == 30
    assert (await http("GET", f"{AGENTS_URL}?pretty=1")).body == whole
    assert "\n  " in (await http("GET", AGENTS_URL, user_agent="curl/8.0")).text
    assert len((await http("GET", AGENTS_URL, accept=TABLE)).body["rows"]) == 30
    head = await http("HEAD", AGENTS_URL)
    assert (head.code, head.text) == (200, "")
