"""A big result: small objects, and reading on by the handle that the model was given."""

from __future__ import annotations

from kubechain.agents.builtin.read_result import READ_RESULT
from kubechain.controllers.runs.checkpoints import child_meta
from kubechain.providers.models.scripted.script import load
from kubechain.providers.models.scripted.server import ScriptedModel
from kubechain.resources.agent import ToolOrigin
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall, ToolCallSpec
from tests.story import manifests
from tests.story.conftest import Begin
from tests.story.program import Story, conversation

SCRIPT = """
- {match: {turn: 0}, reply: {toolCalls: [{name: write-pages, arguments: {message: "words"}}]}}
- {match: {turn: 1}, reply: {content: Enough.}}
"""


async def read_on(running: Story, run: TaskRun, name: str, arguments: str) -> ToolCall:
    """A call of read_result as the run's model could have asked for it, once it is finished."""
    spec = ToolCallSpec(
        tool_call_id=name,
        task_run=run.metadata.name,
        tool=READ_RESULT,
        arguments=arguments,
        origin=ToolOrigin(kind="Builtin", name=READ_RESULT),
    )
    await running.program.api.create(TOOL_CALLS, ToolCall(metadata=child_meta(run, name), spec=spec))
    async for call in running.states(TOOL_CALLS, name):
        if call.status.finished:
            return call
    raise AssertionError("the watch ended")


async def test_a_big_result_is_kept_in_small_objects_and_read_on_by_its_handle(begin: Begin) -> None:
    async with ScriptedModel(load(SCRIPT)) as model, begin() as running:
        await running.apply(
            manifests.SECRET,
            manifests.llm("gpt", "openai", model.base_url),
            manifests.function_tool("write-pages", "meeting:write_pages"),
            manifests.agent("helper", "gpt", "[{name: write-pages}]"),
            manifests.task("long", "helper", "Write pages."),
            manifests.run("long-run", "long"),
        )
        run = await running.finished("long-run")
        handle = (await running.program.api.list(TOOL_CALLS, running.namespace)).items[0].metadata.name
        middle = await read_on(running, run, "middle", f'{{"handle": "{handle}", "offset": 100002}}')
        end = await read_on(running, run, "end", f'{{"handle": "{handle}", "offset": 209993}}')
        beyond = await read_on(running, run, "beyond", f'{{"handle": "{handle}", "offset": 999999}}')
        other = await read_on(running, run, "other", '{"handle": "not-mine", "offset": 0}')
        documents = await running.documents()
    told = dict(conversation(run))["tool"]
    assert told.startswith("000000 000001 ")
    assert f'[210000 characters in all, shown up to 8192. Go on with read_result: handle "{handle}"' in told
    offered = [tool["function"]["name"] for tool in model.requests[-1]["tools"]]  # type: ignore[index,union-attr,call-overload]
    assert offered == ["write-pages", "simple-echo-tool", READ_RESULT]
    assert middle.status.result.startswith("014286 014287 ")
    assert "Go on with read_result" in middle.status.result
    assert end.status.result == "029999 "
    assert "outside of the result" in beyond.status.error
    assert other.status.error == 'there is no stored result "not-mine"; give a handle as it was named'
    assert max(map(len, documents)) < 256 * 1024
