"""What is due for one tool call: the pure, total decision behind the ToolCall controller."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from msgspec import json

from kubechain.agents.builtin.read_result import Reading
from kubechain.agents.builtin.table import step_of
from kubechain.resources.duration import seconds
from kubechain.resources.mcpserver import MCPServer
from kubechain.resources.tool import Effect, Interrupt, Tool, interrupt_policy
from kubechain.resources.toolcall import ToolCall

DEFAULT_TIMEOUT = 300.0
"""Seconds one call may take where nothing is stated."""


class Nature(msgspec.Struct, frozen=True, gc=False):
    """What has to be known of a tool to call it safely: `timeout` in seconds."""

    effect: Effect
    on_interrupt: Interrupt
    timeout: float


class CallIdle(msgspec.Struct, frozen=True, gc=False):
    """The call is finished, or a person has to say what became of it."""


class CallWait(msgspec.Struct, frozen=True, gc=False):
    """The tool is not ready; `on` says why."""

    on: str


class Refuse(msgspec.Struct, frozen=True, gc=False):
    """The call fails without being tried; `error` is told to the model."""

    error: str


class LoseTrack(msgspec.Struct, frozen=True, gc=False):
    """It was cut off in its middle and must not be repeated unasked."""


class HandOut(msgspec.Struct, frozen=True, gc=False):
    """Someone outside does the work: show that it is due, and wait for the result."""


class ReadBack(msgspec.Struct, frozen=True, gc=False):
    """Read on in a stored result of the same run."""

    what: Reading


class Execute(msgspec.Struct, frozen=True, gc=False):
    """Run the tool; `mark` first writes Running: a second execution would do harm, or is not wanted."""

    provider: Tool | MCPServer
    nature: Nature
    mark: bool


CallStep: TypeAlias = CallIdle | CallWait | Refuse | LoseTrack | HandOut | ReadBack | Execute


def next_call_step(call: ToolCall, provider: Tool | MCPServer | None) -> CallStep:
    """The one thing to do next. A call found Running was cut off: nobody is working on it any more."""
    if call.status.finished or call.status.phase == "OutcomeUnknown":
        return CallIdle()
    origin = call.spec.origin
    if origin is None:
        return Refuse(f'there is no tool "{call.spec.tool}"; use one of the tools you were given')
    if problem := bad_arguments(call.spec.arguments):
        return Refuse(problem)
    if origin.kind == "Builtin":
        what = step_of(origin.name, call.spec.arguments)
        return Refuse(what) if isinstance(what, str) else ReadBack(what)
    if provider is None:
        return CallWait(f'{origin.kind} "{origin.name}" not found')
    if isinstance(provider, Tool) and provider.spec.external is not None:
        return CallIdle() if call.status.phase == "Running" else HandOut()
    nature = nature_of(provider, origin.tool)
    if call.status.phase == "Running":
        match nature.on_interrupt:
            case "Fail":
                return Refuse("the call was cut off in its middle and is not repeated (onInterrupt: Fail)")
            case "Ask":
                return LoseTrack()
            case "Retry":
                pass
    if not provider.status.ready:
        return CallWait(f"{origin.kind} {origin.name}: {provider.status.status_detail or 'not ready yet'}")
    return Execute(provider, nature, mark=nature.effect == "NonIdempotent" or nature.on_interrupt != "Retry")


def nature_of(provider: Tool | MCPServer, tool: str = "") -> Nature:
    """The nature of a tool, or of one tool of an MCP server."""
    timeout = seconds(provider.spec.timeout) if provider.spec.timeout else DEFAULT_TIMEOUT
    if isinstance(provider, Tool):
        effect: Effect = provider.spec.effect or "NonIdempotent"
        return Nature(effect, interrupt_policy(effect, provider.spec.on_interrupt), timeout)
    effect = next((t.effect for t in provider.status.tools if t.name == tool), "NonIdempotent")
    return Nature(effect, interrupt_policy(effect, None), timeout)


def bad_arguments(arguments: str) -> str | None:
    """What the model is told when its arguments are not a JSON object; None when they are."""
    if not arguments.strip():
        return None
    try:
        value = json.decode(arguments.encode())
    except ValueError as error:
        return f"the arguments are not valid JSON ({error}); send one JSON object"
    return None if isinstance(value, dict) else "the arguments are not a JSON object; send one JSON object"
