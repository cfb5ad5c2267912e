"""The story: many runs in flight, replicas that die or are cut off, a person who says what became of lost calls.

What is counted: runs that end as they must, lines in the journal of the tool, questions to the model.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench.job import ASKED, Shape
from kubechain.cluster.remote import RemoteApi, connect
from kubechain.cluster.target import ClusterSettings
from kubechain.errors import Conflict
from kubechain.resources.builtin import NAMESPACES, Namespace
from kubechain.resources.json import JsonObject
from kubechain.resources.model import ObjectMeta
from kubechain.resources.registry import OURS
from kubechain.resources.task import TASKS
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.replicas.lease import lease_name
from tests.replicas.processes import Replicas, Seen, changes, replicas

ROOT = Path(__file__).parents[2]
API_VERSION = "kubechain.humanlayer.dev/v1alpha1"
RAW = {kind.kind: kind.raw for kind in OURS}


@dataclass(frozen=True)
class Plan:
    """How big it is. In seconds: `duration` of a Lease, how long a `tool` dawdles, a kill `every` so many."""

    runs: int
    shape: Shape
    duration: float
    tool: float = 0.3
    every: float = 5.0
    kills: int = 0
    cut: float = 0.0
    seconds: float = 600.0
    seed: int = 20261122


@dataclass
class Report:
    """What came of it."""

    seconds: float = 0.0
    kills: int = 0
    cuts: int = 0
    by_lease: list[float] = field(default_factory=list)
    clean: list[float] = field(default_factory=list)
    settled: Counter[str] = field(default_factory=Counter)
    """What the person said of calls that were cut off: done, or not done."""
    wrong: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    asked: int = 0
    repeated: int = 0
    carried: dict[str, set[str]] = field(default_factory=dict)
    """By replica, the runs whose calls it was at work on: what the marks in the ToolCalls said."""

    def lines(self) -> list[str]:
        def most(times: list[float]) -> str:
            return ", ".join(f"{t:.1f}" for t in sorted(times)) or "-"

        return [
            f"{self.seconds:.1f} s, {self.kills} killed, {self.cuts} cut off",
            f"takeover after SIGKILL, by lease, s: {most(self.by_lease)}",
            f"takeover after SIGTERM, s: {most(self.clean)}",
            f"calls that were cut off: {dict(self.settled)}",
            f"effects doubled: {len(self.doubled)} {self.doubled[:5]}",
            f"model: asked {self.asked} times, {self.repeated} of them again",
            f"runs that ended otherwise: {len(self.wrong)} {self.wrong[:5]}",
        ]


@dataclass
class Drama:
    """One namespace of a cluster with runs in it."""

    plan: Plan
    api: RemoteApi
    replicas: Replicas
    seen: Seen
    model: str
    journal: Path
    report: Report = field(default_factory=Report)
    number: int = 0
    cut: str = ""
    """The replica that is cut off: what its Lease says is what it said before."""

    async def prepare(self, first: int = 3) -> None:
        """Starts the replicas, and applies everything but the runs."""
        for manifest in self._manifests():
            document: JsonObject = {"metadata": {"name": "work", "namespace": self.replicas.namespace}, **manifest}
            await self.api.create(RAW[str(manifest["kind"])], msgspec.json.encode(document))
        await asyncio.gather(*(self.replicas.start(self.new_name()) for _ in range(first)))
        await self._ready()
        await self.seen.until(self._balanced)

    def new_name(self) -> str:
        self.number += 1
        return f"replica-{self.number}"

    def _balanced(self) -> bool:
        return all(len(self.seen.among(name)) == len(self.replicas.running) for name in self.replicas.running)

    def _manifests(self) -> list[JsonObject]:
        env: list[Any] = [
            {"name": "JOURNAL", "value": str(self.journal)},
            {"name": "SECONDS", "value": str(self.plan.tool)},
        ]
        llm: JsonObject = {
            "provider": "openai-compatible",
            "parameters": {"baseURL": f"{self.model}/v1", "model": self.plan.shape.model},
        }
        tool: JsonObject = {"function": {"entrypoint": "replicatools:send", "env": env}, "effect": "NonIdempotent"}
        agent: JsonObject = {"llmRef": {"name": "work"}, "tools": [{"name": "work"}], "system": "Work."}
        task: JsonObject = {"agent": "work", "userMessage": "a run says what"}
        specs = {"LLM": llm, "Tool": tool, "Agent": agent, "Task": task}
        return [{"apiVersion": API_VERSION, "kind": kind, "spec": spec} for kind, spec in specs.items()]

    async def _ready(self) -> None:
        async with asyncio.timeout(60):
            async with aclosing(changes(self.api, TASKS, self.replicas.namespace)) as stream:
                async for event in stream:
                    if event.object.status.ready:
                        return

    async def begin(self, prefix: str, count: int) -> list[str]:
        """Creates runs, and tells their names."""
        names = [f"{prefix}-{n}" for n in range(count)]
        slots = asyncio.Semaphore(32)

        async def one(name: str) -> None:
            manifest: JsonObject = {
                "apiVersion": API_VERSION,
                "kind": "TaskRun",
                "metadata": {"name": name, "namespace": self.replicas.namespace},
                "spec": {"task": "work", "userMessage": ASKED + name},
            }
            async with slots:
                await self.api.create(RAW["TaskRun"], msgspec.json.encode(manifest))

        await asyncio.gather(*map(one, names))
        return names

    async def finished(self, names: list[str]) -> None:
        """Returns when all of them are."""
        missing = set(names)
        async with aclosing(changes(self.api, TASK_RUNS, self.replicas.namespace)) as stream:
            async for event in stream:
                if event.object.status.finished:
                    missing.discard(event.key.name)
                    if not missing:
                        return

    async def look_after(self) -> None:
        """The person: says of every call that was cut off whether the journal knows it, until cancelled."""
        async with aclosing(changes(self.api, TOOL_CALLS, self.replicas.namespace)) as stream:
            async for event in stream:
                if holder := event.object.status.holder:
                    name, _, _ = holder.rpartition("_")
                    self.report.carried.setdefault(name, set()).add(event.object.spec.task_run)
                if event.object.status.phase == "OutcomeUnknown":
                    await self._settle(event.object)

    async def _settle(self, call: ToolCall) -> None:
        given = json.loads(call.spec.arguments)
        done = f"{given['run']} {given['n']}" in self.journal.read_text().splitlines()
        self.report.settled["done" if done else "not done"] += 1
        result = f"{given['n']:0{given['size']}d}"
        status: JsonObject = {"phase": "Succeeded", "result": result} if done else {"phase": "Pending"}
        merge: JsonObject = {"metadata": {"resourceVersion": call.metadata.resource_version}, "status": status}
        try:
            await self.api.patch(TOOL_CALLS, call.metadata.name, call.metadata.namespace, merge, status=True)
        except Conflict:
            self.report.settled["said in vain"] += 1

    async def storm(self) -> None:
        """Every few seconds one is killed, the leader and another in turn, and started again; one is cut off."""
        chance, plan = random.Random(self.plan.seed), self.plan
        async with asyncio.TaskGroup() as group:
            spared = ""
            for kill in range(plan.kills):
                await _moment(plan.every)
                if kill == 1 and plan.cut:
                    spared = chance.choice([name for name in self.replicas.running if name != self.seen.leader])
                    group.create_task(self._cut_off(spared))
                others = sorted(set(self.replicas.running) - {spared})
                leader = self.seen.leader if self.seen.leader in others else ""
                victim = leader if kill % 2 == 0 and leader else chance.choice(others)
                if len(others) > 1:
                    await self._kill(victim, self.new_name() if kill % 2 == 0 else victim, group)

    async def _kill(self, victim: str, successor: str, group: asyncio.TaskGroup) -> None:
        await self.replicas.kill(victim)
        self.report.kills += 1
        if successor != victim:
            group.create_task(self._measure(victim))
        group.create_task(self._start(successor))

    async def _start(self, name: str) -> None:
        await self.replicas.start(name)

    async def _measure(self, gone: str) -> None:
        """Seconds until all that live act without it, and it leads no more."""

        def without() -> bool:
            alive = set(self.replicas.running) - {self.cut}
            views = [view for name in alive if (view := self.seen.among(name))]
            return bool(views) and self.seen.leader != gone and not any(lease_name(gone) in view for view in views)

        self.report.by_lease.append(await self.seen.until(without, 120))

    async def _cut_off(self, name: str) -> None:
        self.report.cuts += 1
        self.cut, wire = name, self.replicas.running[name].wire
        wire.cut()
        await _moment(self.plan.cut)
        wire.mend()
        self.cut = ""

    async def judge(self, names: list[str]) -> None:
        """Looks at every run, at the journal and at the questions."""
        turns, size = self.plan.shape.turns, self.plan.shape.size
        results = [f"{n:0{size}d}" for n in range(turns - 1)]
        for name in names:
            run = await self.api.get(TASK_RUNS, name, self.replicas.namespace)
            if run.status.output != self.plan.shape.answer or _results(run) != results:
                self.report.wrong.append(f"{name}: {run.status.phase} {run.status.output} {_results(run)}")
        lines = Counter(self.journal.read_text().splitlines())
        expected = {f"{name} {n}" for name in names for n in range(turns - 1)}
        self.report.doubled = sorted(line for line, times in lines.items() if times > 1 and line in expected)
        self.report.wrong += [f"never done: {line}" for line in sorted(expected - set(lines))]
        stats = await asyncio.to_thread(_get, f"{self.model}/stats")
        self.report.asked, self.report.repeated = stats["total"], stats["repeated"]


def _results(run: TaskRun) -> list[str]:
    return [str(message.content) for message in run.status.messages if message.role == "tool"]


def _get(url: str) -> dict[str, int]:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
        found: dict[str, int] = json.loads(answer.read())
        return found


async def _moment(seconds: float) -> None:
    """Time that passes in the story: not a wait for anything."""
    await asyncio.sleep(seconds)


@asynccontextmanager
async def _model_server() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.model",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        yield json.loads(line)["url"]
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def drama(plan: Plan, kubeconfig: Path, folder: Path) -> AsyncIterator[Drama]:
    """A fresh namespace, a model server, a person; no replica yet."""
    async with _model_server() as model, connect(ClusterSettings(kubeconfig)) as api:
        made = await api.create(NAMESPACES, Namespace(metadata=ObjectMeta(generate_name="replicas-")))
        namespace, seen = made.metadata.name, Seen(api, made.metadata.name)
        words = ("--lease-duration", f"{plan.duration:g}s")
        async with replicas(kubeconfig, folder, namespace, *words) as running:
            play = Drama(plan, api, running, seen, model, folder / "journal")
            play.journal.touch()
            background = [asyncio.create_task(seen.watch()), asyncio.create_task(play.look_after())]
            try:
                yield play
            finally:
                for task in background:
                    task.cancel()
                await asyncio.gather(*background, return_exceptions=True)
        await api.delete(NAMESPACES, namespace)


async def played(plan: Plan, kubeconfig: Path, folder: Path) -> Report:
    """The whole story: the storm over runs in flight, then a clean end of the leader over a few more."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(plan.seconds), drama(plan, kubeconfig, folder) as play:
        await play.prepare()
        begun = loop.time()
        names = await play.begin("run", plan.runs)
        async with asyncio.TaskGroup() as group:
            group.create_task(play.storm())
            group.create_task(play.finished(names))
        play.report.seconds = loop.time() - begun
        more = await play.begin("more", max(2, plan.runs // 10))
        leader = play.seen.leader
        others = [name for name in play.replicas.running if name != leader]
        ending = asyncio.create_task(play.replicas.end(leader))
        play.report.clean.append(await play.seen.without(leader, others))
        if (code := await ending) != 0:
            play.report.wrong.append(f"{leader} ended with {code} on SIGTERM")
        await play.finished(more)
        await play.judge(names + more)
    return play.report
