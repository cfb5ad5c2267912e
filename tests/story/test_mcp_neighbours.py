"""Two MCP servers side by side: while one of them misbehaves, a run on the other one finishes.

The program is the embedded one, with its store on disk and the processes of both servers.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kubechain.providers.models.scripted.script import Match, Rule, ScriptedCall, ScriptedReply
from kubechain.providers.models.scripted.server import ScriptedModel
from kubechain.resources.mcpserver import MCP_SERVERS
from kubechain.resources.taskrun import TASK_RUNS
from kubechain.resources.toolcall import TOOL_CALLS
from tests.story import manifests
from tests.story.program import Story, story
from tests.unit.tools.processes import heard, pipe, said

pytestmark = pytest.mark.timeout(150)
NEIGHBOUR = str(Path(__file__).parent / "bad_neighbour.py")
CALLS = 3

GO_ON = [
    "floods stderr",
    "changes its tools",
    "answers out of order",
    "lists 2,000 tools in pages",
    "starts late",
]
SAY_WHY = {
    "dies": "was killed by SIGKILL",
    "hangs": "did not answer work within 2 s",
    "floods stdout": "printed more than 20,000 lines that are no MCP messages",
}


def server(name: str, *words: str) -> str:
    spec = {"transport": "stdio", "command": "python3", "args": ["-I", "-S", NEIGHBOUR, *words]}
    strict = {"tools": ["work"], "onInterrupt": "Fail", "timeout": "2s"}
    overrides = [strict] if words and words[0] in SAY_WHY else []
    document = {"apiVersion": "kubechain.humanlayer.dev/v1alpha1", "kind": "MCPServer"}
    return yaml.safe_dump({**document, "metadata": {"name": name}, "spec": {**spec, "overrides": overrides}})


def calling(server: str, tool: str) -> ScriptedModel:
    """A model that calls the tool three times in its first turn, and says in its second what came of it."""
    calls = [ScriptedCall(name=f"{server}__{tool}", arguments={"n": n}) for n in range(CALLS)]
    return ScriptedModel([
        Rule(match=Match(turn=0), reply=ScriptedReply(tool_calls=calls)),
        Rule(match=Match(turn=1), reply=ScriptedReply(content="It is over.")),
    ])  # fmt: skip


async def begin(running: Story, name: str, model: ScriptedModel, *words: str) -> None:
    """The server of that name, and a run on it."""
    await running.apply(
        manifests.SECRET,
        server(name, *words),
        manifests.llm(f"{name}-model", "openai", model.base_url),
        manifests.agent(f"{name}-agent", f"{name}-model", servers=f"[{{name: {name}}}]"),
        manifests.task(f"{name}-task", f"{name}-agent", "Go."),
        manifests.run(f"{name}-run", f"{name}-task"),
    )


async def came_to(running: Story, server: str) -> list[str]:
    """What the calls of the server came to, in the order in which the model asked for them."""
    found = (await running.program.api.list(TOOL_CALLS, "default")).items
    mine = [call for call in found if call.spec.tool.startswith(f"{server}__")]
    mine.sort(key=lambda call: str(call.spec.arguments))
    return [call.status.result or call.status.error for call in mine]


DONE = [f"done with {n}" for n in range(CALLS)]


async def the_other_run_finishes(running: Story) -> None:
    async with calling("good", "work") as model:
        await begin(running, "good", model)
        run = await running.finished("good-run")
    assert (run.status.phase, run.status.output) == ("FinalAnswer", "It is over.")
    assert await came_to(running, "good") == DONE


@pytest.mark.parametrize("habit", GO_ON)
async def test_while_a_server_misbehaves_a_run_on_another_finishes_and_then_its_own_goes_on(
    habit: str, tmp_path: Path
) -> None:
    door, gate = pipe(tmp_path, "door"), pipe(tmp_path, "gate")
    tool = "work-1999" if "2,000" in habit else "work"
    async with calling("bad", tool) as model, story(tmp_path) as running:
        await begin(running, "bad", model, habit, str(door), str(gate))
        assert await heard(door) == habit
        await the_other_run_finishes(running)
        meanwhile = await running.program.api.get(TASK_RUNS, "bad-run", "default")
        assert not meanwhile.status.finished, "it is still at it"
        await said(gate)
        run = await running.finished("bad-run")
        server = await running.program.api.get(MCP_SERVERS, "bad", "default")
        assert await came_to(running, "bad") == DONE
    assert (run.status.phase, run.status.output) == ("FinalAnswer", "It is over.")
    assert server.status.ready
    assert "2,000" not in habit or server.status.tool_count == 2_000


@pytest.mark.parametrize("habit", SAY_WHY)
async def test_while_a_server_is_lost_a_run_on_another_finishes_and_its_own_is_told_why(
    habit: str, tmp_path: Path
) -> None:
    door, gate = pipe(tmp_path, "door"), pipe(tmp_path, "gate")
    async with calling("bad", "work") as model, story(tmp_path) as running:
        await begin(running, "bad", model, habit, str(door), str(gate))
        assert await heard(door) == habit
        await the_other_run_finishes(running)
        run = await running.finished("bad-run")
        told = await came_to(running, "bad")
    assert (run.status.phase, run.status.output) == ("FinalAnswer", "It is over.")
    assert any(SAY_WHY[habit] in each for each in told), told
