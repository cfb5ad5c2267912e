"""What the ToolCall controller has observed: everything that the decision about a call depends on. Pure data."""

from __future__ import annotations

from datetime import datetime

import msgspec

from kubechain.agents.call.outcome import Outcome
from kubechain.agents.ports.tool import Nature
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import ToolCall


class ToolState(msgspec.Struct, frozen=True, gc=False):
    """The tool behind a call: whether it can be called now, otherwise why not, and its nature.

    `looks`: whether its runner can be asked how work elsewhere stands; otherwise someone writes the result into
    the ToolCall.
    """

    nature: Nature
    ready: bool = True
    detail: str = ""
    looks: bool = True


class Execution(msgspec.Struct, frozen=True, gc=False):
    """What this process does, or did, for the call. `outcome` None: the tool is running.

    `lasting`: it has been running long enough to be shown. `until`: when to look at work elsewhere again. `nature`
    is the one it was started with.
    """

    nature: Nature
    outcome: Outcome | None = None
    lasting: bool = False
    doing: str = ""
    """How far the tool says it is."""
    until: datetime | None = None


class CallScene(msgspec.Struct, frozen=True, gc=False):
    """A call, its run, the tool it is for and what is being done about it; None where there is none."""

    call: ToolCall
    run: TaskRun | None
    tool: ToolState | None
    now: datetime
    execution: Execution | None = None
