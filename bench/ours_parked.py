"""Runs of KubeChain that wait for somebody: what they cost while they wait, and after a kill -9.

Called by ours.py. The tool is an `external` one: its ToolCall stays Running until its status is patched.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

from bench.job import Shape
from bench.kube import Kube, Phases
from bench.ours import Engine, prepare, start
from bench.process import cpu, get, quiet, resident, size
from tests.parts.cache import PartMissing
from tests.parts.kubectl import kubectl

CALL_PHASE = 1
"""The column of a ToolCall's phase."""
IDLE_SECONDS = 5.0
PATIENCE = 900.0


async def parked(args: argparse.Namespace, folder: Path, *, again: bool) -> dict[str, Any]:
    """Figures of `n` waiting runs; with `again` also those of the approval of all after a kill and a restart.

    A run's memory is the difference between a quarter of them and all, divided by their number: in the process
    that made them (`kb_per_run`, as with the peers) and in one that found them (`kb_per_run_restarted`).
    """
    few = args.n // 4
    engine = Engine(folder)
    with engine.child:
        async with Kube(engine.kubeconfig) as kube:
            task = await prepare(kube, args.model, Shape(args.turns, args.size, args.wait), {"external": {}})
            await _park(kube, task, range(few))
        quiet(engine.pids)
        made_few = resident(engine.pids)
        engine.child.crash()
    engine = Engine(folder)
    with engine.child:
        quiet(engine.pids)
        found_few = resident(engine.pids)
        figures = await _wait_for_somebody(engine, args, task, few)
        engine.child.crash()
    engine = Engine(folder)
    with engine.child:
        quiet(engine.pids)
        found_all = resident(engine.pids)
        figures |= {
            "ready_s": engine.start_seconds,
            "restarted_mb": found_all,
            "kb_per_run": (figures["memory_mb"] - made_few) * 1000 / (args.n - few),
            "kb_per_run_restarted": (found_all - found_few) * 1000 / (args.n - few),
        }
        return figures | await _approve(engine, args) if again else figures


async def _wait_for_somebody(engine: Engine, args: argparse.Namespace, task: str, few: int) -> dict[str, Any]:
    async with Kube(engine.kubeconfig) as kube:
        begun = time.perf_counter()
        await _park(kube, task, range(few, args.n))
        seconds = time.perf_counter() - begun
        settled = quiet(engine.pids)
        after, used = resident(engine.pids), cpu(engine.pids)
        await asyncio.sleep(IDLE_SECONDS)
        idle = (cpu(engine.pids) - used) / IDLE_SECONDS
        return {
            "n": args.n,
            "memory_mb": after,
            "idle_cpu": idle,
            "park_s": seconds * args.n / (args.n - few),
            "settled_s": settled,
            "size_mb": size(engine.state),
            **await _listed(kube, engine),
        }


async def _listed(kube: Kube, engine: Engine) -> dict[str, Any]:
    """How long a list of all runs in pages of 500 takes: this client's, and kubectl's where there is one."""
    begun = time.perf_counter()
    rows, _ = await kube.rows("taskruns")
    found: dict[str, Any] = {"listed": len(rows), "list_s": time.perf_counter() - begun}
    try:
        binary = await asyncio.to_thread(kubectl, "1.32")
    except PartMissing:
        return found
    words = [str(binary), "--kubeconfig", str(engine.kubeconfig), "get", "taskruns", "--chunk-size=500"]
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert len(out.splitlines()) == len(rows) + 1, out[-300:]
    return found | {"kubectl_list_s": time.perf_counter() - begun}


async def _park(kube: Kube, task: str, numbers: range) -> None:
    """Creates runs and returns when the ToolCall of each waits outside."""
    async with asyncio.timeout(PATIENCE), Phases(kube, "toolcalls", column=CALL_PHASE) as calls:
        running = asyncio.create_task(calls.count("Running", numbers.stop))
        await kube.each(start(kube, task, f"p{n}") for n in numbers)
        await running


async def _approve(engine: Engine, args: argparse.Namespace) -> dict[str, Any]:
    shape = Shape(args.turns, args.size, args.wait)
    used = cpu(engine.pids)
    await asyncio.sleep(IDLE_SECONDS)
    idle = (cpu(engine.pids) - used) / IDLE_SECONDS
    async with Kube(engine.kubeconfig) as kube, Phases(kube) as runs:
        rows, _ = await kube.rows("toolcalls")
        status = {"phase": "Succeeded", "result": "approved"}
        begun = time.perf_counter()
        finished = asyncio.create_task(runs.count("FinalAnswer", args.n))
        await kube.each(kube.patch_status("toolcalls", row.object.metadata.name, status) for row in rows)
        sent = time.perf_counter() - begun
        async with asyncio.timeout(PATIENCE):
            await finished
        seconds = time.perf_counter() - begun
        last = (await kube.get("taskruns", f"p{args.n - 1}"))["status"]
        assert last["output"] == shape.answer, last
    stats = get(f"{args.model}/stats")
    return {
        "idle_cpu_after": idle, "approve_s": sent, "resume_s": seconds, "model_repeats": stats["repeated"]
    }  # fmt: skip
