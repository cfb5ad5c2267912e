"""What one turn of KubeChain is made of: writes, bytes, passes, CPU by part; and what one model call costs.

`python -m bench.turn` runs the embedded engine in this process with a model server beside it, lets runs of twenty
turns with one tool call each go by one at a time, and prints where the time went. `--json` prints it for machines.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import sqlite3
import tempfile
import time
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.job import ASKED, ECHO, Shape
from bench.process import ROOT, Model, cpu, tree
from kubechain.app import Program, Settings, embedded
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Kind
from kubechain.resources.registry import OURS
from kubechain.resources.taskrun import TASK_RUNS
from kubechain.resources.task import TASKS
from kubechain.runtime.api import Change, WatchOptions

_KINDS = {kind.kind: kind.raw for kind in OURS}
_API = "kubechain.humanlayer.dev/v1alpha1"


class Bench:
    """A running program and what it has used so far."""

    def __init__(self, program: Program, database: Path) -> None:
        self.program = program
        self.database = sqlite3.connect(f"file:{database}?mode=ro", uri=True)

    async def create(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        document = {"apiVersion": _API, "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}
        await self.program.api.create(_KINDS[kind], msgspec.json.encode(document))

    async def until(self, kind: Kind[Any], name: str, reached: Any) -> Any:
        """The object once `reached(object)` holds."""
        options = WatchOptions(since="0")
        async with asyncio.timeout(60), aclosing(self.program.api.watch(kind, "default", options)) as changes:
            async for change in changes:
                if isinstance(change, Change) and change.key.name == name and reached(change.object):
                    return change.object
        raise AssertionError("the watch ended")

    async def run(self, name: str, task: str) -> None:
        await self.create("TaskRun", name, {"task": task, "userMessage": ASKED + name})
        await self.until(TASK_RUNS, name, lambda run: run.status.finished)

    def writes(self) -> Counter[str]:
        """Lines of the log so far, by kind."""
        rows = self.database.execute(
            "SELECT plural, count(*), sum(length(body)) FROM log JOIN resource ON resource.id = log.resource GROUP BY 1"
        )
        found: Counter[str] = Counter()
        for plural, count, size in rows:
            found[plural] += count
            found["bytes"] += size or 0
        return found

    def passes(self) -> Counter[str]:
        return Counter({type(w._controller).__name__: w.passes for w in self.program.loops.workers})

    @property
    def batches(self) -> int:
        return int(self.program.api._ledger.batches)  # type: ignore[attr-defined]


def threads() -> Counter[str]:
    """Seconds of CPU by thread of this process."""
    used: Counter[str] = Counter()
    for task in Path("/proc/self/task").iterdir():
        run_ns = int((task / "schedstat").read_text().split()[0])
        used["loop" if task.name == str(os.getpid()) else "writer and others"] += run_ns / 1e9
    return used


async def prepare(bench: Bench, url: str, shape: Shape) -> str:
    name = shape.model
    await bench.create(
        "LLM", name,
        {"provider": "openai-compatible", "parameters": {"baseURL": f"{url}/v1", "model": shape.model}},
    )  # fmt: skip
    tool = {"function": {"entrypoint": "bench.job:echo"}, "effect": "ReadOnly", "parameters": ECHO}
    await bench.create("Tool", name, tool)
    await bench.create("Agent", name, {"llmRef": {"name": name}, "tools": [{"name": name}]})
    await bench.create("Task", name, {"agent": name, "userMessage": "a run says what"})
    await bench.until(TASKS, name, lambda task: task.status.ready)
    return name


async def measure(runs: int, shape: Shape, folder: Path, profile: bool) -> dict[str, Any]:
    """Figures per turn."""
    settings = Settings(state=folder / "state", bare=True, functions=(ROOT,))
    with Model(folder / "model.log") as model:
        async with embedded(settings) as program:
            bench = Bench(program, folder / "state" / "store.db")
            task = await prepare(bench, model.url, shape)
            await bench.run("warm-1", task)
            await bench.run("warm-2", task)
            await program.loops.events.flush()
            before = bench.writes(), bench.passes(), bench.batches, threads(), cpu(tree(os.getpid())[1:])
            profiler = cProfile.Profile() if profile else None
            begun = time.perf_counter()
            if profiler:
                profiler.enable()
            for n in range(runs):
                await bench.run(f"run-{n}", task)
            if profiler:
                profiler.disable()
            wall = time.perf_counter() - begun
            await program.loops.events.flush()
            turns = runs * shape.turns
            after = bench.writes(), bench.passes(), bench.batches, threads(), cpu(tree(os.getpid())[1:])
    per = lambda a, b: {k: round((a[k] - b[k]) / turns, 3) for k in a if a[k] != b[k]}  # noqa: E731
    return {
        "ms": wall * 1000 / turns,
        "writes": per(after[0], before[0]),
        "passes": per(after[1], before[1]),
        "transactions": (after[2] - before[2]) / turns,
        "cpu_ms": {k: round(v * 1000, 3) for k, v in ((k, (after[3][k] - before[3][k]) / turns) for k in after[3])},
        "tool_and_model_process_cpu_ms": (after[4] - before[4]) * 1000 / turns,
        "parts": parts(profiler, turns) if profiler else {},
    }


def _part(file: str) -> str:
    if "/kubechain/" in file:
        words = file.split("/kubechain/")[1].removesuffix(".py").split("/")
        return "kubechain/" + "/".join(words[:2])
    for package in ("aiohttp", "asyncio", "uvicorn", "starlette", "msgspec", "uvloop", "sqlite3"):
        if f"/{package}/" in file:
            return package
    return Path(file).name if file not in ("~", "<string>") else file


def parts(profiler: cProfile.Profile, turns: int) -> dict[str, float]:
    """Milliseconds per turn by part of the program, built-in functions counted where they are called from."""
    found: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, callers) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        if file == "~" and callers:
            for (caller, _, _), (_, _, spent, _) in callers.items():
                found[_part(caller)] += spent
        else:
            found[_part(file)] += own
    return {part: round(spent * 1000 / turns, 3) for part, spent in found.most_common(40)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--profile", action="store_true", help="also CPU by part, which slows all down")
    parser.add_argument("--dir", default="/dev/shm" if Path("/dev/shm").is_dir() else None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measure(args.runs, Shape(args.turns), Path(folder), args.profile)), indent=2))


if __name__ == "__main__":
    main()
