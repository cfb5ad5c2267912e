"""The outcomes of a tool that was started. Pure data, passed from runners to the ToolCall controller."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import msgspec

from kubechain.errors import ApiError
from kubechain.resources.toolcall import ExternalWork


class Done(msgspec.Struct, frozen=True, gc=False):
    """The tool has ended; `text` is its result."""

    text: str


class Parked(msgspec.Struct, frozen=True, gc=False):
    """The work continues elsewhere. `handle` identifies it, and is saved in the ToolCall for a restart.

    `until`: when to look at it next, if nothing reports its end; `waiting_on`: what people see meanwhile.
    """

    handle: ExternalWork
    until: datetime | None = None
    waiting_on: str = ""


class Failure(msgspec.Struct, frozen=True, gc=False):
    """The tool failed: the model is told the error."""

    error: str


class Interruption(msgspec.Struct, frozen=True, gc=False):
    """The tool was interrupted, and its outcome is unknown. `timed_out`: because of its timeout."""

    error: str
    timed_out: bool = False


class Unserved(msgspec.Struct, frozen=True, gc=False):
    """The Kubernetes API did not serve what the tool needs, which says nothing about the tool."""

    error: ApiError


Outcome: TypeAlias = Done | Parked | Failure | Interruption | Unserved
