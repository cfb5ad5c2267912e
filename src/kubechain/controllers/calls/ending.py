"""Ends what runs elsewhere for a call whose tool is deleted. The call then follows its onInterrupt.

The controllers of Tools and MCP servers call it, once, when the object is gone.
"""

from __future__ import annotations

from kubechain.agents.call.outcome import Done, Parked
from kubechain.agents.ports.tool import Provider, ToolRun, ToolRunner
from kubechain.controllers.calls.executions import Executions
from kubechain.errors import Transient
from kubechain.resources.toolcall import PARKED, ToolCall


def end_elsewhere(executions: Executions, runner: ToolRunner, call: ToolCall, last: Provider, why: str) -> None:
    """Cancels the work outside the passes, unless a tool is at work for the call here: that one is interrupted.

    `last`: the provider as it was last seen; `why` it ends.
    """
    handle = call.status.external
    if handle is None or call.status.phase not in PARKED or not runner.looks or executions.holds(call):
        return
    nature = runner.nature(last, call.spec.origin.tool if call.spec.origin else "")
    run = ToolRun(call, last, nature.timeout)

    async def end() -> Done | Parked:
        await runner.cancel(run, handle)
        raise Transient(why, reason="Interrupted")

    executions.begin(call, nature, call.status.start_time, end)
