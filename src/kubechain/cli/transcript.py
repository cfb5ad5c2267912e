"""A run's conversation as people read it: who spoke, what was called, what came back, when.

Used by `logs`, `describe`, `run --follow` and `demo`. Pure: objects in, entries and lines out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from kubechain.cli.objects import members, printable, text
from kubechain.resources.duration import human
from kubechain.resources.json import JsonObject

RUN_LABEL = "kubechain.humanlayer.dev/taskrun"
_GUTTER = 11
_WIDTH = 100


def label_of_run(name: str) -> str:
    """The label selector of a run's children; a label's value is the name's first 63 characters."""
    return f"{RUN_LABEL}={name[:63].rstrip('-.')}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing said: a role, its words, and (where an object recorded it) the time as HH:MM:SS."""

    role: str
    words: str
    time: str = ""


def entries(run: JsonObject, calls: Iterable[JsonObject] = ()) -> list[Entry]:
    """The conversation in order; `calls` are the run's ToolCalls, which know the times."""
    by_id = {text(call, "spec.toolCallId"): call for call in calls}
    found: list[Entry] = []
    names: dict[str, str] = {}
    messages = members(run, "status.messages")
    for position, message in enumerate(messages):
        role, words = text(message, "role"), text(message, "content").strip()
        requested = members(message, "toolCalls")
        if role == "tool":
            call = by_id.get(text(message, "toolCallId"), {})
            name = names.get(text(message, "toolCallId")) or text(message, "name")
            found.append(Entry(role, f"{name}{_took(call)}: {words}", clock(text(call, "status.completionTime"))))
            continue
        if words or not requested:
            found.append(Entry(role, words, _spoken(run, message, by_id, position, len(messages))))
        for wanted in requested:
            names[text(wanted, "id")] = text(wanted, "function.name")
            call = by_id.get(text(wanted, "id"), {})
            made = f"calls {text(wanted, 'function.name')} {text(wanted, 'function.arguments')}"
            found.append(Entry(role, made, clock(text(call, "metadata.creationTimestamp"))))
    return found


def closing(run: JsonObject) -> str:
    """How the run ended, in one line; "" while it goes on."""
    phase, error = text(run, "status.phase"), text(run, "status.error")
    if phase not in ("FinalAnswer", "Failed"):
        return ""
    turns, tokens = text(run, "status.turns"), text(run, "status.tokens")
    spent = [f"{turns} {'turn' if turns == '1' else 'turns'}"] if turns else []
    spent += [f"{tokens} tokens"] if tokens else []
    length = elapsed(text(run, "status.startTime"), text(run, "status.completionTime"))
    told = f"{phase} after {length}" if length else phase
    return printable(": ".join(filter(None, [", ".join([told, *spent]), error])))


def lines(entry: Entry, *, width: int = _WIDTH) -> list[str]:
    """One entry as lines: time, role, and the words with a hanging indent."""
    head = f"{entry.time:8}  {entry.role:{_GUTTER}}"
    wrapped = [
        piece
        for line in printable(entry.words).splitlines() or [""]
        for piece in textwrap.wrap(line, width, replace_whitespace=False, break_on_hyphens=False) or [""]
    ]
    return [(head if i == 0 else " " * len(head)) + piece for i, piece in enumerate(wrapped)]


def clock(timestamp: str) -> str:
    """HH:MM:SS, local, of an RFC 3339 timestamp; "" for none."""
    moment = _moment(timestamp)
    return moment.astimezone().strftime("%H:%M:%S") if moment else ""


def elapsed(start: str, end: str) -> str:
    """The time between two timestamps as kubectl writes ages; "" where one is missing."""
    first, last = _moment(start), _moment(end)
    return human((last - first).total_seconds()) if first and last else ""


def _moment(timestamp: str) -> datetime | None:
    try:
        return datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    except ValueError:
        return None


def _took(call: JsonObject) -> str:
    length = elapsed(text(call, "status.startTime"), text(call, "status.completionTime"))
    return f" ({length})" if length and length != "0s" else ""


def _spoken(run: JsonObject, message: JsonObject, by_id: dict[str, JsonObject], position: int, count: int) -> str:
    """When a message was said, as far as an object recorded it."""
    for wanted in members(message, "toolCalls"):
        return clock(text(by_id.get(text(wanted, "id"), {}), "metadata.creationTimestamp"))
    if text(message, "role") == "user":
        return clock(text(run, "status.startTime"))
    if text(message, "role") == "assistant" and position == count - 1:
        return clock(text(run, "status.completionTime"))
    return ""
