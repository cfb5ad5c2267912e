"""The outcomes of a tool that was started. Pure data, passed from runners to the ToolCall controller."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias, assert_never

import msgspec
from msgspec.structs import replace

from kubechain.agents.call.redaction import REDACTED, redacted
from kubechain.errors import ApiError
from kubechain.resources.effect import Trouble
from kubechain.resources.toolcall import ExternalWork, Phase


class Artifact(msgspec.Struct, frozen=True, gc=False):
    """A file that a tool made: its bytes, its media type as in `image/png`, and a name for people."""

    content: bytes
    media_type: str
    name: str = ""


class Done(msgspec.Struct, frozen=True, gc=False):
    """The tool has ended; `text` is its result. `artifacts` are stored; the model gets a line about each."""

    text: str
    artifacts: tuple[Artifact, ...] = ()


class Parked(msgspec.Struct, frozen=True, gc=False):
    """The work continues elsewhere. `handle` identifies it, and is saved in the ToolCall for a restart.

    `until`: when to look at it next, if nothing reports its end; `waiting_on`: what people see meanwhile; `phase`:
    that of the ToolCall meanwhile, one of `toolcall.PARKED`.
    """

    handle: ExternalWork
    until: datetime | None = None
    waiting_on: str = ""
    phase: Phase = "Running"


class Failure(msgspec.Struct, frozen=True, gc=False):
    """The tool failed: the model is told the error.

    `trouble`: why, if it may succeed later, else None; `retry_after`: seconds that the other side asked to wait.
    `kept`: what is needed to go on, where the tool waits for something that it cannot get yet.
    """

    error: str
    trouble: Trouble | None = None
    retry_after: float | None = None
    kept: ExternalWork | None = None


class Interruption(msgspec.Struct, frozen=True, gc=False):
    """The tool was interrupted, and its outcome is unknown. `timed_out`: because of its timeout.

    `started`: False if it is known that nothing has begun, so that the call waits and is started again.
    """

    error: str
    timed_out: bool = False
    started: bool = True


class Unserved(msgspec.Struct, frozen=True, gc=False):
    """The Kubernetes API did not serve what the tool needs, which says nothing about the tool."""

    error: ApiError


Outcome: TypeAlias = Done | Parked | Failure | Interruption | Unserved


def without(outcome: Outcome, hidden: Sequence[str]) -> Outcome:
    """The outcome without any of the hidden values. What identifies work elsewhere stays."""
    if not hidden:
        return outcome
    match outcome:
        case Done(text, artifacts):
            return Done(redacted(text, hidden), tuple(_file(a, hidden) for a in artifacts))
        case Parked(handle, _, waiting_on):
            handle = replace(handle, url=redacted(handle.url, hidden))
            return replace(outcome, handle=handle, waiting_on=redacted(waiting_on, hidden))
        case Failure(error) | Interruption(error):
            return replace(outcome, error=redacted(error, hidden))
        case Unserved():
            return outcome
        case _:
            assert_never(outcome)


def _file(artifact: Artifact, hidden: Sequence[str]) -> Artifact:
    content = artifact.content
    for value in hidden:
        content = content.replace(value.encode(), REDACTED.encode())
    return replace(artifact, content=content, name=redacted(artifact.name, hidden))
