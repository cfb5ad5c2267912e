"""What the ToolCall controller has observed: everything that the decision about a call depends on. Pure data."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Raw

from kubechain.agents.call.outcome import Outcome
from kubechain.agents.ports.tool import Nature
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.tool import ToolRetries
from kubechain.resources.toolcall import ToolCall

ANYTHING = Raw(b"{}")


class ToolState(msgspec.Struct, frozen=True, gc=False):
    """The tool behind a call: whether it can be called now, otherwise why not, and its nature.

    `looks`: whether its runner can be asked how work elsewhere stands; otherwise someone writes the result into
    the ToolCall. `parameters`: the JSON Schema of its arguments. `retries`: what is tried again.
    """

    nature: Nature
    ready: bool = True
    detail: str = ""
    looks: bool = True
    parameters: Raw = ANYTHING
    retries: ToolRetries | None = None


class Line(msgspec.Struct, frozen=True, gc=False):
    """The calls of the same tool that a call may have to wait for.

    `running` of them run now, and `at_most` may (None: any number). `before`: the first call of its run that must
    be done before it.
    """

    running: int = 0
    at_most: int | None = None
    before: str = ""

    @property
    def waits(self) -> bool:
        """Whether a call has to wait for another."""
        return self.full or bool(self.before)

    @property
    def full(self) -> bool:
        """Whether all places are taken."""
        return self.at_most is not None and self.running >= self.at_most


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


FREE = Line()


class CallScene(msgspec.Struct, frozen=True, gc=False):
    """A call, its run, the tool it is for and what is being done about it; None where there is none."""

    call: ToolCall
    run: TaskRun | None
    tool: ToolState | None
    now: datetime
    execution: Execution | None = None
    line: Line = FREE
