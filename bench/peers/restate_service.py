"""The service behind Restate: a workflow with a durable step per model call and per tool call, and an approval.

Served by hypercorn as Restate's docs show; restate.py starts it and the server.
"""

from __future__ import annotations

import os
from typing import Any

import restate
from restate import RunOptions, Workflow, WorkflowContext, WorkflowSharedContext

from bench.chat import Chat
from bench.job import answered, asked

_chat = Chat(os.environ["BENCH_MODEL"])
workflow = Workflow("agent")


async def ask(messages: list[dict[str, Any]], model: str) -> dict[str, Any]:
    if _chat.closed:
        await _chat.__aenter__()
    return await _chat.ask(messages, model)


async def call(requested: dict[str, Any]) -> dict[str, Any]:
    return answered(requested)


@workflow.main()
async def run(context: WorkflowContext, given: dict[str, Any]) -> str:
    messages = [asked(context.key())]
    while True:
        reply = await context.run_typed("model", ask, RunOptions(), messages=messages, model=given["model"])
        messages.append(reply)
        if not reply.get("tool_calls"):
            return str(reply["content"])
        if given.get("waits"):
            await context.promise("approval", type_hint=bool).value()
        for requested in reply["tool_calls"]:
            messages.append(await context.run_typed("tool", call, RunOptions(), requested=requested))


@workflow.handler()
async def approve(context: WorkflowSharedContext, yes: bool) -> None:
    await context.promise("approval", type_hint=bool).resolve(yes)


app = restate.app(services=[workflow])
