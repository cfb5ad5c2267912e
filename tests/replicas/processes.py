"""Replicas as processes, each over a wire of its own: started, killed, ended; and what their Leases say."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from kubechain.cluster.remote import RemoteApi
from kubechain.errors import ApiError
from kubechain.resources.builtin import LEASES, Lease
from kubechain.resources.kind import Kind, R
from kubechain.runtime.api import Change, WatchOptions
from kubechain.runtime.replicas.claim import claim_of
from kubechain.runtime.replicas.lease import lease_name
from tests.replicas.proxy import Wire, wire

FUNCTIONS = Path(__file__).parent / "functions"
SECONDS = 60.0


@dataclass
class Process:
    """A running replica."""

    name: str
    running: asyncio.subprocess.Process
    wire: Wire

    async def kill(self) -> None:
        """SIGKILL, to it alone: what it started has to notice by itself."""
        self.running.send_signal(signal.SIGKILL)
        await self.running.wait()

    async def gone(self) -> None:
        """Killed, where it still runs."""
        if self.running.returncode is None:
            await self.kill()

    async def end(self) -> int:
        """SIGTERM; how it ended."""
        self.running.send_signal(signal.SIGTERM)
        async with asyncio.timeout(SECONDS):
            return await self.running.wait()


@dataclass
class Replicas:
    """All of them. `at` is the kubeconfig of the cluster, `words` further flags of `kubechain operator`.

    `wired`: each speaks over a wire that can be cut, which costs time.
    """

    at: Path
    folder: Path
    namespace: str
    words: tuple[str, ...]
    stack: AsyncExitStack
    wired: bool = True
    running: dict[str, Process] = field(default_factory=dict)

    async def start(self, name: str) -> Process:
        """Starts one and returns once it says that it controls."""
        config = json.loads(self.at.read_text())
        server = urlsplit(config["clusters"][0]["cluster"]["server"])
        own = await self.stack.enter_async_context(wire(server.hostname or "", server.port or 443))
        if self.wired:
            config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{own.port}"
        kubeconfig = self.folder / f"{name}.kubeconfig"
        kubeconfig.write_text(json.dumps(config))
        log = (self.folder / f"{name}.log").open("ab")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kubechain.cli.main", "operator", "--kubeconfig", str(kubeconfig),
            "--namespace", self.namespace, "--functions", str(FUNCTIONS), "--listen", "127.0.0.1:0", *self.words,
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "POD_NAME": name},
        )  # fmt: skip
        made = Process(name, process, own)
        self.stack.push_async_callback(made.gone)
        assert process.stderr is not None
        async with asyncio.timeout(SECONDS):
            line = await process.stderr.readline()
        assert line.startswith(b"KubeChain controls"), line
        self.stack.push_async_callback(_Log(process.stderr, log).stop)
        self.running[name] = made
        return made

    async def kill(self, name: str) -> None:
        await self.running.pop(name).kill()

    async def end(self, name: str) -> int:
        return await self.running.pop(name).end()


class _Log:
    """Copies what a process says into its log, until it ends."""

    def __init__(self, reader: asyncio.StreamReader, log: BinaryIO) -> None:
        self._log = log
        self._task = asyncio.create_task(self._copy(reader))

    async def _copy(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(1 << 16):
            self._log.write(data)
            self._log.flush()

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._log.close()


@asynccontextmanager
async def replicas(kubeconfig: Path, folder: Path, namespace: str, *words: str) -> AsyncIterator[Replicas]:
    """None yet; whatever was started is killed at the end."""
    async with AsyncExitStack() as stack:
        yield Replicas(kubeconfig, folder, namespace, words, stack)


async def changes(api: RemoteApi, kind: Kind[R], namespace: str) -> AsyncGenerator[Change[R], None]:
    """Everything there is and every change of it, for as long as the caller reads; some of it twice."""
    while True:
        with suppress(ApiError):  # a server that is busy refuses a watch now and then
            async with aclosing(api.watch(kind, namespace, WatchOptions(since="0"))) as stream:
                async for event in stream:
                    if isinstance(event, Change):
                        yield event


class Seen:
    """What the Leases of a namespace say, as they change."""

    def __init__(self, api: RemoteApi, namespace: str) -> None:
        self.leases: dict[str, Lease] = {}
        self._api, self._namespace = api, namespace
        self._news = asyncio.Condition()

    async def watch(self) -> None:
        """Until cancelled."""
        async with aclosing(changes(self._api, LEASES, self._namespace)) as stream:
            async for event in stream:
                async with self._news:
                    if event.type == "DELETED":
                        self.leases.pop(event.key.name, None)
                    else:
                        self.leases[event.key.name] = event.object
                    self._news.notify_all()

    @property
    def leader(self) -> str:
        """The name of the replica that leads, "" where none does."""
        lease = self.leases.get(f"kubechain-leader-{self._namespace}")
        holder = lease.spec.holder_identity if lease is not None else None
        return (holder or "").rpartition("_")[0]

    def among(self, name: str) -> frozenset[str]:
        """The replicas among which that one acts, by their Leases' names."""
        lease = self.leases.get(lease_name(name))
        return claim_of(name, lease.metadata.annotations).members if lease is not None else frozenset()

    async def until(self, holds: Callable[[], bool], seconds: float = SECONDS) -> float:
        """How long it took, in seconds."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(holds)
        return loop.time() - begun

    async def without(self, gone: str, others: list[str], seconds: float = SECONDS) -> float:
        """Seconds until every other one acts without it and somebody else leads."""

        def taken_over() -> bool:
            views = [self.among(name) for name in others]
            return self.leader in others and all(view and lease_name(gone) not in view for view in views)

        return await self.until(taken_over, seconds)
