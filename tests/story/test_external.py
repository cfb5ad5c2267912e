"""A run waits for work done outside, over a restart, and goes on when someone writes the result."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

from kubechain.resources.toolcall import TOOL_CALLS
from kubechain.runtime.api import Change, WatchOptions
from tests.story import manifests
from tests.story.conftest import Begin
from tests.story.program import Story, conversation

TOOL = """
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: Tool
metadata: {name: ask-the-lab}
spec: {description: Asks the laboratory., external: {}}
"""


async def only_call(running: Story) -> str:
    """The name of the one ToolCall there is, or is about to be: on a cluster the checkpoint comes first."""
    api, namespace = running.program.api, running.namespace
    page = await api.list(TOOL_CALLS, namespace)
    if page.items:
        return page.items[0].metadata.name
    options = WatchOptions(since=page.resource_version)
    async with asyncio.timeout(20), aclosing(api.watch(TOOL_CALLS, namespace, options)) as events:
        async for event in events:
            if isinstance(event, Change):
                return event.key.name
    raise AssertionError("the watch ended")


async def test_a_run_waits_over_a_restart_for_a_result_from_outside(begin: Begin) -> None:
    async with begin() as running:
        await running.apply(
            manifests.SECRET,
            manifests.walkthrough()["llm"],
            TOOL,
            manifests.agent("helper", "gpt-4o", "[{name: ask-the-lab}]"),
            manifests.task("ask", "helper", "Say hello using the ask-the-lab tool"),
            manifests.run("ask-run", "ask"),
        )
        await running.ok("wait", "taskrun/ask-run", "--for=jsonpath={.status.turns}=1", "--timeout=20s")
        name = await only_call(running)
        await running.ok("wait", f"toolcall/{name}", "--for=jsonpath={.status.phase}=Running", "--timeout=20s")
    async with begin() as running:
        assert "tool:ask-the-lab" in await running.ok("get", "taskrun", "ask-run", "-o", "wide")
        result = json.dumps({"status": {"phase": "Succeeded", "result": "all fine"}})
        await running.ok("patch", "toolcall", name, "--subresource=status", "--type=merge", "-p", result)
        run = await running.finished("ask-run")
    assert ("tool", "all fine") in conversation(run)
    assert run.status.phase == "FinalAnswer"


async def test_settle_says_what_became_of_a_call_once_and_the_run_goes_on(begin: Begin) -> None:
    async with begin() as running:
        await running.apply(
            manifests.SECRET,
            manifests.walkthrough()["llm"],
            TOOL,
            manifests.agent("helper", "gpt-4o", "[{name: ask-the-lab}]"),
            manifests.task("ask", "helper", "Say hello using the ask-the-lab tool"),
            manifests.run("ask-run", "ask"),
        )
        await running.ok("wait", "taskrun/ask-run", "--for=jsonpath={.status.turns}=1", "--timeout=20s")
        name = await only_call(running)
        await running.ok("wait", f"toolcall/{name}", "--for=jsonpath={.status.phase}=Running", "--timeout=20s")
        assert (await running.kubechain("settle", f"toolcall/{name}", "--repeat")).code == 1
        assert (await running.kubechain("settle", f"toolcall/{name}", "--result", "x", "--error", "y")).code != 0
        settled = await running.kubechain("settle", f"toolcall/{name}", "--error", "the laboratory is closed")
        assert (settled.code, settled.out) == (0, f"toolcall/{name} is Failed\n")
        run = await running.finished("ask-run")
        late = await running.kubechain("settle", f"toolcall/{name}", "--result", "too late")
    assert ("tool", "Error: the laboratory is closed") in conversation(run)
    assert late.code == 1
    assert "only a call that is Running, AwaitingSubAgent or OutcomeUnknown" in late.err
