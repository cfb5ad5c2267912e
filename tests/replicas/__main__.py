"""`python -m tests.replicas`: three replicas, 200 runs in flight, a kill every 5 s, one replica cut off for 20 s.

Takes some three minutes on 2 cores and prints what it measured; exits 1 where something did not hold. It starts a
Kubernetes of its own (`python -m tests.parts.apiserver` builds it once), or uses that of --kubeconfig.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from bench.job import Shape
from tests.kubernetes import install
from tests.parts.apiserver import Cluster
from tests.replicas.drama import Plan, Report, played

BY_LEASE, CLEAN = 15.0, 2.0
"""Seconds a takeover may take."""


async def play(given: argparse.Namespace) -> Report:
    """The story, in folders that are kept where one is named."""
    plan = Plan(
        runs=given.runs,
        shape=Shape(given.turns, 16, given.wait),
        duration=given.duration,
        kills=given.kills,
        cut=given.cut,
        seed=given.seed,
        seconds=1200,
    )
    async with AsyncExitStack() as stack:
        kubeconfig = given.kubeconfig
        if kubeconfig is None:
            kubeconfig = (await stack.enter_async_context(Cluster())).kubeconfig
        await install(kubeconfig)
        folder = given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="replicas-")))
        folder.mkdir(parents=True, exist_ok=True)
        return await played(plan, kubeconfig, folder)


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.replicas", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--wait", type=int, default=3000, help="milliseconds that the model thinks")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--cut", type=float, default=20.0, help="seconds that one replica is cut off")
    parser.add_argument("--duration", type=float, default=12.0, help="of a Lease, in seconds")
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--kubeconfig", type=Path)
    parser.add_argument("--folder", type=Path, help="keeps the journal and the replicas' logs")
    report = asyncio.run(play(parser.parse_args()))
    print("\n".join(report.lines()))
    slow = [t for t in report.by_lease if t > BY_LEASE] + [t for t in report.clean if t > CLEAN]
    return 1 if report.wrong or report.doubled or slow else 0


if __name__ == "__main__":
    sys.exit(main())
