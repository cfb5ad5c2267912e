"""Replies that are none, and an agent that changes under its run: what people see, and what is never done."""

from __future__ import annotations

import json

import pytest

from kubechain.providers.models.scripted.script import load
from kubechain.providers.models.scripted.server import ScriptedModel
from kubechain.resources.taskrun import TASK_RUNS
from kubechain.resources.toolcall import TOOL_CALLS
from tests.story import manifests
from tests.story.conftest import Begin
from tests.story.program import Story, conversation
from tests.story.test_external import TOOL, only_call

CUT = """
- {match: {turn: 0}, reply: {toolCalls: [{name: write-much, arguments: ""}], finish: length}}
- {match: {turn: 1}, reply: {content: In smaller, finish: length}}
"""
CHANGED = """
- {match: {turn: 0}, reply: {toolCalls: [{name: ask-the-lab, arguments: {}}]}}
- {match: {turn: 1}, reply: {toolCalls: [{name: write-much, arguments: {message: part 1}}]}}
- {match: {turn: 2}, reply: {content: Enough.}}
"""


async def prepare(running: Story, model: ScriptedModel, tools: str, parameters: str = "") -> None:
    await running.apply(
        manifests.SECRET,
        TOOL,
        manifests.llm("gpt", "openai", model.base_url, parameters),
        manifests.function_tool("write-much", "meeting:write_much"),
        manifests.agent("helper", "gpt", tools),
        manifests.task("job", "helper", "Write much."),
        manifests.run("job-run", "job"),
    )


@pytest.mark.parametrize("parameters", ["maxTokens: 50", "maxTokens: 50, stream: true"])
async def test_a_reply_that_is_cut_off_runs_no_tool_and_says_so_wherever_it_is_shown(
    begin: Begin, parameters: str
) -> None:
    async with ScriptedModel(load(CUT)) as model, begin() as running:
        await prepare(running, model, "[{name: write-much}]", parameters)
        run = await running.finished("job-run")
        assert (await running.program.api.list(TOOL_CALLS, running.namespace)).items == []
        shown = await running.ok("get", "taskrun", "job-run", "-o", "wide")
        await running.ok("wait", "taskrun/job-run", "--for=condition=Succeeded", "--timeout=20s")
    told = dict(conversation(run))["tool"]
    assert "nothing was run" in told
    assert "limit of 50 tokens" in told
    assert (run.status.output, run.status.turns) == ("In smaller", 2)
    assert run.status.conditions[0].reason == "AnswerCutOff"
    assert "spec.parameters.maxTokens of LLM gpt" in run.status.conditions[0].message
    assert "AnswerCutOff" in shown


async def test_a_run_keeps_to_the_agent_that_it_began_with(begin: Begin) -> None:
    async with ScriptedModel(load(CHANGED)) as model, begin() as running:
        await prepare(running, model, "[{name: ask-the-lab}, {name: write-much}]")
        await running.ok("wait", "taskrun/job-run", "--for=jsonpath={.status.turns}=1", "--timeout=20s")
        name = await only_call(running)
        await running.ok("wait", f"toolcall/{name}", "--for=jsonpath={.status.phase}=Running", "--timeout=20s")
        other = json.dumps({"spec": {"system": "Be brief.", "tools": [{"name": "ask-the-lab"}]}})
        await running.ok("patch", "agent", "helper", "--type=merge", "-p", other)
        await running.ok("wait", "agent/helper", "--for=jsonpath={.status.observedGeneration}=2", "--timeout=20s")
        result = json.dumps({"status": {"phase": "Succeeded", "result": "all fine"}})
        await running.ok("patch", "toolcall", name, "--subresource=status", "--type=merge", "-p", result)
        run = await running.finished("job-run")
        stored = await running.program.api.get(TASK_RUNS, "job-run", running.namespace)
    assert [text.partition(":")[0] for role, text in conversation(run) if role == "tool"] == ["all fine", "part 1"]
    asked = model.requests[-1]
    offered = [tool["function"]["name"] for tool in asked["tools"]]  # type: ignore[index,union-attr,call-overload]
    assert offered[:2] == ["ask-the-lab", "write-much"]
    assert stored.status.version is not None
    assert (stored.status.version.generation, stored.status.version.tools) == (1, ["ask-the-lab", "write-much"])
