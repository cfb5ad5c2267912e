"""What the scripted model answers: rules in YAML, each a match and a reply.

server.py calls `decide`. Pure: the answer depends on the request alone, so a restarted server gives the same one.
The first rule that matches wins; a request that none matches gets 404.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from kubechain.providers.models.scripted import obliging
from kubechain.providers.models.scripted.dialogue import ChatRequest, Dialogue
from kubechain.resources import yamltext


class Strict(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A typo in a script is an error, not a rule that never matches."""


class Match(Strict, kw_only=True):
    """All that is given must hold. `user_message` and `tool_result` are regular expressions, searched in any case
    in the last user message and in the results since then; `turn` counts the assistant's messages since then (0 is
    the first answer); `tools` are names that must be offered."""

    user_message: str | None = None
    tool_result: str | None = None
    has_tool_result: bool | None = None
    turn: int | None = None
    tools: list[str] = []
    model: str | None = None


class ScriptedCall(Strict, kw_only=True):
    name: str
    arguments: Mapping[str, object] | str = {}


class ScriptedError(Strict, kw_only=True):
    status: int = 500
    message: str = "The script says so."
    type: str = "server_error"
    code: str | None = None
    retry_after: float | None = None


class ScriptedUsage(Strict, kw_only=True):
    input: int = 0
    output: int = 0
    cached: int = 0


class ScriptedReply(Strict, kw_only=True):
    """`delay` in seconds. In `content`, `{result}` is the last tool result, `{user}` the last user message.
    `auto` gives the built-in answer: call the tool that the user asks for, then report its result."""

    content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ScriptedCall] = []
    finish: str | None = None
    usage: ScriptedUsage | None = None
    delay: float = 0.0
    error: ScriptedError | None = None
    auto: Literal[True] | None = None


class Rule(Strict, kw_only=True):
    match: Match = msgspec.field(default_factory=Match)
    reply: ScriptedReply


Script = list[Rule]
OBLIGING: Script = [Rule(reply=ScriptedReply(auto=True))]
"""The built-in script."""


def load(text: str) -> Script:
    """A script from YAML. Raises msgspec.ValidationError or NotYaml with the place of the fault."""
    return msgspec.convert(yamltext.first(text), Script)


def load_file(path: Path) -> Script:
    """A script from a YAML file; see load."""
    return load(path.read_text())


def decide(script: Script, request: ChatRequest) -> ScriptedReply | None:
    """The reply of the first rule that matches, filled in; None where none does."""
    dialogue = Dialogue(request)
    for rule in script:
        if _holds(rule.match, request, dialogue):
            return _filled(rule.reply, request, dialogue)
    return None


def _holds(match: Match, request: ChatRequest, dialogue: Dialogue) -> bool:
    offered = {tool.function.name for tool in request.tools}
    return all(
        (
            match.model is None or match.model == request.model,
            match.user_message is None or _found(match.user_message, dialogue.user),
            match.tool_result is None or any(_found(match.tool_result, text) for text in dialogue.results),
            match.has_tool_result is None or match.has_tool_result == bool(dialogue.results),
            match.turn is None or match.turn == dialogue.turn,
            offered.issuperset(match.tools),
        )
    )


def _found(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


def _filled(reply: ScriptedReply, request: ChatRequest, dialogue: Dialogue) -> ScriptedReply:
    if reply.auto:
        answer = obliging.answer(request, dialogue)
        calls = [ScriptedCall(name=call.name, arguments=call.arguments) for call in answer.calls]
        return msgspec.structs.replace(reply, content=answer.content, tool_calls=calls)
    if reply.content is None:
        return reply
    result = dialogue.results[-1] if dialogue.results else ""
    content = reply.content.replace("{result}", result).replace("{user}", dialogue.user)
    return msgspec.structs.replace(reply, content=content)
