"""Requests of a range of seeds against one running server, and what no answer may be.

Started by `__main__` and by the test. Every answer must be well formed and in time, nothing may leave a traceback,
others must be answered meanwhile, and memory must not grow.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil  # type: ignore[import-untyped]

from kubechain.errors import ApiError
from kubechain.resources import yamltext
from kubechain.resources.registry import ALL
from tests.fuzz.api.requests import Sent, request
from tests.fuzz.api.values import SPECS
from tests.world import World, world

SECONDS = 20.0
"""In which an answer must be there."""
NEIGHBOUR = 2.0
"""Seconds that a small request may wait while others go on; the fuzzer itself works on the same loop."""
CONNECTIONS = 6
CLEANED = 100
"""Requests after which everything is deleted, so that the store stays small."""
PROBE = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@dataclass
class Past:
    """What came of a range of seeds."""

    failures: dict[int, str] = field(default_factory=dict)
    tracebacks: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0
    waited: float = 0.0
    memory: list[int] = field(default_factory=list)
    """Bytes that the process holds, each time everything was deleted."""

    @property
    def grown(self) -> int:
        """Bytes by which the last third of the run held more than the second third, at their least."""
        third = len(self.memory) // 3
        return min(self.memory[2 * third :]) - min(self.memory[third : 2 * third]) if third else 0


@dataclass
class Answer:
    code: int
    headers: dict[str, str]
    body: bytes


async def run(seeds: Iterable[int], folder: Path) -> Past:
    """Sends the request of each seed."""
    past, left, done = Past(), iter(seeds), asyncio.Event()
    async with world(folder) as server:
        with _tracebacks(past):
            probing = asyncio.ensure_future(_probe(server, past, done))
            async with asyncio.TaskGroup() as workers:
                for _ in range(CONNECTIONS):
                    workers.create_task(_work(server, left, past))
            done.set()
            await probing
    return past


async def _work(server: World, left: Iterator[int], past: Past) -> None:
    loop = asyncio.get_running_loop()
    for seed in left:
        if seed % CLEANED == 0:
            await _clean(server)
            past.memory.append(psutil.Process().memory_info().rss)
        sent, since = request(seed), loop.time()
        if wrong := await _tried(server, sent, past):
            past.failures.setdefault(seed, f"{wrong}\n    {sent}")
        past.slowest = max(past.slowest, loop.time() - since)


async def _tried(server: World, sent: Sent, past: Past) -> str:
    """What is wrong with what a request came to, "" for nothing."""
    try:
        async with asyncio.timeout(SECONDS), _connection(server) as (reader, writer):
            answer = await _exchange(reader, writer, sent)
    except TimeoutError:
        return f"no answer within {SECONDS:.0f} s"
    except (OSError, EOFError) as error:
        return f"the connection ended without an answer: {error!r}"
    past.codes[answer.code] += 1
    return judged(sent, answer)


async def _clean(server: World) -> None:
    """Deletes everything that a request may have made, and makes what others may change."""
    for kind in ALL:
        for document in (await server.api.list(kind.raw)).items:
            obj = msgspec.json.decode(document)
            meta = obj["metadata"]
            name, namespace = meta["name"], meta.get("namespace", "")
            with suppress(ApiError):  # another request may be at it, and what came with the server stays
                if meta.pop("finalizers", None):
                    await server.api.put(kind.raw, msgspec.json.encode(obj))
                await server.api.delete(kind.raw, name, namespace)
    for kind, name in product(ALL, ("a", "b")):
        obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}} | SPECS.get(
            kind.kind, {}
        )
        obj["metadata"] |= {"namespace": "default"} if kind.namespaced else {}
        with suppress(ApiError):
            await server.api.create(kind.raw, msgspec.json.encode(obj))


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: Sent) -> Answer:
    try:
        writer.write(sent.encoded())
        await writer.drain()
    except ConnectionError:
        pass  # refused before all of it was read: the answer is there
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    while " 100 " in status:
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = b""
    if sent.method != "HEAD" and "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    return Answer(int(status.split(" ")[1]), headers, body)


def judged(sent: Sent, answer: Answer) -> str:
    """What is wrong with an answer, "" for nothing."""
    if answer.code not in range(200, 600):
        return f"the code {answer.code}"
    json_said = answer.headers.get("content-type", "").startswith("application/json")
    if sent.method == "HEAD" or (answer.code < 400 and not json_said) or answer.code == 304:
        return ""
    if json_said and answer.body:
        try:
            document = json.loads(answer.body)
        except ValueError as error:
            return f"{answer.code} with a body that is no JSON: {error}"
        if answer.code >= 400 and (document.get("kind"), document.get("code")) != ("Status", answer.code):
            return f"{answer.code} without its Status: {answer.body[:200]!r}"
        if answer.code >= 500 and not _excused(document):
            return f"{answer.code}: {answer.body[:200]!r}"
        return ""
    if answer.code >= 500 and "yaml" in answer.headers.get("content-type", ""):
        document = yamltext.first(answer.body)
        return "" if isinstance(document, dict) and _excused(document) else f"{answer.code}: {answer.body[:200]!r}"
    return f"{answer.code} {answer.body[:100]!r}" if answer.code >= 500 else ""


def _excused(status: Mapping[str, object]) -> bool:
    """Answers from 500 on that a real server gives too."""
    said = str(status.get("message"))
    real = ("unknown patch type", "does not contain declared merge key", "content is not a list")
    return status["code"] == 504 or any(text in said for text in real)


@contextmanager
def _tracebacks(past: Past) -> Iterator[None]:
    """Collects what is logged with a traceback."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info:
                past.tracebacks[logging.Formatter().formatException(record.exc_info)[-1500:]] += 1

    handler, logger = Handler(), logging.getLogger()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


async def _probe(server: World, past: Past, done: asyncio.Event) -> None:
    """A small request after the other; notes the longest wait."""
    loop = asyncio.get_running_loop()
    async with _connection(server) as (reader, writer):
        while not done.is_set():
            since = loop.time()
            writer.write(PROBE)
            await reader.readuntil(b"\r\n\r\nok")
            past.waited = max(past.waited, loop.time() - since)
            try:
                async with asyncio.timeout(0.05):
                    await done.wait()
            except TimeoutError:
                continue


@asynccontextmanager
async def _connection(server: World) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    at = urlsplit(server.server.url)
    reader, writer = await asyncio.open_connection(
        at.hostname, at.port, ssl=ssl.create_default_context(cafile=str(server.ca)), limit=1 << 24
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
