"""KubeChain on a real Kubernetes API server, beside what that server takes for the same writes alone.

`python -m bench.cluster` starts etcd and kube-apiserver (tests/parts/apiserver), `kubechain operator` as a process
of its own and the model server, and prints: milliseconds a tool turn of one run, and of its writes alone, measured
in turn; turns a second of many runs at once, and writes a second of the same writes alone; requests a turn out of
the server's audit log; tool runs done twice. `--json` prints it for machines, `--into PAGE` puts it into a page.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import msgspec
import uvloop

from bench import cluster_parked, replay
from bench.cluster_parked import operate
from bench.job import ASKED, ECHO, Shape
from bench.process import Child, Model, cpu, descendants, free_ports, lift, resident, tree
from bench.replay import Stories
from bench.report import into
from kubechain.cluster.remote import RemoteApi, connect
from kubechain.cluster.target import ClusterSettings
from kubechain.resources.registry import OURS
from kubechain.resources.task import TASKS
from tests.kubernetes import install
from tests.parts.apiserver import Cluster

_KINDS = {kind.kind: kind.raw for kind in OURS}
_WRITES = ("create", "update", "patch", "delete")
PATIENCE = 600.0


@dataclass
class World:
    """A cluster with an operator at work, and what is known of it from outside."""

    cluster: Cluster
    api: RemoteApi
    model: Model
    stories: Stories
    operator: Child
    folder: Path

    async def create(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        document = {
            "apiVersion": "kubechain.humanlayer.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "default"},
            "spec": spec,
        }
        await self.api.create(_KINDS[kind], msgspec.json.encode(document))

    async def prepare(self, shape: Shape, tool: dict[str, Any] | None = None) -> str:
        """The Task of runs of this shape, once it is ready."""
        name = shape.model
        parameters = {"baseURL": f"{self.model.url}/v1", "model": name}
        await self.create("LLM", name, {"provider": "openai-compatible", "parameters": parameters})
        env = [{"name": "BENCH_JOURNAL", "value": str(self.folder / "journal")}]
        function = {"function": {"entrypoint": "bench.job:echo", "env": env}, "effect": "ReadOnly"}
        await self.create("Tool", name, {"parameters": ECHO, **(tool or function)})
        await self.create("Agent", name, {"llmRef": {"name": name}, "tools": [{"name": name}]})
        await self.create("Task", name, {"agent": name, "userMessage": "a run says what"})
        async for task in replay.changes(self.api, TASKS):
            if task.metadata.name == name and task.status.ready:
                break
        return name

    async def run(self, name: str, task: str, shape: Shape) -> None:
        """Creates a run and returns when it has ended, with the right answer."""
        await self.create("TaskRun", name, {"task": task, "userMessage": ASKED + name})
        await self.stories.ended(name)
        output = self.stories[name].states[-1].status.output
        assert output == shape.answer, f"{name}: {self.stories[name].states[-1].status}"

    def requests(self) -> Counter[str]:
        """Requests about the namespace that the operator looks after, so far."""
        found: Counter[str] = Counter()
        for entry in self.cluster.audit():
            about = entry.get("objectRef", {})
            if about.get("namespace") == "default" and entry.get("userAgent", "").startswith("kubechain/"):
                where = "/".join(filter(None, (about["resource"], about.get("subresource"))))
                found[f"{entry['verb']} {where}"] += 1
        return found

    async def written(self) -> Counter[str]:
        """The same once the last Events are written too."""
        await asyncio.sleep(1.0)
        return self.requests()

    def doubled(self) -> int:
        """Tool runs beyond the first of each call."""
        ran = Counter((self.folder / "journal").read_text().splitlines())
        return ran.total() - len(ran)


def per_turn(after: Mapping[str, int], before: Mapping[str, int], runs: int, turns: int) -> dict[str, float]:
    """Requests for one turn, without those of who measures: the create of each run."""
    used = {what: after[what] - before.get(what, 0) for what in after}
    used["create taskruns"] = used.get("create taskruns", 0) - runs
    return {what: round(count / turns, 3) for what, count in sorted(used.items()) if count}


def writes(requests: Mapping[str, float]) -> float:
    return sum(count for what, count in requests.items() if what.split()[0] in _WRITES)


async def one_at_a_time(world: World, shape: Shape, rounds: int) -> dict[str, Any]:
    """One run and then its writes alone, `rounds` times: other work on the machine disturbs both alike."""
    task = await world.prepare(shape)
    for n in range(2):
        await world.run(f"warm-{n}", task, shape)
        await replay.told_again(world.api, world.stories[f"warm-{n}"], f"warm-{n}")
    before, operator = await world.written(), tree(world.operator.pid)
    turn, raw, used = [], [], 0.0
    for n in range(rounds):
        name, spent = f"one-{n}", cpu(operator)
        await world.run(name, task, shape)
        used += cpu(operator) - spent
        arrivals = [at for _, at in world.model.ask(f"/times?run={name}")]
        turn.append((arrivals[-1] - arrivals[0]) * 1000 / (shape.turns - 1))
        raw.append(statistics.mean(await replay.told_again(world.api, world.stories[name], name)) * 1000)
    requests = per_turn(await world.written(), before, rounds, rounds * shape.turns)
    return {
        "ms_per_tool_turn": statistics.median(turn),
        "ms_of_its_writes_alone": statistics.median(raw),
        "ratio": statistics.median(ours / theirs for ours, theirs in zip(turn, raw, strict=True)),
        "ratios": [round(ours / theirs, 2) for ours, theirs in zip(turn, raw, strict=True)],
        "operator_cpu_ms": used * 1000 / (rounds * shape.turns),
        "requests": requests,
    }


async def all_at_once(world: World, shape: Shape, runs: int) -> dict[str, Any]:
    task = await world.prepare(shape)
    before, operator, server = await world.written(), tree(world.operator.pid), _servers(world)
    used, served, begun = cpu(operator), cpu(server), time.perf_counter()
    names = [f"many-{n}" for n in range(runs)]
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(world.run(name, task, shape) for name in names))
    seconds, turns = time.perf_counter() - begun, runs * shape.turns
    used, served = cpu(operator) - used, cpu(server) - served
    requests = per_turn(await world.written(), before, runs, turns)
    alone = await replay.together(world.api, [world.stories[name] for name in names], "many")
    return {
        "turns_per_s": turns / seconds,
        "writes_alone_per_s": alone,
        "writes_per_turn": writes(requests),
        "half_of_writes_alone": alone / writes(requests) / 2,
        "operator_cpu_ms": used * 1000 / turns,
        "servers_cpu_ms": served * 1000 / turns,
        "requests": requests,
        "operator_mb": resident(operator),
        "tool_runs_doubled": world.doubled(),
    }


def _servers(world: World) -> list[int]:
    """etcd, the API server and its controllers: what this process started and is not ours."""
    ours = {*tree(world.operator.pid), *tree(world.model.child.pid)}
    return [pid for pid in descendants(os.getpid()) if pid not in ours]


async def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every figure, by part."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(Cluster())
        await install(cluster.kubeconfig)
        api = await stack.enter_async_context(connect(ClusterSettings(cluster.kubeconfig)))
        await replay.make_room(api)
        model = stack.enter_context(Model(folder / "model.log"))
        operator = stack.enter_context(operate(cluster.kubeconfig, folder, free_ports(1)[0]))
        stories = Stories(api)
        following = asyncio.create_task(stories.follow())
        stack.callback(following.cancel)
        world = World(cluster, api, model, stories, operator, folder)
        lift([os.getpid(), *descendants(os.getpid())])
        if args.parked:
            return {"parked": await cluster_parked.parked(world, args.parked)}
        return {
            "one": await one_at_a_time(world, Shape(args.turns), args.rounds),
            "many": await all_at_once(world, Shape(args.many_turns), args.many),
        }


def text(found: Mapping[str, Any]) -> str:
    """The figures as people read them."""
    if "parked" in found:
        return cluster_parked.text(found["parked"])
    one, many = found["one"], found["many"]

    def listed(requests: Mapping[str, float]) -> str:
        return ", ".join(f"{what} {count:g}" for what, count in requests.items())

    return "\n".join(
        fill(line, 116, subsequent_indent="    " if line.startswith(" ") else "  ")
        for line in (
            f"one run at a time: {one['ms_per_tool_turn']:.1f} ms a tool turn, {one['ratio']:.2f} times the "
            f"{one['ms_of_its_writes_alone']:.1f} ms of its writes alone (each round: "
            f"{', '.join(map(str, one['ratios']))})",
            f"  CPU of the operator and its tools: {one['operator_cpu_ms']:.1f} ms a turn",
            f"  requests a turn: {listed(one['requests'])}",
            f"all at once: {many['turns_per_s']:.0f} turns a second of {many['writes_per_turn']:.2f} writes; the "
            f"server takes {many['writes_alone_per_s']:.0f} such writes a second alone, half of that is "
            f"{many['half_of_writes_alone']:.0f} turns",
            f"  CPU, ms a turn: operator and its tools {many['operator_cpu_ms']:.1f}, Kubernetes "
            f"{many['servers_cpu_ms']:.1f}; the operator takes {many['operator_mb']:.0f} MB",
            f"  requests a turn: {listed(many['requests'])}",
            f"  tool runs doubled: {many['tool_runs_doubled']}",
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster")
    parser.add_argument("--turns", type=int, default=20, help="of a run measured by itself")
    parser.add_argument(
        "--rounds", type=int, default=7, help="runs measured by themselves, each beside its writes"
    )
    parser.add_argument("--many", type=int, default=200, help="runs at once")
    parser.add_argument("--many-turns", type=int, default=5, help="of each of them")
    parser.add_argument("--parked", type=int, default=0, metavar="RUNS", help="a start with so many that wait")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--into", type=Path, metavar="PAGE", help="put the figures between the marks of a page")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(measure(args, Path(folder)))
    if args.into:
        into(args.into, "cluster", f"```\n{text(found)}\n```")
    print(json.dumps(found, indent=1) if args.json else text(found))


if __name__ == "__main__":
    main()
