"""What every peer's driver does with its system: the job that the command line names.

A driver implements `System`; this module does the jobs and prints their figures, one line of JSON each. `park` and
`crash` end by being killed; `--again` then goes on with what is in the folder. Runs in the peers' environments.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Protocol

from bench.arguments import say
from bench.job import Shape
from bench.jobs import measure
from bench.process import cpu, get, quiet, resident, size, written

IDLE_SECONDS = 5.0


class System(Protocol):
    """A peer, opened on a folder."""

    async def one(self, run: str) -> str:
        """Does a run; its final text."""
        ...

    async def many(self, runs: list[str]) -> list[str]:
        """Does runs all at once."""
        ...

    async def park(self, runs: list[str]) -> None:
        """Starts runs and returns when each waits for its approval."""
        ...

    async def approve(self, runs: list[str]) -> list[str]:
        """Approves waiting runs; their final texts."""
        ...

    async def recover(self, runs: list[str]) -> list[str]:
        """After a kill: the final texts of all, those going on by themselves or by what its docs advise."""
        ...


class Local:
    """The figures of a system that lives in this process and keeps its data in files of its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def pids(self) -> list[int]:
        return [os.getpid()]

    def disk(self) -> tuple[float, float]:
        return written(self.pids()), size(self.folder)


async def drive(args: argparse.Namespace, system: System, local: Local) -> None:
    """Does the job and prints its figures."""
    shape = Shape(args.turns, args.size, args.wait)
    runs = [f"{args.job}{n}" for n in range(args.n)]
    match args.job, args.again:
        case "park", False:
            await _park(system, local, runs)
        case "park", True:
            say(ready=True)
            begun = time.perf_counter()
            answers = await system.approve(runs)
            assert answers == [shape.answer] * len(runs), answers[:3]
            say(resume_s=time.perf_counter() - begun)
        case "crash", False:
            say(started=True)
            await system.many(runs)
        case "crash", True:
            say(ready=True)
            answers = await system.recover(runs)
            for run, answer in zip(runs, answers, strict=True):
                if answer != shape.answer:
                    print(f"{run}: {answer}", file=sys.stderr)
            say(done=sum(answer == shape.answer for answer in answers))
        case _:
            await measure(args, system.one, shape, system.many, local.disk, local.pids)


async def _park(system: System, local: Local, runs: list[str]) -> None:
    few = len(runs) // 4
    begun = time.perf_counter()
    await system.park(runs[:few])
    await asyncio.to_thread(quiet, local.pids(), share=0.5, seconds=20)
    before = resident(local.pids())
    await system.park(runs[few:])
    seconds = time.perf_counter() - begun
    await asyncio.to_thread(quiet, local.pids(), share=0.5, seconds=20)
    after, used = resident(local.pids()), cpu(local.pids())
    await asyncio.sleep(IDLE_SECONDS)
    say(
        memory_mb=after,
        kb_per_run=(after - before) * 1000 / (len(runs) - few),
        idle_cpu=(cpu(local.pids()) - used) / IDLE_SECONDS,
        park_s=seconds,
        size_mb=local.disk()[1],
    )
    await asyncio.Event().wait()


async def until_asked(model: str, calls: int) -> None:
    """Returns when the model server has seen so many different calls."""
    while (await asyncio.to_thread(get, f"{model}/stats"))["distinct"] < calls:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
