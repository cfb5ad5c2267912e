"""Agents call agents: each call is a run of its own, and its answer the result of the call."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path

from kubechain.providers.models.scripted.script import load
from kubechain.providers.models.scripted.server import ScriptedModel
from kubechain.resources.agent import AGENTS, Agent
from kubechain.resources.kind import Kind, R
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.api import Change, WatchOptions
from tests.story import manifests, sub_agents
from tests.story.asked import none_left
from tests.story.conftest import Begin
from tests.story.program import SECONDS, Story, conversation

TREE = """
NAME PHASE AGENT TURNS AGE WAITINGON
novel FinalAnswer author 2 AGE
├─ editor-X FinalAnswer editor 2 AGE
│  ├─ writer-X FinalAnswer writer 1 AGE
│  ├─ writer-X FinalAnswer writer 1 AGE
│  └─ writer-X FinalAnswer writer 1 AGE
├─ editor-X FinalAnswer editor 2 AGE
│  ├─ writer-X FinalAnswer writer 1 AGE
│  ├─ writer-X FinalAnswer writer 1 AGE
│  └─ writer-X FinalAnswer writer 1 AGE
└─ editor-X FinalAnswer editor 2 AGE
   ├─ writer-X FinalAnswer writer 1 AGE
   ├─ writer-X FinalAnswer writer 1 AGE
   └─ writer-X FinalAnswer writer 1 AGE
"""


def without_fingerprints(shown: str) -> str:
    """The printed tree; fingerprints, ages and the padding of columns evened out."""
    plain = re.sub(r"(editor|writer)-[a-z0-9]{10}", r"\1-X", shown)
    plain = re.sub(r"\b(\d+[ms])+ *$", "AGE", plain, flags=re.MULTILINE)
    return "\n" + re.sub(r"(?<=[\w]) {2,}", " ", plain).replace(" \n", "\n")


async def runs(story: Story) -> dict[str, TaskRun]:
    found = (await story.program.api.list(TASK_RUNS, story.namespace)).items
    return {run.metadata.name: run for run in found}


async def test_a_delegation_of_three_levels_answers_and_every_run_says_where_it_stands(begin: Begin) -> None:
    async with ScriptedModel(load(sub_agents.SCRIPT)) as model, begin() as running:
        await running.apply(*sub_agents.book(model.base_url), sub_agents.run("novel", "author", "book"))
        novel = await running.finished("novel")
        assert conversation(novel)[-1] == (
            "assistant",
            "the book ends with: chapter 3, which ends with: section 3 is written",
        )
        assert [text for role, text in conversation(novel) if role == "tool"] == [
            f"chapter {n}, which ends with: section 3 is written" for n in (1, 2, 3)
        ]
        found = await runs(running)
        assert len(found) == 1 + 3 + 9
        assert (novel.status.parent, novel.status.root, novel.status.depth) == (None, "", 0)
        for child in (run for name, run in found.items() if name != "novel"):
            place = child.status.parent
            assert place is not None
            above = found[place.task_run]
            call = await running.program.api.get(TOOL_CALLS, place.tool_call, running.namespace)
            assert call.status.external is not None
            assert (call.spec.task_run, call.status.external.id) == (place.task_run, child.metadata.name)
            assert (child.status.root, child.status.depth) == ("novel", above.status.depth + 1)
        below = await running.ok("get", "taskrun", "-l", "kubechain.humanlayer.dev/root=novel", "-o", "name")
        assert len(below.split()) == 12
        shown = await running.kubechain("tree", "taskrun/novel")
        assert (shown.code, shown.err) == (0, "")
        assert without_fingerprints(shown.out) == TREE
        whole = json.loads((await running.kubechain("tree", "novel", "-o", "json")).out)
        assert [len(child["children"]) for child in whole["children"]] == [3, 3, 3]
        editor = whole["children"][1]["name"]
        part = await running.kubechain("tree", editor)
        assert len(part.rows) == 1 + 1 + 3
        assert f"delegate_to_editor runs agent editor as taskrun/{editor}" in await running.logs("novel")
        described = await running.kubechain("describe", "taskrun", "novel")
        assert f"delegate_to_editor runs agent editor as taskrun/{editor}" in described.out
        await running.ok("delete", "taskrun", "novel")
        await none_left(running.program.api, TASK_RUNS, running.namespace)
        await none_left(running.program.api, TOOL_CALLS, running.namespace)


ASKING = """
- match: {userMessage: "^ask", turn: 0}
  reply: {toolCalls: [{name: ask-the-clerk, arguments: {message: "work"}}]}
- match: {userMessage: "^ask"}
  reply: {content: "told: {result}"}
- match: {userMessage: "^work", turn: 0}
  reply: {toolCalls: [{name: lab, arguments: {}}]}
- match: {userMessage: "^work"}
  reply: {content: "the lab says {result}"}
"""
LAB = """
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: Tool
metadata: {name: lab}
spec: {description: Asks the laboratory., external: {}}
"""


def office(base_url: str, more: str = "") -> tuple[str, ...]:
    """A boss with a Tool that calls the clerk, who waits for a laboratory."""
    return (
        sub_agents.agent("boss", tools="[{name: ask-the-clerk}]"),
        sub_agents.agent_tool("ask-the-clerk", "clerk", more),
        sub_agents.agent("clerk", tools="[{name: lab}]"),
        LAB,
        sub_agents.model(base_url),
    )


async def state(story: Story, kind: Kind[R], holds: Callable[[R], bool]) -> R:
    """The first object of the kind of which it holds."""
    async with asyncio.timeout(SECONDS):
        async with aclosing(story.program.api.watch(kind, story.namespace, WatchOptions(since="0"))) as events:
            async for event in events:
                if isinstance(event, Change) and event.type != "DELETED" and holds(event.object):
                    return event.object
    raise AssertionError("the watch ended")


async def lab_call(story: Story) -> ToolCall:
    return await state(
        story, TOOL_CALLS, lambda call: call.spec.tool == "lab" and call.status.external is not None
    )


async def delegated(story: Story) -> ToolCall:
    return await state(story, TOOL_CALLS, lambda call: call.status.phase == "AwaitingSubAgent")


async def settle(story: Story, call: ToolCall, *how: str) -> None:
    said = await story.kubechain("settle", f"toolcall/{call.metadata.name}", *how)
    assert said.code == 0, said.err


async def test_a_tool_that_is_an_agent_waits_over_a_restart_for_the_one_run_it_began(begin: Begin) -> None:
    async with ScriptedModel(load(ASKING)) as model:
        async with begin() as running:
            await running.apply(*office(model.base_url), sub_agents.run("asked", "boss", "ask"))
            await lab_call(running)
            call = await delegated(running)
        async with begin() as running:
            boss = (await runs(running))["asked"]
            assert boss.status.waiting_on == "agent:clerk"
            tool = await running.ok("get", "tool", "ask-the-clerk", "--no-headers")
            assert tool.split()[:3] == ["ask-the-clerk", "agent", "true"]
            await settle(running, await lab_call(running), "--result", "42")
            asked = await running.finished("asked")
            assert asked.status.output == "told: the lab says 42"
            assert len(await runs(running)) == 2
            done = await running.program.api.get(TOOL_CALLS, call.metadata.name, running.namespace)
            assert done.status.external == call.status.external
            assert (done.status.phase, done.status.attempts) == ("Succeeded", 1)


async def test_the_failure_of_a_child_is_the_error_that_the_model_reads(begin: Begin) -> None:
    script = (
        ASKING
        + """
- match: {userMessage: "^refuse"}
  reply: {error: {status: 401, message: "no key"}}
"""
    )
    async with ScriptedModel(load(script.replace('"work"', '"refuse"'))) as model, begin() as running:
        await running.apply(*office(model.base_url), sub_agents.run("asked", "boss", "ask"))
        asked = await running.finished("asked")
        (error,) = [text for role, text in conversation(asked) if role == "tool"]
        (child,) = [run for name, run in (await runs(running)).items() if name != "asked"]
        assert error.startswith(f"Error: agent clerk failed (TaskRun {child.metadata.name}): Unauthorized: ")
        assert "no key" in error
        assert asked.status.phase == "FinalAnswer"


async def test_a_child_that_is_deleted_is_an_error_that_the_model_reads(begin: Begin) -> None:
    async with ScriptedModel(load(ASKING)) as model, begin() as running:
        await running.apply(*office(model.base_url), sub_agents.run("asked", "boss", "ask"))
        await lab_call(running)
        call = await delegated(running)
        assert call.status.external is not None
        child = call.status.external.id
        await running.ok("delete", "taskrun", child)
        asked = await running.finished("asked")
        assert (
            asked.status.output
            == f"told: Error: TaskRun {child} of agent clerk was deleted before it had an answer"
        )


async def test_a_call_that_is_over_ends_its_child_and_what_that_child_waits_for(begin: Begin) -> None:
    async with ScriptedModel(load(ASKING)) as model, begin() as running:
        await running.apply(*office(model.base_url), sub_agents.run("asked", "boss", "ask"))
        lab, call = await lab_call(running), await delegated(running)
        await settle(running, call, "--result", "never mind")
        assert (await running.finished("asked")).status.output == "told: never mind"
        child = await running.finished(lab.spec.task_run)
        assert child.status.phase == "Failed"
        assert child.status.error == f"ToolCall {call.metadata.name}, which this run was to answer, is over"
        ended = await state(running, TOOL_CALLS, lambda one: one.spec.tool == "lab" and one.status.finished)
        assert ended.status.error == f"its TaskRun {lab.spec.task_run} has failed"


async def test_a_tool_with_a_timeout_gives_up_on_its_agent_and_says_so(begin: Begin) -> None:
    async with ScriptedModel(load(ASKING)) as model, begin() as running:
        await running.apply(*office(model.base_url, "timeout: 1s"), sub_agents.run("asked", "boss", "ask"))
        asked = await running.finished("asked")
        assert asked.status.output == "told: Error: agent clerk had no answer within 1 s"
        child = await state(running, TASK_RUNS, lambda run: run.status.phase == "Failed")
        assert "is over" in child.status.error


MEETING = """
- match: {userMessage: "^invite", turn: 0}
  reply:
    toolCalls: [
      {name: delegate_to_guest, arguments: {message: "guest one"}},
      {name: delegate_to_guest, arguments: {message: "guest two"}}]
- match: {userMessage: "guest one", turn: 0}
  reply: {toolCalls: [{name: meet, arguments: {message: one}}]}
- match: {userMessage: "guest two", turn: 0}
  reply: {toolCalls: [{name: meet, arguments: {message: two}}]}
- reply: {content: "{result}"}
"""


async def test_the_sub_agents_of_one_reply_are_at_work_at_the_same_time(begin: Begin, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    tool = manifests.function_tool("meet", "meeting:meet").replace(
        'entrypoint: "meeting:meet"',
        f'entrypoint: "meeting:meet", env: [{{name: MEETING_PLACE, value: "{place}"}}]',
    )
    async with ScriptedModel(load(MEETING)) as model, begin() as running:
        await running.apply(
            tool,
            sub_agents.agent("host", "[{name: guest}]"),
            sub_agents.agent("guest", tools="[{name: meet}]"),
            sub_agents.model(model.base_url),
            sub_agents.run("party", "host", "invite"),
        )
        party = await running.finished("party")
        assert [text for role, text in conversation(party) if role == "tool"] == ["met as one", "met as two"]


LIMITS = """
- match: {userMessage: "^book", turn: 0}
  reply:
    toolCalls: [
      {name: delegate_to_editor, arguments: {message: "chapter 1"}},
      {name: delegate_to_editor, arguments: {message: "chapter 2"}}]
- match: {userMessage: "^book"}
  reply: {content: "done"}
- match: {userMessage: "^chapter", turn: 0}
  reply: {toolCalls: [{name: write, arguments: {message: "section"}}]}
- match: {userMessage: "^chapter"}
  reply: {content: "{result}"}
- match: {userMessage: "^section"}
  reply: {content: "written"}
"""


async def results(story: Story, limits: str) -> list[str]:
    """What the author is told, one text a call."""
    await story.apply(sub_agents.run("novel", "author", "book", f"limits: {{{limits}}}"))
    return [text for role, text in conversation(await story.finished("novel")) if role == "tool"]


async def test_a_run_calls_sub_agents_no_deeper_than_it_may(begin: Begin) -> None:
    async with ScriptedModel(load(LIMITS)) as model, begin() as running:
        await running.apply(*sub_agents.book(model.base_url))
        refused = (
            "Error: sub-agents may be 1 level deep below TaskRun novel, and this one would be 2 deep "
            "(limits.subAgentDepth); do it without a sub-agent"
        )
        assert await results(running, "subAgentDepth: 1") == [refused, refused]


async def test_one_reply_calls_no_more_sub_agents_than_it_may(begin: Begin) -> None:
    async with ScriptedModel(load(LIMITS)) as model, begin() as running:
        await running.apply(*sub_agents.book(model.base_url))
        assert await results(running, "subAgentFanOut: 1") == [
            "written",
            "Error: one reply may call 1 sub-agent (limits.subAgentFanOut), and this is call 2; "
            "call it again in your next reply",
        ]


async def test_agents_that_call_each_other_say_so_and_heal_when_the_circle_is_broken(begin: Begin) -> None:
    async with ScriptedModel(load(LIMITS)) as model, begin() as running:
        await running.apply(
            sub_agents.agent("a", "[{name: b}]"),
            sub_agents.agent("b", tools="[{name: ask-c}]"),
            sub_agents.agent_tool("ask-c", "c"),
            sub_agents.agent("c", "[{name: a}]"),
            sub_agents.model(model.base_url),
        )
        for name, way in (("a", "a -> b -> c -> a"), ("b", "b -> c -> a -> b"), ("c", "c -> a -> b -> c")):
            found = await state(running, AGENTS, partial(says, name, "calls itself"))
            assert f"({way}); remove one of these calls" in found.status.status_detail
            assert found.status.conditions[0].reason == "SubAgentCycle"
        await running.apply(sub_agents.agent("c"))
        for name in "abc":
            await running.ok("wait", f"agent/{name}", "--for=jsonpath={.status.ready}=true", "--timeout=20s")


async def test_an_agent_waits_for_a_sub_agent_that_is_not_there_yet(begin: Begin) -> None:
    async with ScriptedModel(load(LIMITS)) as model, begin() as running:
        await running.apply(sub_agents.model(model.base_url), sub_agents.agent("a", "[{name: b, as: ask_b}]"))
        found = await state(running, AGENTS, partial(says, "a", 'Agent "b" not found'))
        assert found.status.status == "Pending"
        await running.apply(sub_agents.agent("b"))
        ready = await state(running, AGENTS, lambda agent: agent.metadata.name == "a" and agent.status.ready)
        tool = ready.status.tools[0]
        assert (tool.name, tool.description, tool.effect) == ("ask_b", "The b.", "ReadOnly")
        assert (tool.origin.kind, tool.origin.name, tool.origin.agent) == ("Agent", "b", "b")


def says(name: str, text: str, agent: Agent) -> bool:
    return agent.metadata.name == name and text in agent.status.status_detail
