"""`python -m tests.fuzz.mcp --seeds 0:20000`: talks with a range of strange servers and prints what was wrong.

Every seed that fails is printed with the command that plays it again. `--real N`: the first N of them as real
processes too. Exits 1 when something was wrong, memory or descriptors grew, or processes were left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tests.fuzz.mcp.world import hurry, play

AT_ONCE, REAL_AT_ONCE = 150, 4
MOST_GROWTH = 32 * 1024
"""Kilobytes that the program may be larger at the end than when it had warmed up."""
WARM = 0.2


@dataclass
class Summary:
    """What came of a range of servers."""

    servers: int = 0
    failures: dict[str, list[str]] = field(default_factory=dict)
    slowest: float = 0.0
    """Seconds that the event loop was held up at most."""
    grown: int = 0
    """Kilobytes."""


async def judge(seeds: range, *, real: int = 0) -> Summary:
    """Plays them all."""
    summary = Summary()
    others = set(_children())
    watch = asyncio.create_task(_watch(summary))
    warm = max(1, int(len(seeds) * WARM))
    await _all(seeds[:warm], summary, AT_ONCE, real=False)
    size, descriptors = _size(), _descriptors()
    await _all(seeds[warm:], summary, AT_ONCE, real=False)
    hurry(20)
    await _all(seeds[:real], summary, REAL_AT_ONCE, real=True)
    hurry()
    summary.grown = _size() - size
    if summary.grown > MOST_GROWTH:
        summary.failures["memory"] = [f"grew by {summary.grown:,} KiB"]
    if _descriptors() > descriptors:
        summary.failures["descriptors"] = [f"{_descriptors() - descriptors} were left open"]
    if children := set(_children()) - others:
        summary.failures["processes"] = [f"were left behind: {sorted(children)}"]
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    if left := [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
        summary.failures["tasks"] = [f"were left behind: {left[:5]}"]
    return summary


async def _all(seeds: range, summary: Summary, at_once: int, *, real: bool) -> None:
    todo = iter(seeds)

    async def one() -> None:
        for seed in todo:
            wrong = await play(seed, real=real, patience=3.0 if real else 0.3)
            summary.servers += 1
            if wrong:
                summary.failures[f"{seed}{' --real 1' if real else ''}"] = wrong

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(one())


async def _watch(summary: Summary) -> None:
    """How long the event loop does nothing else."""
    loop = asyncio.get_running_loop()
    while True:
        begun = loop.time()
        await asyncio.sleep(0.02)
        summary.slowest = max(summary.slowest, loop.time() - begun - 0.02)


def _size() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _children() -> list[str]:
    return Path("/proc/self/task").joinpath(str(_pid()), "children").read_text().split()


def _pid() -> int:
    return int(Path("/proc/self").resolve().name)


def quietly() -> None:
    """Without the log: what servers print is not ours to judge."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.mcp", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0:20000", help="FROM:TO, the latter not included")
    parser.add_argument("--real", type=int, default=0, help="so many of them as real processes too")
    given = parser.parse_args()
    first, last = map(int, given.seeds.split(":"))
    quietly()
    hurry()
    begun = time.monotonic()
    summary = asyncio.run(judge(range(first, last), real=given.real))
    for seed, wrong in list(summary.failures.items())[:50]:
        name = seed.split()[0]
        again = (
            f"  python -m tests.fuzz.mcp --seeds {name}:{int(name) + 1}{seed[len(name) :]}"
            if name.isdigit()
            else ""
        )
        print(ascii(f"{seed}: {'; '.join(text[:300] for text in wrong)}{again}"))
    took = time.monotonic() - begun
    print(
        f"{summary.servers:,} servers in {took:.0f} s, {len(summary.failures)} went wrong; the loop was held up "
        f"{summary.slowest * 1000:.0f} ms at most, {summary.grown:,} KiB were kept"
    )
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(main())
