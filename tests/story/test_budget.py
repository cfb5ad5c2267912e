"""What a turn costs in writes and passes, counted between the controllers and a store on disk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from kubechain.app.loops import control_loops
from kubechain.controllers.assembly import Outside
from kubechain.providers.tools.mcp.sessions import MCP
from kubechain.providers.tools.table import runners
from kubechain.resources.json import JsonObject
from kubechain.resources.registry import OURS
from kubechain.resources.taskrun import TASK_RUNS
from kubechain.runtime.clock import now
from kubechain.store.engine import Store
from tests.crash.outside import OverHTTP, over_http
from tests.crash.points import Points, WatchedApi, WatchedFunctions, WatchedModels
from tests.crash.stories import NON_IDEMPOTENT, READ_ONLY, RUN, CrashStory
from tests.story.conftest import FUNCTIONS

KINDS = {kind.kind: kind.raw for kind in OURS}
NAMESPACE = "default"


@dataclass(frozen=True)
class Spent:
    """What a run took: writes by kind (Events aside), and reconciles by kind."""

    writes: Counter[str]
    passes: dict[str, int]


async def spent(story: CrashStory, outside: OverHTTP, directory: Path) -> Spent:
    """Lets everything get ready, then counts from the creation of the run until nothing happens any more."""
    points, models, sessions = Points(), outside.models(), MCP()
    parts = Outside(
        WatchedModels(models, points), runners(WatchedFunctions(outside.functions, points), sessions), {}
    )
    async with Store.open(directory / "store.db", clock=now) as store:
        async with control_loops(WatchedApi(store, points, NAMESPACE, "-"), parts) as loops:
            for manifest in story.manifests(outside.base_url, str(directory / "journal")):
                await create(store, manifest)
            await points.quiet()
            ready = len(points.passed)
            before = [worker.passes for worker in loops.workers]
            await create(store, story.run())
            await points.quiet()
            assert (await store.get(TASK_RUNS, RUN, NAMESPACE)).status.phase == "FinalAnswer"
            after = [worker.passes for worker in loops.workers]
    await models.close()
    kinds = [worker.kind for worker in loops.workers]
    return Spent(
        Counter(label.split()[2] for label in points.passed[ready:] if is_a_write(label)),
        {kind: new - old for kind, old, new in zip(kinds, before, after, strict=True)},
    )


async def create(store: Store, manifest: JsonObject) -> None:
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    document = {**manifest, "metadata": {**metadata, "namespace": NAMESPACE}}
    await store.create(KINDS[str(manifest["kind"])], msgspec.json.encode(document))


def is_a_write(label: str) -> bool:
    return label.startswith("after ") and label.split()[1] not in ("ask", "run")


@pytest.mark.parametrize(
    ("turns", "repeatable", "once_only"),
    [(0, 0, 0), (1, 1, 0), (3, 1, 0), (1, 0, 1), (3, 0, 1), (1, 4, 0), (1, 0, 4), (3, 4, 4)],
)
async def test_a_turn_costs_one_write_two_for_each_tool_and_a_third_where_it_must_not_repeat(
    tmp_path: Path, turns: int, repeatable: int, once_only: int
) -> None:
    asked = ("look",) * repeatable + ("send",) * once_only
    story = CrashStory("budget", {"look": READ_ONLY, "send": NON_IDEMPOTENT}, (asked,) * turns)
    async with over_http(story.script, FUNCTIONS) as outside:
        run = await spent(story, outside, tmp_path)
    repeated, marked = turns * repeatable, turns * once_only
    assert run.writes == +Counter({"TaskRun": turns + 1, "ToolCall": 2 * (repeated + marked) + marked})
    # One pass asks for the first reply; a turn with tools takes one that creates the calls, and one for each
    # result that comes by itself. A call takes one that starts its tool, and one that writes down what came of it.
    assert run.passes.pop("TaskRun") <= 1 + turns + repeated + marked
    assert run.passes.pop("ToolCall") <= 2 * (repeated + marked)
    assert not any(run.passes.values())
