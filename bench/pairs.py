"""Runs of KubeChain that wait for sub-agents: what a pair of parent and child costs while the child waits.

`python -m bench.pairs --n 1000` starts `kubechain up` on a new folder. The child calls an `external` tool, so both
wait until somebody writes a result: the parent's ToolCall is AwaitingSubAgent, the child's is Running. The memory
of a pair is the difference between a quarter of them and all, divided by their number.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.kube import Kube, Phases
from bench.ours import Engine, manifest
from bench.ours_parked import CALL_PHASE, IDLE_SECONDS, PATIENCE
from bench.process import cpu, quiet, resident
from kubechain.providers.models.scripted.script import load
from kubechain.providers.models.scripted.server import ScriptedModel

SCRIPT = """
- match: {userMessage: "^ask", turn: 0}
  reply: {toolCalls: [{name: delegate_to_clerk, arguments: {message: work}}]}
- {match: {userMessage: "^work", turn: 0}, reply: {toolCalls: [{name: lab, arguments: {}}]}}
- {reply: {content: "told: {result}"}}
"""


async def pairs(folder: Path, n: int) -> dict[str, Any]:
    """The figures of `n` pairs, and that all of them end once the laboratory has answered."""
    few = n // 4
    async with ScriptedModel(load(SCRIPT)) as model:
        engine = Engine(folder)
        with engine.child:
            async with Kube(engine.kubeconfig) as kube:
                await _prepare(kube, model.base_url)
                await _park(kube, range(few))
                await asyncio.to_thread(quiet, engine.pids)
                made_few = resident(engine.pids)
                await _park(kube, range(few, n))
                await asyncio.to_thread(quiet, engine.pids)
                made, used = resident(engine.pids), cpu(engine.pids)
                await asyncio.sleep(IDLE_SECONDS)
                idle = (cpu(engine.pids) - used) / IDLE_SECONDS
            engine.child.crash()
        engine = Engine(folder)
        with engine.child:
            await asyncio.to_thread(quiet, engine.pids)
            return {
                "n": n,
                "kb_per_pair": (made - made_few) * 1000 / (n - few),
                "memory_mb": made,
                "idle_cpu": idle,
                "restart_s": engine.start_seconds,
                "restarted_mb": resident(engine.pids),
                "answer_all_s": await _answer(engine, n),
            }


async def _prepare(kube: Kube, model: str) -> None:
    parameters = {"baseURL": model, "model": "m"}
    llm = {"llmRef": {"name": "m"}}
    await kube.create("llms", manifest("LLM", "m", {"provider": "openai-compatible", "parameters": parameters}))
    await kube.create("tools", manifest("Tool", "lab", {"external": {}}))
    await kube.create("agents", manifest("Agent", "clerk", {**llm, "tools": [{"name": "lab"}]}))
    await kube.create("agents", manifest("Agent", "boss", {**llm, "subAgents": [{"name": "clerk"}]}))
    async with asyncio.timeout(30), Phases(kube, "agents", column=3) as agents:
        await agents.reached("boss", ("Ready",))


async def _park(kube: Kube, numbers: range) -> None:
    """Creates runs, and returns when each waits for a sub-agent that waits for the laboratory."""
    async with asyncio.timeout(PATIENCE), Phases(kube, "toolcalls", column=CALL_PHASE) as calls:
        waiting = [asyncio.create_task(calls.count(p, numbers.stop)) for p in ("AwaitingSubAgent", "Running")]
        await kube.each(
            kube.create("taskruns", manifest("TaskRun", f"p{n}", {"agent": "boss", "userMessage": "ask"}))
            for n in numbers
        )
        await asyncio.gather(*waiting)


async def _answer(engine: Engine, n: int) -> float:
    """Seconds until all have answered, parents and children."""
    async with Kube(engine.kubeconfig) as kube, Phases(kube) as runs:
        rows, _ = await kube.rows("toolcalls")
        open_calls = [row.object.metadata.name for row in rows if row.cells[CALL_PHASE] == "Running"]
        assert len(open_calls) == n, len(open_calls)
        begun = time.perf_counter()
        ended = asyncio.create_task(runs.count("FinalAnswer", 2 * n))
        status = {"phase": "Succeeded", "result": "fine"}
        await kube.each(kube.patch_status("toolcalls", name, status) for name in open_calls)
        async with asyncio.timeout(PATIENCE):
            await ended
        return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1_000, help="how many pairs")
    with TemporaryDirectory() as folder:
        found = asyncio.run(pairs(Path(folder), parser.parse_args().n))
    print(
        "{n:,} parents parked on {n:,} children: {kb_per_pair:.1f} KB a pair, {memory_mb:.0f} MB in all "
        "({restarted_mb:.0f} MB after a restart), idle CPU {idle_cpu:.3f}; a restart takes {restart_s:.2f} s, "
        "answering all {answer_all_s:.1f} s".format(**found)
    )


if __name__ == "__main__":
    main()
