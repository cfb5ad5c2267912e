"""What one turn of KubeChain is made of: writes, bytes, passes, CPU by part; and what one model call costs.

`python -m bench.turn` runs the embedded engine in this process with a model server beside it, lets runs of twenty
turns with one tool call each go by one at a time, and prints where the time went. `--json` prints it for machines.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import os
import pstats
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import aclosing, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.calls import TOOLS, costs
from bench.job import ASKED, ECHO, Shape
from bench.process import ROOT, Model, cpu, tree
from bench.report import into
from kubechain.app.embedded import embedded
from kubechain.app.program import Program
from kubechain.app.settings import EmbeddedSettings, ProviderSettings
from kubechain.cli.serve import COLLECTED
from kubechain.resources.kind import Kind
from kubechain.resources.registry import OURS
from kubechain.resources.task import TASKS
from kubechain.resources.taskrun import TASK_RUNS
from kubechain.runtime.api import Change, WatchOptions

_KINDS = {kind.kind: kind.raw for kind in OURS}
_API = "kubechain.humanlayer.dev/v1alpha1"


class Bench:
    """A running program and what it has used so far."""

    def __init__(self, program: Program) -> None:
        self.program = program

    async def create(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        document = {
            "apiVersion": _API,
            "kind": kind,
            "metadata": {"name": name, "namespace": "default"},
            "spec": spec,
        }
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
        rows = self.program.api._ledger.reader.execute(  # type: ignore[attr-defined]
            "SELECT plural, count(*), sum(length(body)) FROM log "
            "JOIN resource ON resource.id = log.resource GROUP BY 1"
        )
        found: Counter[str] = Counter()
        for plural, count, size in rows:
            found[plural] += count
            found[f"bytes of {plural}"] += size or 0
        return found

    def passes(self) -> Counter[str]:
        return Counter({type(w._controller).__name__: w.passes for w in self.program.loops.workers})

    @property
    def batches(self) -> int:
        return int(self.program.api._ledger.batches)  # type: ignore[attr-defined]


def threads() -> dict[str, float]:
    """Seconds of CPU by thread of this process."""
    used: dict[str, float] = defaultdict(float)
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


@dataclass(frozen=True)
class Used:
    """What the program has used up to a moment: counts, and seconds of CPU."""

    writes: Mapping[str, float]
    passes: Mapping[str, float]
    transactions: int
    threads: Mapping[str, float]
    others: float

    @classmethod
    def now(cls, bench: Bench) -> Used:
        return cls(bench.writes(), bench.passes(), bench.batches, threads(), cpu(tree(os.getpid())[1:]))

    def per(self, turns: int, before: Used) -> dict[str, Any]:
        """What was used since `before`, for one of so many turns."""

        def each(now: Mapping[str, float], then: Mapping[str, float], unit: float = 1.0) -> dict[str, float]:
            return {k: round((now[k] - then[k]) * unit / turns, 3) for k in now if now[k] != then[k]}

        return {
            "writes": each(self.writes, before.writes),
            "passes": each(self.passes, before.passes),
            "transactions": (self.transactions - before.transactions) / turns,
            "cpu_ms": each(self.threads, before.threads, 1000),
            "other_processes_cpu_ms": (self.others - before.others) * 1000 / turns,
        }


async def measure(runs: int, shape: Shape, folder: Path, profile: bool) -> dict[str, Any]:
    """Figures per turn."""
    settings = EmbeddedSettings(state=folder / "state", bare=True, providers=ProviderSettings(functions=(ROOT,)))
    profiler = cProfile.Profile() if profile else None
    with Model(folder / "model.log") as model:
        async with embedded(settings) as program:
            bench = Bench(program)
            task = await prepare(bench, model.url, shape)
            for n in range(3):
                await bench.run(f"warm-{n}", task)
            await program.loops.events.flush()
            before, begun = Used.now(bench), time.perf_counter()
            with profiler or nullcontext():
                for n in range(runs):
                    await bench.run(f"run-{n}", task)
            wall = time.perf_counter() - begun
            await program.loops.events.flush()
            used = Used.now(bench)
    turns = runs * shape.turns
    found = {"ms": wall * 1000 / turns, **used.per(turns, before)}
    return found | {"parts": parts(profiler, turns) if profiler else {}}


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


def text(found: dict[str, Any]) -> str:
    """The figures as people read them."""
    lines = [f"one turn: {found['ms']:.2f} ms, in {found['transactions']:.2f} transactions"]
    lines += [
        f"  {name}: " + ", ".join(f"{k} {_short(v)}" for k, v in found[name].items())
        for name in ("writes", "passes")
    ]
    cpu_ms = ", ".join(f"{name} {ms:.2f}" for name, ms in found["cpu_ms"].items())
    lines.append(f"  CPU, ms: {cpu_ms}; tool worker and model server {found['other_processes_cpu_ms']:.2f}")
    lines += [f"    {ms:7.3f}  {part}" for part, ms in found["parts"].items()]
    if found["calls"]:
        lines += ["", f"one model call with {TOOLS} tools    messages   CPU ms   wall ms"]
    for call in found["calls"]:
        name = f"{call['wire']}, {'streamed' if call['streamed'] else 'whole'}"
        lines.append(f"  {name:32} {call['messages']:8} {call['cpu_ms']:8.2f} {call['wall_ms']:9.2f}")
    return "\n".join(lines)


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.2f}"


async def everything(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    found = await measure(args.runs, Shape(args.turns, args.size), folder, args.profile)
    with Model(folder / "model.log") as model:
        return {
            **found,
            "calls": [asdict(cost) for cost in await costs(model.url, args.calls)] if args.calls else [],
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.turn")
    parser.add_argument("--runs", type=int, default=40, help="runs measured, one at a time")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--size", type=int, default=16, help="bytes of a tool result")
    parser.add_argument("--calls", type=int, default=200, help="model calls measured of each kind; 0 for none")
    parser.add_argument("--profile", action="store_true", help="also CPU by part, which slows all down")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--into", type=Path, metavar="PAGE", help="put the figures between the marks of a page")
    parser.add_argument("--dir", default="/dev/shm" if Path("/dev/shm").is_dir() else None)
    args = parser.parse_args()
    gc.set_threshold(COLLECTED, 10, 10)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(everything(args, Path(folder)))
    if args.into:
        into(args.into, "turn", f"```\n{text(found)}\n```")
    print(json.dumps(found, indent=1) if args.json else text(found))


if __name__ == "__main__":
    main()
