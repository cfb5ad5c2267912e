"""The process killed in the middle of the run of a sub-agent: the same child goes on, nothing is done twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubechain.agents.naming import tool_call_name
from kubechain.providers.models.scripted.script import load
from kubechain.providers.models.scripted.server import ScriptedModel
from tests.crash.test_kill import Process
from tests.story import manifests, sub_agents

SCRIPT = """
- match: {userMessage: "^ask", turn: 0}
  reply: {toolCalls: [{name: delegate_to_clerk, arguments: {message: "work"}}]}
- match: {userMessage: "^ask"}
  reply: {content: "told: {result}"}
- match: {userMessage: "^work", turn: 0}
  reply: {toolCalls: [{name: note, arguments: {message: "once"}}]}
- match: {userMessage: "^work"}
  reply: {delay: 600.0, content: "the clerk {result}"}
"""


async def got(process: Process, what: str) -> Any:
    return json.loads(await process.kubectl("get", what, "-o", "json"))


async def call_of(process: Process, run: str, phase: str) -> Any:
    """The first call of a run, once it is in that phase."""
    await process.kubectl("wait", f"taskrun/{run}", "--for=jsonpath={.status.turns}=1", "--timeout=30s")
    uid = (await got(process, f"taskrun/{run}"))["metadata"]["uid"]
    name = f"toolcall/{tool_call_name(run, uid, 1, 1)}"
    await process.kubectl("wait", name, f"--for=jsonpath={{.status.phase}}={phase}", "--timeout=30s")
    return await got(process, name)


@pytest.mark.timeout(180)
async def test_a_child_that_is_killed_goes_on_and_its_journal_shows_one_start(tmp_path: Path) -> None:
    process, journal = Process(tmp_path / "state"), tmp_path / "journal"
    note = manifests.function_tool("note", "noting:note", effect="NonIdempotent").replace(
        'entrypoint: "noting:note"', f'entrypoint: "noting:note", env: [{{name: JOURNAL, value: "{journal}"}}]'
    )
    async with ScriptedModel(load(SCRIPT)) as model:
        await process.start()
        made = [
            sub_agents.model(model.base_url),
            sub_agents.agent("boss", "[{name: clerk}]"),
            sub_agents.agent("clerk", tools="[{name: note}]"),
            note,
            sub_agents.run("asked", "boss", "ask"),
        ]
        await process.kubectl("apply", "-f", "-", stdin="\n---\n".join(made))
        waiting = await call_of(process, "asked", "AwaitingSubAgent")
        child = waiting["status"]["external"]["id"]
        await call_of(process, child, "Succeeded")
        await process.kill()  # while the model thinks about the child's last reply
        model.script = load(SCRIPT.replace("600.0", "0.0"))
        await process.start()
        await process.kubectl("wait", "taskrun/asked", "--for=condition=Succeeded", "--timeout=30s")
        runs = {run["metadata"]["name"]: run for run in (await got(process, "taskruns"))["items"]}
        calls = (await got(process, "toolcalls"))["items"]
        await process.kill()
    assert runs.keys() == {"asked", child}
    assert runs["asked"]["status"]["output"] == "told: the clerk noted once"
    assert runs[child]["status"]["turns"] == 2
    assert [call["status"]["attempts"] for call in calls] == [1, 1]
    assert len(journal.read_text().splitlines()) == 1
