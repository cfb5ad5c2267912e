"""A start of the operator with many waiting runs: seconds, memory, and what it asks of the API server.

Called by cluster.py. Every run waits for somebody outside: each is a TaskRun and a ToolCall that are not finished.
"""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from bench import replay
from bench.job import ASKED, Shape
from bench.process import ROOT, Child, cpu, free_ports, quiet, resident, tree
from kubechain.cluster.remote import RemoteApi
from kubechain.resources.toolcall import TOOL_CALLS
from tests.parts.apiserver import Cluster

AT_ONCE = 64


class World(Protocol):
    """What cluster.py has set up."""

    cluster: Cluster
    api: RemoteApi
    operator: Child
    folder: Path

    async def create(self, kind: str, name: str, spec: dict[str, Any]) -> None: ...

    async def prepare(self, shape: Shape, tool: dict[str, Any] | None = None) -> str: ...


def operate(kubeconfig: Path, folder: Path, port: int) -> Child:
    """`kubechain operator` on the namespace `default`, with its health at that port."""
    command: list[str | Path] = [
        sys.executable, "-m", "kubechain.cli.main", "operator", "--kubeconfig", kubeconfig, "-n", "default",
        "--functions", ROOT, "--listen", f"127.0.0.1:{port}",
    ]  # fmt: skip
    return Child(command, folder / "operator.log", {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"})


async def parked(world: World, runs: int) -> dict[str, Any]:
    """Figures of two starts: without any run, and with all of them."""
    world.operator.stop()
    empty = await _started(world)
    await _park(world, runs)
    full = await _started(world)
    return {
        "runs": runs,
        "ready_s": full["ready_s"],
        "cpu_s": full["cpu_s"] - empty["cpu_s"],
        "memory_mb": full["memory_mb"],
        "kb_per_run": (full["memory_mb"] - empty["memory_mb"]) * 1000 / runs,
        "requests": full["requests"],
    }


async def _started(world: World) -> dict[str, Any]:
    """A start to readiness, and until nothing is left to do; the operator is then killed."""
    before, port, begun = _reads(world), free_ports(1)[0], time.perf_counter()
    with operate(world.cluster.kubeconfig, world.folder, port) as operator:
        await asyncio.to_thread(_until_ready, port)
        seconds = time.perf_counter() - begun
        await asyncio.to_thread(quiet, tree(operator.pid))
        return {
            "ready_s": seconds,
            "cpu_s": cpu(tree(operator.pid)),
            "memory_mb": resident(tree(operator.pid)),
            "requests": dict(_reads(world) - before),
        }


def _until_ready(port: int) -> None:
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.02)


def _reads(world: World) -> Counter[str]:
    """Lists, watches and gets of our kinds so far; Kubernetes' own garbage collector looks owners up as well."""
    found: Counter[str] = Counter()
    for entry in world.cluster.audit():
        about = entry.get("objectRef", {})
        ours = entry.get("userAgent", "").startswith("kubechain/")
        if ours and about.get("namespace") == "default" and about.get("resource") in ("taskruns", "toolcalls"):
            found[f"{entry['verb']} {about['resource']}"] += 1
    return found


async def _park(world: World, runs: int) -> None:
    """Creates the runs and returns when the ToolCall of each waits outside."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> None:
        async with slots:
            await world.create("TaskRun", name, {"task": task, "userMessage": ASKED + name})

    with operate(world.cluster.kubeconfig, world.folder, free_ports(1)[0]):
        task = await world.prepare(Shape(2), {"external": {}})
        waiting: set[str] = set()
        creating = asyncio.gather(*(one(f"p{n}") for n in range(runs)))
        async for call in replay.changes(world.api, TOOL_CALLS):
            if call.status.phase == "Running":
                waiting.add(call.metadata.name)
            if len(waiting) == runs:
                break
        await creating


def text(found: Mapping[str, Any]) -> str:
    """The figures as people read them."""
    asked = ", ".join(f"{what} {count}" for what, count in found["requests"].items())
    return (
        f"a start with {found['runs']} waiting runs and as many ToolCalls: ready in {found['ready_s']:.1f} s, "
        f"{found['cpu_s']:.1f} s of CPU for them, {found['kb_per_run']:.1f} KB each, "
        f"{found['memory_mb']:.0f} MB in all\n  requests: {asked}"
    )
