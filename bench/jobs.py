"""seq, tput and grow for any system that can be asked for one run: the same measure for the floor and every peer.

Called in the peers' own environments: it needs the standard library alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.arguments import nonce, say
from bench.job import Shape
from bench.process import cpu, get, resident, size, written

One = Callable[[str], Awaitable[str]]
Many = Callable[[list[str]], Awaitable[list[str]]]
Bytes = Callable[[], tuple[float, float]]
"""Megabytes written so far, megabytes on disk."""


async def measure(
    args: argparse.Namespace,
    one: One,
    shape: Shape,
    many: Many | None = None,
    disk: Bytes | None = None,
    pids: Callable[[], list[int]] = lambda: [os.getpid()],
) -> None:
    """Does the job that `args` name and prints its figures. `one(run)` returns the final text."""

    async def all_at_once(runs: list[str]) -> list[str]:
        return list(await asyncio.gather(*(one(run) for run in runs)))

    async def timed(runs: list[str]) -> float:
        begun = time.perf_counter()
        answers = await (many or all_at_once)(runs) if len(runs) > 1 else [await one(runs[0])]
        seconds = time.perf_counter() - begun
        assert answers == [shape.answer] * len(runs), answers[:3]
        return seconds

    disk = disk or (lambda: (written(pids()), size(Path(args.dir))))
    say(**await _JOBS[args.job](args, timed, shape, disk, pids))


async def _seq(args: argparse.Namespace, timed: Any, shape: Shape, disk: Bytes, pids: Any) -> dict[str, object]:
    for _ in range(3):
        await timed([f"warm-{nonce()}"])
    used = cpu(pids())
    times = [await timed([f"s{i}-{nonce()}"]) * 1000 / shape.turns for i in range(args.runs)]
    spent = (cpu(pids()) - used) * 1000 / shape.turns / args.runs
    return {"ms_per_turn": statistics.median(times), "all": times, "cpu_ms_per_turn": spent}


async def _tput(args: argparse.Namespace, timed: Any, shape: Shape, disk: Bytes, pids: Any) -> dict[str, object]:
    await timed([f"warm{i}-{nonce()}" for i in range(20)])
    used, wrote = cpu(pids()), disk()[0]
    rates = []
    for k in range(args.runs):
        seconds = await timed([f"t{k}-{i}-{nonce()}" for i in range(args.n)])
        rates.append(args.n * shape.turns / seconds)
    turns = args.n * shape.turns * args.runs
    return {
        "turns_per_s": statistics.median(rates),
        "all": rates,
        "cpu_ms_per_turn": (cpu(pids()) - used) * 1000 / turns,
        "written_kb_per_turn": (disk()[0] - wrote) * 1000 / turns,
        "memory_mb": resident(pids()),
    }


async def _grow(args: argparse.Namespace, timed: Any, shape: Shape, disk: Bytes, pids: Any) -> dict[str, object]:
    run, before = f"g-{nonce()}", disk()
    seconds = await timed([run])
    return {"seconds": seconds, **gaps(args.model, run, shape), **_grown(before, disk())}


def _grown(before: tuple[float, float], after: tuple[float, float]) -> dict[str, object]:
    return {"written_mb": after[0] - before[0], "size_mb": after[1] - before[1]}


def gaps(model: str, run: str, shape: Shape) -> dict[str, float]:
    """Milliseconds between first arrivals of successive turns, as the model server saw them."""
    arrivals = dict(reversed(get(f"{model}/times?run={run}")))
    between = [(arrivals[n + 1] - arrivals[n]) * 1000 for n in range(shape.turns - 1)]
    return {"first20_ms": statistics.mean(between[:20]), "last20_ms": statistics.mean(between[-20:])}


_JOBS = {"seq": _seq, "tput": _tput, "grow": _grow}
