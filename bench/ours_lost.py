"""KubeChain killed with a hundred runs in flight: what is lost, what is done twice.

Called by ours.py. The tool leaves a line in a journal for every execution, the model server counts every call. A
tool that must not repeat has its cut off calls come back as OutcomeUnknown; this driver then does what a person
would: it looks into the journal, supplies the result where there is one and lets the others run again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.inflight import in_flight, lines
from bench.job import Shape, echo
from bench.kube import Kube, Phases
from bench.ours import Engine, prepare, start
from bench.ours_parked import CALL_PHASE
from bench.process import get, lift
from kubechain.resources.taskrun import TASK_RUNS
from kubechain.store.engine import Store

PATIENCE = 120.0


async def crashed(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Repeats, and seconds to the end, of `n` runs killed when half of all model calls were made."""
    shape = Shape(args.turns, args.size, args.wait)
    journal = folder / "journal"
    engine = Engine(folder)
    with engine.child:
        async with Kube(engine.kubeconfig) as kube:
            env = [{"name": "BENCH_JOURNAL", "value": str(journal)}]
            tool = {"function": {"entrypoint": "bench.job:echo", "env": env}, "effect": args.effect}
            task = await prepare(kube, args.model, shape, tool)
            lift(engine.pids)
            await kube.each(start(kube, task, f"c{n}") for n in range(args.n))
            await _half(args)
            engine.child.crash()
    flight = in_flight(args.model, journal, engine.child.killed)
    saved = await _saved(engine.database, folder / "copy")
    begun = time.perf_counter()
    engine = Engine(folder)
    with engine.child:
        ready = time.perf_counter() - begun
        async with Kube(engine.kubeconfig) as kube:
            asked = await _to_the_end(kube, args, journal)
            seconds = time.perf_counter() - begun
            done = await _answers(kube, args, shape)
    stats = get(f"{args.model}/stats")
    ran = Counter(lines(journal))
    return {
        "n": args.n,
        "done": done,
        **flight,
        "unsaved_at_kill": flight["asked_at_kill"] - saved,
        "model_repeats": stats["repeated"],
        "tool_repeats": ran.total() - len(ran),
        "asked": asked,
        "ready_s": ready,
        "finish_s": seconds,
    }


async def _saved(database: Path, folder: Path) -> int:
    """Replies that are in the transcripts at the kill, read from a copy of what it left behind."""
    folder.mkdir()
    for file in database.parent.glob(f"{database.name}*"):
        shutil.copy(file, folder)
    async with Store.open(folder / database.name, clock=lambda: datetime.now(UTC)) as store:
        return sum(run.status.turns for run in (await store.list(TASK_RUNS)).items)


async def _half(args: argparse.Namespace) -> None:
    """Returns when half of all model calls have arrived; the model server tells only when asked."""
    while get(f"{args.model}/stats")["total"] < args.n * args.turns // 2:  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def _to_the_end(kube: Kube, args: argparse.Namespace, journal: Path) -> int:
    """Waits until every run has ended, answering for people meanwhile; how many answers that took."""
    asked = 0

    async def person(calls: Phases) -> None:
        nonlocal asked
        while True:
            name = await calls.next("OutcomeUnknown")
            asked += 1
            await kube.patch_status("toolcalls", name, await _looked_up(kube, name, journal))

    async with asyncio.timeout(PATIENCE), Phases(kube) as runs, Phases(kube, "toolcalls", CALL_PHASE) as calls:
        answering = asyncio.create_task(person(calls))
        try:
            await runs.count("FinalAnswer", args.n)
        finally:
            answering.cancel()
    return asked


async def _looked_up(kube: Kube, name: str, journal: Path) -> dict[str, Any]:
    given = json.loads((await kube.get("toolcalls", name))["spec"]["arguments"])
    if f"{given['run']} {given['n']}" in lines(journal):
        return {"phase": "Succeeded", "error": None, "result": echo(**given)}
    return {"phase": "Pending", "error": None}


async def _answers(kube: Kube, args: argparse.Namespace, shape: Shape) -> int:
    runs = [(await kube.get("taskruns", f"c{n}"))["status"] for n in range(args.n)]
    return sum(run.get("output") == shape.answer for run in runs)
