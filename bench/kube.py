"""The API of a running KubeChain as its users reach it: HTTPS, a token, JSON, a watch.

The driver `ours.py` calls it. It knows nothing of what stands behind the address.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import msgspec
import yaml

GROUP = "/apis/kubechain.humanlayer.dev/v1alpha1"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_PHASE = 2
"""The column of a TaskRun's phase, behind name and task."""
ENDED = "status.phase!=Pending,status.phase!=Running"
"""Selects the TaskRuns that are through: who waits for an answer is told of nothing else."""


class _Metadata(msgspec.Struct, frozen=True):
    name: str = ""
    resourceVersion: str = ""


class _Object(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()


class Row(msgspec.Struct):
    cells: list[Any]
    object: _Object


class _Rows(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()
    rows: list[Row] = []


class _Event(msgspec.Struct):
    type: str
    object: _Rows


_event = msgspec.json.Decoder(_Event).decode
_rows = msgspec.json.Decoder(_Rows).decode


class Kube:
    """A client of one server, in the namespace `default`."""

    def __init__(self, kubeconfig: Path) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self.url: str = cluster["server"]
        trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        self.session = aiohttp.ClientSession(
            self.url,
            headers={"authorization": f"Bearer {user['token']}", "content-type": "application/json"},
            connector=aiohttp.TCPConnector(ssl=trust, limit=32),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
        )

    async def __aenter__(self) -> Kube:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    @staticmethod
    def path(plural: str, name: str = "") -> str:
        return f"{GROUP}/namespaces/default/{plural}" + (f"/{name}" if name else "")

    async def create(self, plural: str, manifest: dict[str, Any]) -> None:
        """Raises RuntimeError with the server's sentence."""
        await self._send("POST", self.path(plural), manifest)

    async def each(self, calls: Iterable[Awaitable[None]], at_once: int = 32) -> None:
        """Awaits them all, a few at a time, as a client with so many connections does."""
        slots = asyncio.Semaphore(at_once)

        async def one(call: Awaitable[None]) -> None:
            async with slots:
                await call

        await asyncio.gather(*(one(call) for call in calls))

    async def patch_status(self, plural: str, name: str, status: dict[str, Any]) -> None:
        patch = {"content-type": "application/merge-patch+json"}
        await self._send("PATCH", self.path(plural, name) + "/status", {"status": status}, patch)

    async def _send(self, verb: str, path: str, body: Any, headers: dict[str, str] | None = None) -> None:
        async with self.session.request(verb, path, data=msgspec.json.encode(body), headers=headers) as answer:
            said = await answer.read()
            if answer.status >= 300:
                raise RuntimeError(f"{verb} {path}: {answer.status} {said[:500].decode()}")

    async def get(self, plural: str, name: str = "", **query: str) -> Any:
        async with self.session.get(self.path(plural, name), params=query) as answer:
            answer.raise_for_status()
            return msgspec.json.decode(await answer.read())

    async def rows(self, plural: str) -> tuple[list[Row], str]:
        """All objects as the table that `kubectl get` shows, page by page, and the version to watch from."""
        found: list[Row] = []
        token = version = ""
        while True:
            query = {"limit": "500", **({"continue": token} if token else {})}
            async with self.session.get(self.path(plural), params=query, headers={"accept": _TABLE}) as answer:
                answer.raise_for_status()
                body = await answer.read()
            page = _rows(body)
            found += page.rows
            version = page.metadata.resourceVersion
            token = msgspec.json.decode(body)["metadata"].get("continue", "")
            if not token:
                return found, version

    async def watch(self, plural: str, since: str, fields: str = "") -> AsyncIterator[Row]:
        """Every change since a version, as rows of the table that `kubectl get --watch` shows.

        `fields`: of those objects alone that the field selector picks.
        """
        query = {"watch": "1", "resourceVersion": since, **({"fieldSelector": fields} if fields else {})}
        async with self.session.get(self.path(plural), params=query, headers={"accept": _TABLE}) as answer:
            answer.raise_for_status()
            rest = b""
            async for piece in answer.content.iter_any():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    for row in _event(line).object.rows:
                        yield row


class Phases:
    """Follows the phases of all objects of a kind over one watch; its methods wait for one or for many.

    `fields`: a field selector; of changes, those to objects that it picks are followed.
    """

    def __init__(self, kube: Kube, plural: str = "taskruns", column: int = _PHASE, fields: str = "") -> None:
        self.kube, self.plural, self.column, self.fields = kube, plural, column, fields
        self.phases: dict[str, str] = {}
        self._waiting: dict[str, tuple[frozenset[str], asyncio.Future[str]]] = {}
        self._tally: Counter[str] = Counter()
        self._counted: list[tuple[str, int, asyncio.Future[None]]] = []
        self._arrivals: dict[str, asyncio.Queue[str]] = {}

    async def __aenter__(self) -> Phases:
        rows, since = await self.kube.rows(self.plural)
        for row in rows:
            self._saw(row)
        self._task = asyncio.create_task(self._follow(since))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self, since: str) -> None:
        try:
            async for row in self.kube.watch(self.plural, since, self.fields):
                self._saw(row)
            raise RuntimeError("the watch ended")
        except Exception as error:
            waiting: list[asyncio.Future[Any]] = [future for _, future in self._waiting.values()]
            waiting += [future for _, _, future in self._counted]
            for future in waiting:
                if not future.done():
                    future.set_exception(error)

    def _saw(self, row: Row) -> None:
        name, phase = row.object.metadata.name or str(row.cells[0]), str(row.cells[self.column])
        before = self.phases.get(name)
        if before == phase:
            return
        self.phases[name] = phase
        self._tally[phase] += 1
        if before is not None:
            self._tally[before] -= 1
        self._tell(name, phase)

    def _tell(self, name: str, phase: str) -> None:
        if name in self._waiting:
            wanted, future = self._waiting[name]
            if phase in wanted and not future.done():
                del self._waiting[name]
                future.set_result(phase)
        if phase in self._arrivals:
            self._arrivals[phase].put_nowait(name)
        for wanted_phase, number, counted in self._counted:
            if self._tally[wanted_phase] >= number and not counted.done():
                counted.set_result(None)

    def reached(self, name: str, phases: Sequence[str] = ("FinalAnswer", "Failed")) -> asyncio.Future[str]:
        """The phase, one of `phases`, that the object is in now or comes to."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if self.phases.get(name) in phases:
            future.set_result(self.phases[name])
        else:
            self._waiting[name] = (frozenset(phases), future)
        return future

    async def count(self, phase: str, number: int) -> None:
        """Returns when so many objects are in that phase."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._tally[phase] < number:
            self._counted.append((phase, number, future))
            await future

    async def next(self, phase: str) -> str:
        """The next object that is in that phase or comes to it."""
        if phase not in self._arrivals:
            self._arrivals[phase] = asyncio.Queue()
            for name, held in self.phases.items():
                if held == phase:
                    self._arrivals[phase].put_nowait(name)
        return await self._arrivals[phase].get()
