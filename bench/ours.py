"""KubeChain on its embedded engine, driven through its public API: objects over HTTPS, ends seen by a watch.

`python -m bench.ours JOB --dir FOLDER --model URL` starts `kubechain up` as users do (synchronous=FULL, TLS, real
objects, the tool in the real worker process), does one job and prints its figures as one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from bench.arguments import arguments, nonce, say
from bench.job import ASKED, ECHO, Shape
from bench.kube import ENDED, Kube, Phases
from bench.process import ROOT, Child, cpu, get, lift, resident, size, tree, written

API = "kubechain.humanlayer.dev/v1alpha1"
PATIENCE = 300.0


class Engine:
    """`kubechain up` on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        begun = time.perf_counter()
        read, write = os.pipe()
        os.set_inheritable(write, True)
        folder.mkdir(parents=True, exist_ok=True)
        self.child = Child(
            [
                sys.executable, "-m", "kubechain.cli.main", "up", "--bare", "--state", self.state, "--port", "0",
                "--functions", ROOT, "--ready-fd", str(write),
            ],
            folder / "log",
            {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
            keep=write,
        )  # fmt: skip
        os.close(write)
        with os.fdopen(read) as told:
            if not told.readline():
                self.child.line()
        self.start_seconds = time.perf_counter() - begun

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def database(self) -> Path:
        return self.state / "store.db"

    @property
    def pids(self) -> list[int]:
        return tree(self.child.pid)


def manifest(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


async def prepare(kube: Kube, model: str, shape: Shape, tool: dict[str, Any] | None = None) -> str:
    """An LLM, a tool, an agent and a task for runs of this shape; the task's name, once it is ready."""
    name = shape.model
    spec = tool or {"function": {"entrypoint": "bench.job:echo"}, "effect": "ReadOnly"}
    parameters = {"baseURL": f"{model}/v1", "model": shape.model}
    await kube.create("llms", manifest("LLM", name, {"provider": "openai-compatible", "parameters": parameters}))
    await kube.create("tools", manifest("Tool", name, {"parameters": ECHO, **spec}))
    await kube.create("agents", manifest("Agent", name, {"llmRef": {"name": name}, "tools": [{"name": name}]}))
    await kube.create("tasks", manifest("Task", name, {"agent": name, "userMessage": "a run says what"}))
    async with asyncio.timeout(30), Phases(kube, "tasks", column=3) as tasks:
        await tasks.reached(name, ("Ready",))
    return name


async def start(kube: Kube, task: str, run: str) -> None:
    await kube.create("taskruns", manifest("TaskRun", run, {"task": task, "userMessage": ASKED + run}))


class Client:
    """Does runs and waits for their ends."""

    def __init__(self, kube: Kube, phases: Phases, task: str, shape: Shape) -> None:
        self.kube, self.phases, self.task, self.shape = kube, phases, task, shape

    async def many(self, runs: list[str]) -> float:
        """Seconds from the first create to the last end seen; every answer is then checked."""
        begun = time.perf_counter()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(self._one(run) for run in runs))
        seconds = time.perf_counter() - begun
        for run in runs:
            await self.check(run)
        return seconds

    async def _one(self, run: str) -> None:
        ended = self.phases.reached(run)
        await start(self.kube, self.task, run)
        await ended

    async def check(self, run: str) -> None:
        """Raises AssertionError when the run ended in anything but its right answer."""
        status = (await self.kube.get("taskruns", run))["status"]
        assert status.get("output") == self.shape.answer, f"{run}: {status.get('output') or status}"


async def seq(client: Client, engine: Engine, args: argparse.Namespace) -> dict[str, Any]:
    turns = client.shape.turns
    for _ in range(3):
        await client.many([f"warm-{nonce()}"])
    used = cpu(engine.pids)
    times = [await client.many([f"s{i}-{nonce()}"]) * 1000 / turns for i in range(args.runs)]
    return {
        "ms_per_turn": statistics.median(times),
        "all": times,
        "cpu_ms_per_turn": (cpu(engine.pids) - used) * 1000 / turns / args.runs,
    }


async def tput(client: Client, engine: Engine, args: argparse.Namespace) -> dict[str, Any]:
    await client.many([f"warm{i}-{nonce()}" for i in range(20)])
    used, wrote = cpu(engine.pids), written(engine.pids)
    rates = []
    for k in range(args.runs):
        seconds = await client.many([f"t{k}-{i}-{nonce()}" for i in range(args.n)])
        rates.append(args.n * client.shape.turns / seconds)
    turns = args.n * client.shape.turns * args.runs
    return {
        "turns_per_s": statistics.median(rates),
        "all": rates,
        "cpu_ms_per_turn": (cpu(engine.pids) - used) * 1000 / turns,
        "written_kb_per_turn": (written(engine.pids) - wrote) * 1000 / turns,
        "memory_mb": resident(engine.pids),
    }


async def grow(client: Client, engine: Engine, args: argparse.Namespace) -> dict[str, Any]:
    run, wrote = f"g-{nonce()}", written(engine.pids)
    before = size(engine.state)
    seconds = await client.many([run])
    arrivals = dict(reversed(get(f"{args.model}/times?run={run}")))
    gaps = [(arrivals[n + 1] - arrivals[n]) * 1000 for n in range(client.shape.turns - 1)]
    return {
        "seconds": seconds,
        "first20_ms": statistics.mean(gaps[:20]),
        "last20_ms": statistics.mean(gaps[-20:]),
        "written_mb": written(engine.pids) - wrote,
        "size_mb": size(engine.state) - before,
    }


JOBS = {"seq": seq, "tput": tput, "grow": grow}


async def measured(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The figures of one of JOBS."""
    engine = Engine(folder)
    with engine.child:
        if args.profile:
            print(f"engine pid {engine.child.pid}", file=sys.stderr, flush=True)
        async with Kube(engine.kubeconfig) as kube:
            shape = Shape(args.turns, args.size, args.wait)
            task = await prepare(kube, args.model, shape)
            lift(engine.pids)
            async with Phases(kube, fields=ENDED) as phases:
                return await JOBS[args.job](Client(kube, phases, task, shape), engine, args)


async def main() -> None:
    from bench import ours_lost, ours_parked

    args = arguments()
    folder = Path(args.dir)
    shutil.rmtree(folder, ignore_errors=True)
    match args.job:
        case "park" | "many":
            say(**await ours_parked.parked(args, folder, again=args.job == "park"))
        case "crash":
            say(**await ours_lost.crashed(args, folder))
        case _:
            say(**await measured(args, folder))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
