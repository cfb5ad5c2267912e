"""Turns per second of one replica and of more, over one real Kubernetes, in turns: `python -m bench.replicas`.

Needs the development tree: it starts Kubernetes as the tests do. The model takes its time for every reply, so that
what is measured is many runs at once and not one alone. All share this machine's cores: API server, etcd, model,
replicas, their tool processes, and who watches. So that a replica is what is short, and not the machine, each is
held with its tool processes to a share of a core (`--cpu`) from the moment that all are ready, as a pod with that
limit is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from bench.job import Shape
from bench.process import cpu, descendants, tree
from bench.quota import Quota, quota
from tests.kubernetes import install
from tests.parts.apiserver import Cluster
from tests.replicas.drama import Drama, Plan, drama

Figures = dict[str, float | list[int]]
CPU = 0.1
"""Cores: what our Deployment requests, which is what a node that is full leaves to a pod; it sets no limit."""
WARM = 20
"""Runs before those that count: every tool process is up."""


async def measured(replicas: int, given: argparse.Namespace, kubeconfig: Path) -> Figures:
    """One round. Per turn: milliseconds of CPU of all replicas together, and of Kubernetes where it is ours."""
    shape = Shape(given.turns, 16, given.wait)
    plan = Plan(runs=given.runs, shape=shape, duration=12, tool=given.tool)
    others = descendants(os.getpid())
    with tempfile.TemporaryDirectory(prefix="replicas-") as folder, ExitStack() as stack:
        quotas = [stack.enter_context(quota(given.cpu)) for _ in range(replicas if given.cpu else 0)]
        async with asyncio.timeout(600), drama(plan, kubeconfig, Path(folder)) as play:
            play.replicas.wired = False
            await play.prepare(replicas)
            mains = [one.running.pid for one in play.replicas.running.values()]
            _hold(mains, quotas)
            await play.finished(await play.begin("warm", WARM))
            pids = [pid for main in mains for pid in tree(main)]
            found = await _told(play, given, pids, others, quotas)
            if play.report.wrong or play.report.doubled:
                raise SystemExit(f"not right: {play.report.wrong} {play.report.doubled}")
            return found


def _hold(mains: Sequence[int], quotas: Sequence[Quota]) -> None:
    for main, one in zip(mains, quotas, strict=False):
        for _ in range(2):  # a process may have been started while the first ones were put in
            one.hold(tree(main))


async def _told(
    play: Drama, given: argparse.Namespace, pids: list[int], others: list[int], quotas: Sequence[Quota]
) -> Figures:
    """Of the runs that count, from the first one's creation to the last one's end."""
    play.report.carried.clear()
    before = [one.periods() for one in quotas]
    begun, used, served = time.perf_counter(), cpu(pids), cpu(others)
    names = await play.begin("run", given.runs)
    await play.finished(names)
    seconds, turns = time.perf_counter() - begun, given.runs * given.turns
    used, served = cpu(pids) - used, cpu(others) - served
    spans = [(b - a, d - c) for (a, c), (b, d) in zip(before, (one.periods() for one in quotas), strict=True)]
    await play.judge(names)
    found: Figures = {
        "turns_per_s": round(turns / seconds, 1),
        "cpu_ms_per_turn": round(used * 1000 / turns, 2),
        "kubernetes_cpu_ms_per_turn": round(served * 1000 / turns, 2),
        "runs_of_each": sorted(map(len, play.report.carried.values())),
    }
    if quotas:
        found["periods_cut_short"] = round(sum(cut for _, cut in spans) / sum(all_ for all_, _ in spans), 2)
    return found


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.replicas", description=__doc__)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2], metavar="N", help="how many, in turns")
    parser.add_argument(
        "--cpu", type=float, default=CPU, metavar="CORES", help="what each may use (%(default)s); 0 for no limit"
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--wait", type=int, default=50, help="milliseconds that the model takes")
    parser.add_argument("--tool", type=float, default=0.0, help="seconds that a tool takes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kubeconfig", type=Path)
    given = parser.parse_args()
    if task := asyncio.current_task():  # told to end, it takes down what it started, and its cgroups
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if given.cpu:
        try:
            with quota(given.cpu):
                pass
        except RuntimeError as refused:
            parser.error(str(refused))
    async with AsyncExitStack() as stack:
        kubeconfig = given.kubeconfig or (await stack.enter_async_context(Cluster())).kubeconfig
        await install(kubeconfig)
        rounds: dict[int, list[Figures]] = {n: [] for n in given.replicas}
        for _ in range(given.rounds):
            for replicas, found in rounds.items():
                found.append(await measured(replicas, given, kubeconfig))
                print(json.dumps({"replicas": replicas, **found[-1]}), flush=True)
    print(json.dumps(summary(rounds) | {"cores": os.cpu_count()}))


def summary(rounds: dict[int, list[Figures]]) -> dict[str, object]:
    """Medians; and how much more the largest number of replicas does than the least, each round by itself."""

    def each(what: str, replicas: int) -> list[float]:
        return [value for found in rounds[replicas] if isinstance(value := found[what], float)]

    pairs = zip(each("turns_per_s", max(rounds)), each("turns_per_s", min(rounds)), strict=True)
    return {
        "median_turns_per_s": {n: statistics.median(each("turns_per_s", n)) for n in rounds},
        "median_cpu_ms_per_turn": {n: statistics.median(each("cpu_ms_per_turn", n)) for n in rounds},
        "median_ratio": round(statistics.median(most / least for most, least in pairs), 2),
    }


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        raise SystemExit("ended before the end") from None
