"""Two replicas that both believe to own everything, over one store: no effect is doubled, no transcript is torn.

No Lease is involved: what holds here are compare-and-swap, computed names and the holder of a mark.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import msgspec
import pytest

from kubechain.app.loops import control_loops
from kubechain.controllers.assembly import Outside
from kubechain.providers.tools.mcp.sessions import MCP
from kubechain.providers.tools.table import runners
from kubechain.resources.json import JsonObject
from kubechain.resources.registry import OURS
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.api import Change, WatchOptions
from kubechain.runtime.clock import now
from kubechain.runtime.replicas.claim import Claim
from kubechain.runtime.replicas.share import Share
from kubechain.store.engine import Store
from tests.crash.outside import InProcess, Journal
from tests.crash.stories import STORIES, CrashStory
from tests.crash.verdict import CUT_OFF
from tests.story.conftest import FUNCTIONS

RUNS = 20
RAW = {kind.kind: kind.raw for kind in OURS}
PLAYED = [
    story
    for story in STORIES
    if story.entrypoint == "noting:note" and not story.takes_long and all(map(story.policy, story.tools))
]


def owning_everything(name: str, *others: str) -> Share:
    """The share of one that sees nobody else's claim; `others` it knows to be alive."""
    share = Share(name, f"{name}_1", leading=name == "a")
    share.see(frozenset({name}), [], frozenset(f"{other}_1" for other in others))
    share.tell(Claim(name, frozenset({name})))
    return share


class Split:
    """A store, and the journal of the tools."""

    def __init__(self, store: Store, story: CrashStory, journal: Journal) -> None:
        self.store, self.story, self.journal = store, story, journal
        self.leave: Counter[str] = Counter()
        self.lost = 0
        """Calls that were taken for cut off."""

    async def create(self, manifest: JsonObject) -> None:
        metadata = manifest["metadata"]
        assert isinstance(metadata, dict)
        document = {**manifest, "metadata": {**metadata, "namespace": "default"}}
        await self.store.create(RAW[str(manifest["kind"])], msgspec.json.encode(document))

    async def finished(self) -> list[TaskRun]:
        found: dict[str, TaskRun] = {}
        async with aclosing(self.store.watch(TASK_RUNS, "default", WatchOptions(since="0"))) as stream:
            async for event in stream:
                if isinstance(event, Change) and event.object.status.finished:
                    found[event.key.name] = event.object
                    if len(found) == RUNS:
                        break
        return list(found.values())

    async def look_after(self) -> None:
        """A person who says of lost calls what the journal says."""
        async with aclosing(self.store.watch(TOOL_CALLS, "default", WatchOptions(since="0"))) as stream:
            async for event in stream:
                if isinstance(event, Change) and event.object.status.phase == "OutcomeUnknown":
                    call = event.object
                    self.lost += 1
                    done = self.journal.times(call.metadata.uid) > 0
                    self.leave[call.metadata.uid] += not done
                    answer: JsonObject = {"phase": "Succeeded", "result": f"noted {call.spec.tool}", "error": None}
                    merge: JsonObject = {"status": answer if done else {"phase": "Pending", "error": None}}
                    await self.store.patch(TOOL_CALLS, call.metadata.name, "default", merge, status=True)

    async def calls(self) -> list[ToolCall]:
        return (await self.store.list(TOOL_CALLS, "default")).items


async def played(split: Split, shares: list[Share]) -> tuple[list[TaskRun], Counter[int]]:
    """The runs when they are finished, and how often each turn was asked for."""
    outside = InProcess(split.story.script)
    for manifest in split.story.manifests(outside.base_url, str(split.journal.path)):
        await split.create(manifest)
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        for share in shares:
            parts = Outside(outside.models(), runners(outside.functions, MCP()), {})
            await stack.enter_async_context(control_loops(split.store, parts, share=share))
        person = asyncio.create_task(split.look_after())
        stack.callback(person.cancel)
        for n in range(RUNS):
            await split.create(split.story.run(f"run-{n}"))
        runs = await split.finished()
    return runs, outside.asked()


@pytest.mark.parametrize("story", PLAYED, ids=lambda story: story.name)
@pytest.mark.parametrize("known", [True, False], ids=["who know of each other", "who take each other for dead"])
async def test_two_replicas_that_both_own_everything(
    story: CrashStory, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL", str(tmp_path / "journal"))
    monkeypatch.syspath_prepend(FUNCTIONS)
    async with Store.open(tmp_path / "store.db", clock=now, synchronous="OFF") as store:
        split = Split(store, story, Journal(tmp_path / "journal"))
        others = (["b"], ["a"]) if known else ([], [])
        shares = [owning_everything("a", *others[0]), owning_everything("b", *others[1])]
        runs, asked = await played(split, shares)
        calls = await split.calls()
    assert len({json.dumps(told(run)) for run in runs}) == 1, "all runs tell the same story"
    assert all(run.status.phase == "FinalAnswer" for run in runs)
    assert len(calls) == RUNS * sum(map(len, story.turns)), "no child is doubled"
    assert not (known and split.lost), "a call at work elsewhere is not cut off"
    for call in calls:
        times = split.journal.times(call.metadata.uid)
        if story.policy(call.spec.tool) != "Retry":
            assert times <= 1 + split.leave[call.metadata.uid], call
            assert known is False or times == 1
    assert asked.total() <= 2 * RUNS * (len(story.turns) + 1), "each asks once at the most"


def told(run: TaskRun) -> list[tuple[str, str]]:
    """Roles and texts, the same whether a call was cut off or not."""
    return [(m.role, (m.content or "").replace(CUT_OFF, "noted never")) for m in run.status.messages]
