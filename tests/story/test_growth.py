"""A long run: its objects stay small, and model and people still see the whole conversation."""

from __future__ import annotations

from kubechain.providers.models.scripted.script import load
from kubechain.providers.models.scripted.server import ScriptedModel
from tests.story import manifests
from tests.story.conftest import Begin

TURNS = 40
RULE = "- {{match: {{turn: {n}}}, reply: {{toolCalls: [{{name: write-much, arguments: {{message: part {n}}}}}]}}}}"
SCRIPT = "\n".join([RULE.format(n=n) for n in range(TURNS)])
SCRIPT += f"\n- {{match: {{turn: {TURNS}}}, reply: {{content: Enough.}}}}"


async def test_a_long_run_is_asked_with_its_whole_conversation_and_no_object_grows_large(begin: Begin) -> None:
    async with ScriptedModel(load(SCRIPT)) as model:
        async with begin() as running:
            await running.apply(
                manifests.SECRET,
                manifests.llm("gpt", "openai", model.base_url),
                manifests.function_tool("write-much", "meeting:write_much"),
                manifests.agent("helper", "gpt", "[{name: write-much}]"),
                manifests.task("long", "helper", "Write much."),
                manifests.run("long-run", "long"),
            )
            run = await running.finished("long-run")
            documents = await running.documents()
            shown = await running.logs("long-run")
    assert run.status.output == "Enough."
    assert run.status.history.segments > 1
    assert max(map(len, documents)) < 32 * 1024
    asked = model.requests[-1]["messages"]
    assert isinstance(asked, list)
    assert len(asked) == 2 + 2 * TURNS
    results = [m["content"] for m in asked if isinstance(m, dict) and m["role"] == "tool"]
    assert [str(text).partition(":")[0] for text in results] == [f"part {n}" for n in range(TURNS)]
    assert all(f"part {n}:" in shown for n in range(TURNS))
