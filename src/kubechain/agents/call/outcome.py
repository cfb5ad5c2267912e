"""What can become of a tool that was started. Pure data: runners and the ToolCall controller hand it on."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import msgspec

from kubechain.resources.toolcall import ExternalWork


class Done(msgspec.Struct, frozen=True, gc=False):
    """The tool has ended; `text` is its result."""

    text: str


class Parked(msgspec.Struct, frozen=True, gc=False):
    """The work goes on elsewhere. `handle` names it and is kept in the ToolCall, so that a restart finds it again.

    `until`: when to look at it next, where nothing tells of its end; `waiting_on`: what people read meanwhile.
    """

    handle: ExternalWork
    until: datetime | None = None
    waiting_on: str = ""


class Failure(msgspec.Struct, frozen=True, gc=False):
    """The tool said no: the error is told to the model."""

    error: str


class Interruption(msgspec.Struct, frozen=True, gc=False):
    """The tool was cut off: nobody knows how far it came. `timed_out`: because its time was over."""

    error: str
    timed_out: bool = False


Outcome: TypeAlias = Done | Parked | Failure | Interruption
