"""The whole program in this process, embedded or over a real Kubernetes, spoken to with real kubectl."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from kubechain.app.embedded import embedded
from kubechain.app.operator import OperatorSettings, operator
from kubechain.app.program import Program
from kubechain.app.settings import EmbeddedSettings, ProviderSettings
from kubechain.cluster.remote import RemoteApi, connect
from kubechain.cluster.target import ClusterSettings
from kubechain.resources.builtin import NAMESPACES, Namespace
from kubechain.resources.kind import Kind, R
from kubechain.resources.model import ObjectMeta
from kubechain.resources.registry import OURS
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.runtime.api import Bookmark, Change, WatchOptions
from kubechain.samples import manifests as samples
from tests.kubernetes import Kubernetes
from tests.world import Said, kubectl_command, said

ROOT = Path(__file__).parents[2]
WALKTHROUGH = ROOT / "kubechain-example" / "walkthrough"
SECONDS = 30.0


@dataclass(frozen=True)
class Story:
    """A running program, a folder and a namespace of its own."""

    program: Program
    home: Path
    namespace: str = "default"

    async def kubectl(self, *words: str, stdin: str = "", version: str = "1.32") -> Said:
        """Runs kubectl to its end."""
        command, environment = kubectl_command(*words, version=version, kubeconfig=self.kubeconfig, home=self.home)
        return await said(command, environment, stdin)

    async def ok(self, *words: str, stdin: str = "", version: str = "1.32") -> str:
        """The output of a kubectl that must succeed."""
        said = await self.kubectl(*words, stdin=stdin, version=version)
        assert said.code == 0, f"kubectl {' '.join(words)}: {said.err}{said.out}"
        return said.out

    @property
    def kubeconfig(self) -> Path:
        return self.program.running.kubeconfig

    async def states(self, kind: Kind[R], name: str) -> AsyncGenerator[R, None]:
        """Every state of an object as it comes, for at most SECONDS."""
        async with asyncio.timeout(SECONDS):
            async with aclosing(self.program.api.watch(kind, self.namespace, WatchOptions(since="0"))) as stream:
                async for event in stream:
                    match event:
                        case Change(key=key, object=obj) if key.name == name:
                            yield obj
                        case Change() | Bookmark():
                            pass

    async def finished(self, name: str) -> TaskRun:
        """The run once it is finished; fails after SECONDS."""
        async with aclosing(self.states(TASK_RUNS, name)) as states:
            async for run in states:
                if run.status.finished:
                    return run
        raise AssertionError("the watch ended")

    async def kubechain(self, *words: str) -> Said:
        """Runs our own command line to its end."""
        command = [sys.executable, "-m", "kubechain.cli.main", *words]
        return await said(command, {"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.home), "PATH": ""})

    async def documents(self) -> list[bytes]:
        """Every object of our kinds."""
        return [d for kind in OURS for d in (await self.program.api.list(kind.raw, self.namespace)).items]

    async def logs(self, run: str) -> str:
        """What `kubechain logs` prints of a run."""
        shown = await self.kubechain("logs", f"taskrun/{run}")
        assert shown.code == 0, shown.err
        return shown.out

    async def apply(self, *manifests: str) -> str:
        return await self.ok("apply", "-f", "-", stdin="\n---\n".join(manifests))


def conversation(run: TaskRun) -> list[tuple[str, str]]:
    """Roles and texts; requested calls as `name(arguments)`."""
    lines: list[tuple[str, str]] = []
    for message in run.status.messages:
        calls = [f"{c.function.name}({c.function.arguments})" for c in message.tool_calls]
        lines.append((message.role, " ".join([*([message.content] if message.content else []), *calls])))
    return lines


@asynccontextmanager
async def story(directory: Path, **settings: Any) -> AsyncIterator[Story]:
    """The program with the scripted model, unless told otherwise."""
    chosen: Mapping[str, Any] = {"model": "scripted", **settings}
    providers = ProviderSettings(**chosen)
    async with embedded(EmbeddedSettings(state=directory / "state", providers=providers)) as program:
        yield Story(program, directory)


@dataclass(frozen=True)
class Place:
    """A namespace of a real cluster, and a kubeconfig whose context is in it."""

    kubeconfig: Path
    namespace: str

    @asynccontextmanager
    async def story(self, directory: Path, **settings: Any) -> AsyncIterator[Story]:
        """The program as `story` gives it, its controllers over the cluster and in this namespace alone."""
        chosen: Mapping[str, Any] = {"model": "scripted", **settings}
        cluster = ClusterSettings(self.kubeconfig)
        told = OperatorSettings(cluster, self.namespace, providers=ProviderSettings(**chosen))
        async with operator(told) as program:
            yield Story(program, directory, self.namespace)


@asynccontextmanager
async def place(kubernetes: Kubernetes, directory: Path) -> AsyncIterator[Place]:
    """A fresh namespace with the sample tools in it, deleted afterwards."""
    async with connect(ClusterSettings(kubernetes.kubeconfig)) as api:
        made = await api.create(NAMESPACES, Namespace(metadata=ObjectMeta(generate_name="story-")))
        namespace = made.metadata.name
        await _install_samples(api, namespace)
        config = json.loads(kubernetes.kubeconfig.read_text())
        config["contexts"][0]["context"]["namespace"] = namespace
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_text(json.dumps(config))
        yield Place(kubeconfig, namespace)
        await api.delete(NAMESPACES, namespace)


async def _install_samples(api: RemoteApi, namespace: str) -> None:
    kinds = {kind.kind: kind.raw for kind in OURS}
    for manifest in samples(namespace):
        await api.create(kinds[str(manifest["kind"])], msgspec.json.encode(manifest))
