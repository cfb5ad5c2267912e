"""Turns per second of one replica and of two, over one real Kubernetes, in turns: `python -m bench.replicas`.

Needs the development tree: it starts Kubernetes as the tests do. The model takes its time for every reply, so that
what is measured is many runs at once and not one alone. All share this machine's cores: API server, etcd, model,
replicas, their tool processes, and who watches.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from bench.job import Shape
from bench.process import cpu, tree
from tests.kubernetes import install
from tests.parts.apiserver import Cluster
from tests.replicas.drama import Plan, drama


async def measured(replicas: int, given: argparse.Namespace, kubeconfig: Path) -> dict[str, float]:
    """One round: turns per second, and milliseconds of CPU per turn of all replicas together."""
    shape = Shape(given.turns, 16, given.wait)
    plan = Plan(runs=given.runs, shape=shape, duration=12, tool=given.tool)
    with tempfile.TemporaryDirectory(prefix="replicas-") as folder:
        async with asyncio.timeout(600), drama(plan, kubeconfig, Path(folder)) as play:
            play.replicas.wired = False
            await play.prepare(replicas)
            await play.finished(await play.begin("warm", 20))
            pids = [pid for one in play.replicas.running.values() for pid in tree(one.running.pid)]
            begun, used = time.perf_counter(), cpu(pids)
            names = await play.begin("run", given.runs)
            await play.finished(names)
            seconds = time.perf_counter() - begun
            turns = given.runs * given.turns
            await play.judge(names)
            if play.report.wrong or play.report.doubled:
                raise SystemExit(f"not right: {play.report.wrong} {play.report.doubled}")
            return {"turns_per_s": turns / seconds, "cpu_ms_per_turn": (cpu(pids) - used) * 1000 / turns}


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.replicas", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--wait", type=int, default=50, help="milliseconds that the model takes")
    parser.add_argument("--tool", type=float, default=0.0, help="seconds that a tool takes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kubeconfig", type=Path)
    given = parser.parse_args()
    async with AsyncExitStack() as stack:
        kubeconfig = given.kubeconfig or (await stack.enter_async_context(Cluster())).kubeconfig
        await install(kubeconfig)
        rounds: dict[int, list[dict[str, float]]] = {1: [], 2: []}
        for _ in range(given.rounds):
            for replicas, found in rounds.items():
                found.append(await measured(replicas, given, kubeconfig))
                print(json.dumps({"replicas": replicas, **found[-1]}), flush=True)
    medians = {n: statistics.median(r["turns_per_s"] for r in found) for n, found in rounds.items()}
    print(json.dumps({"median_turns_per_s": medians, "ratio": medians[2] / medians[1], "cores": os.cpu_count()}))


if __name__ == "__main__":
    asyncio.run(main())
