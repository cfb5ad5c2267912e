"""What the operator asks of an API server with many objects: at a start, after a cut, after an absence."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import yaml
from msgspec.structs import replace

from kubechain.agents.naming import tool_call_name
from kubechain.app.loops import controllers
from kubechain.app.operator import OperatorSettings, operator
from kubechain.app.settings import ProviderSettings
from kubechain.cluster.http import opened
from kubechain.cluster.kubeconfig import load
from kubechain.cluster.remote import RemoteApi, connect
from kubechain.cluster.target import ClusterSettings
from kubechain.controllers.runs.checkpoints import child_meta
from kubechain.deploying.rbac import RECONCILED
from kubechain.providers.models.scripted.server import ScriptedModel
from kubechain.resources.builtin import SECRETS
from kubechain.resources.kind import GROUP, Kind, R
from kubechain.resources.model import ObjectMeta
from kubechain.resources.registry import OURS
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.tool import TOOLS
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.api import Change, WatchOptions
from kubechain.runtime.clock import now
from kubechain.runtime.informer import PAGE
from kubechain.samples import manifests as samples
from kubechain.store.engine import Store
from tests.kubernetes import Kubernetes, on_cluster
from tests.story import manifests
from tests.story.program import place
from tests.story.tap import Asked, Tap, counted
from tests.story.test_external import TOOL
from tests.world import world

SECONDS = 60.0
WAITING = 100
"""Runs that wait for the laboratory, each with a ToolCall that is Running."""
assert PAGE <= 500
RUNS = PAGE + 1
PAGES = Counter({kind.plural: 1 for kind in RECONCILED} | {"taskruns": 2})
THE_SECRET = "secrets metadata.name=openai"
WATCHES = Counter([*(kind.plural for kind in RECONCILED), THE_SECRET])
AT_ONCE = 64


@dataclass(frozen=True)
class Served:
    """An API server: how it is reached, and how to make it forget the changes so far, where it does not anyway."""

    kubeconfig: Path
    namespace: str
    forget: Callable[[int], Awaitable[None]]
    audit: Path | None = None

    @asynccontextmanager
    async def tapped(self) -> AsyncIterator[tuple[RemoteApi, Tap]]:
        target = load([self.kubeconfig], "", now)
        async with opened(target) as connection:
            tap = Tap(connection)
            yield RemoteApi(tap, target), tap


@pytest.fixture(params=["embedded", on_cluster])
async def served(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    if request.param == "embedded":
        async with world(tmp_path) as made:
            assert isinstance(made.api, Store)
            yield Served(made.kubeconfig, "default", made.api.compact)
        return
    kubernetes: Kubernetes = request.getfixturevalue("kubernetes")

    async def forgets_by_itself(version: int) -> None:
        """Its watch cache begins when the CRDs came, which is after STALE."""

    async with place(kubernetes, tmp_path) as home:
        yield Served(home.kubeconfig, home.namespace, forgets_by_itself, kubernetes.audit)


async def applied(api: RemoteApi, namespace: str, *texts: str) -> None:
    kinds = {kind.kind: kind.raw for kind in (*OURS, SECRETS)}
    for manifest in map(yaml.safe_load, texts):
        manifest["metadata"]["namespace"] = namespace
        await api.create(kinds[manifest["kind"]], msgspec.json.encode(manifest))


async def first(api: RemoteApi, kind: Kind[R], namespace: str, holds: Callable[[R], bool]) -> R:
    """The first object of which it holds."""
    async with aclosing(api.watch(kind, namespace, WatchOptions())) as events:
        async for event in events:
            if isinstance(event, Change) and holds(event.object):
                return event.object
    raise AssertionError("the watch ended")


async def settled(api: RemoteApi, namespace: str, name: str) -> None:
    """Somebody outside writes the result of the run's call; returns when the run is through."""
    run = await api.get(TASK_RUNS, name, namespace)
    call = tool_call_name(name, run.metadata.uid, 1, 1)
    await api.patch(TOOL_CALLS, call, namespace, {"status": {"phase": "Succeeded", "result": "fine"}}, status=True)
    await first(api, TASK_RUNS, namespace, lambda run: run.metadata.name == name and run.status.finished)


async def parked(api: RemoteApi, served: Served, model: ScriptedModel, folder: Path) -> None:
    """One run that the operator itself brought to waiting, others like it, and more that are through."""
    namespace, slots = served.namespace, asyncio.Semaphore(AT_ONCE)
    async with controlled(api, served, model, folder):
        for sample in samples(namespace):
            await api.ensure(TOOLS.raw, msgspec.json.encode(sample))
        await applied(api, namespace, manifests.SECRET, manifests.walkthrough()["llm"], TOOL)
        await first(api, TOOLS, namespace, lambda tool: tool.spec.function is not None and tool.status.ready)
        await applied(
            api,
            namespace,
            manifests.agent("helper", "gpt-4o", "[{name: ask-the-lab}]"),
            manifests.task("ask", "helper", "Say hello using the ask-the-lab tool"),
            manifests.run("run-0", "ask"),
        )
        call = await first(api, TOOL_CALLS, namespace, lambda call: call.status.phase == "Running")
    run = await api.get(TASK_RUNS, "run-0", namespace)

    async def like_it(number: int) -> None:
        async with slots:
            name = f"run-{number}"
            made = await api.create(
                TASK_RUNS, TaskRun(metadata=ObjectMeta(name=name, namespace=namespace), spec=run.spec)
            )
            if number >= WAITING:
                await api.put_status(TASK_RUNS, replace(made, status=replace(run.status, phase="FinalAnswer")))
                return
            made = await api.put_status(TASK_RUNS, replace(made, status=run.status))
            meta = child_meta(made, tool_call_name(name, made.metadata.uid, 1, 1))
            child = ToolCall(metadata=meta, spec=replace(call.spec, task_run=name))
            await api.put_status(TOOL_CALLS, replace(await api.create(TOOL_CALLS, child), status=call.status))

    async with asyncio.TaskGroup() as group:
        for number in range(1, RUNS):
            group.create_task(like_it(number))


@asynccontextmanager
async def controlled(api: RemoteApi, served: Served, model: ScriptedModel, folder: Path) -> AsyncIterator[None]:
    """The control loops over that API while the block lasts; it begins when all that is there has been seen."""
    urls = {"openai": model.base_url}
    async with controllers(api, ProviderSettings(), urls, namespace=served.namespace) as loops:
        for informer in loops.caches.all():
            await informer.synced.wait()
        yield


def is_of_an_event(asked: Asked) -> bool:
    return asked.verb == "POST" and asked.path.startswith("/apis/events.k8s.io/")


def about_objects(asked: list[Asked]) -> set[str]:
    """Requests about one object, but the Events told of it."""
    return {
        f"{a.verb} {a.path}" for a in asked if not a.verb.endswith(("LIST", "WATCH")) and not is_of_an_event(a)
    }


def about_run(served: Served, name: str) -> set[str]:
    """What the end of a waiting run may take: a look whether we hold its newest version, and the checkpoint."""
    path = f"/apis/{GROUP}/v1alpha1/namespaces/{served.namespace}/taskruns/{name}"
    return {f"GET {path}", f"PUT {path}/status"}


def check_pages(asked: list[Asked]) -> None:
    """Every list is in pages of PAGE, one after the other, and its watch begins where it ends."""
    for what in WATCHES:
        pages = [a for a in asked if a.verb == "LIST" and a.what == what]
        (watch,) = (a for a in asked if a.verb == "WATCH" and a.what == what)
        assert {a.query["limit"] for a in pages} == {str(PAGE)}
        assert [("continue" in a.query, a.more) for a in pages] == [
            (number > 0, number < len(pages) - 1) for number in range(len(pages))
        ]
        assert watch.query["resourceVersion"] == pages[-1].version
        assert watch.query["allowWatchBookmarks"] == "true"
        assert "sendInitialEvents" not in watch.query


async def size_of_all(api: RemoteApi, served: Served) -> int:
    """Bytes of every object as the server writes it."""
    pages = [await api.list(kind.raw, served.namespace) for kind in (*RECONCILED, SECRETS)]
    return sum(len(document) for page in pages for document in page.items)


async def test_a_start_lists_in_pages_and_watches_once_and_a_cut_watch_goes_on_without_a_list(
    served: Served, tmp_path: Path
) -> None:
    namespace = served.namespace
    async with (
        asyncio.timeout(SECONDS),
        ScriptedModel() as model,
        connect(ClusterSettings(served.kubeconfig)) as people,
    ):
        await parked(people, served, model, tmp_path)
        size = await size_of_all(people, served)
        async with served.tapped() as (api, tap):
            async with controlled(api, served, model, tmp_path):
                await tap.watching(WATCHES)
                await settled(people, namespace, "run-1")
                start = tap.cut()
                assert counted(start, "LIST") == PAGES + Counter([THE_SECRET])
                assert counted(start, "WATCH") == WATCHES
                check_pages(start)
                assert sum(a.bytes for a in start if a.verb == "LIST") < 1.01 * size + 1000 * len(start)
                assert about_objects(start) <= about_run(served, "run-1")
                assert sum(map(is_of_an_event, start)) <= 2

                await tap.watching(WATCHES)
                await settled(people, namespace, "run-2")
                newest = await people.list(TASK_RUNS.raw, namespace)
                await served.forget(int(newest.resource_version))
                cut = tap.cut(stale=lambda request: GROUP in request.path)
                assert counted(cut, "LIST") == Counter()
                assert counted(cut, "WATCH") == WATCHES
                assert about_objects(cut) <= about_run(served, "run-2")
                assert sum(a.bytes for a in cut) < 100_000

                await tap.watching(WATCHES)
                await settled(people, namespace, "run-3")
                absent = tap.cut()
                assert counted(absent, "STALE WATCH") == WATCHES - Counter([THE_SECRET])
                assert counted(absent, "LIST") - Counter([THE_SECRET]) == PAGES
                assert about_objects(absent) <= about_run(served, "run-3")
        if served.audit is not None:
            await check_the_whole_operator(served, served.audit, tmp_path)


async def check_the_whole_operator(served: Served, audit: Path, folder: Path) -> None:
    """The same by the server's own log, of the whole program: beside Leases and who leads it asks nothing else."""
    before = len(audit.read_text().splitlines())
    cluster = ClusterSettings(served.kubeconfig)
    async with operator(
        OperatorSettings(cluster, served.namespace, providers=ProviderSettings("scripted"))
    ) as program:
        for informer in program.loops.caches.all():
            await informer.synced.wait()
    found: Counter[str] = Counter()
    for entry in map(json.loads, audit.read_text().splitlines()[before:]):
        about = entry.get("objectRef", {})
        ours = "(operator)" in entry.get("userAgent", "") and entry["stage"] == "ResponseComplete"
        if ours and about.get("namespace") == served.namespace and about["resource"] != "leases":
            found[f"{entry['verb']} {about['resource']}"] += 1
    lists = {f"list {plural}": pages for plural, pages in PAGES.items()} | {"list secrets": 1}
    assert found.pop("create events", 0) <= 1
    assert {what: times for what, times in found.items() if not what.startswith("watch ")} == lists
