"""A run's conversation as people read it: who spoke, what was called, what came back, when.

Used by `logs`, `describe`, `run --follow` and `demo`. Pure: objects in, entries and lines out.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TextIO

from kubechain.cli.objects import finished, members, printable, text
from kubechain.resources.duration import human
from kubechain.resources.json import JsonObject

RUN_LABEL = "kubechain.humanlayer.dev/taskrun"
_GUTTER = 11
_INDENT = 10 + _GUTTER
_WIDTH = 100
_NARROWEST = 20


def label_of_run(name: str) -> str:
    """The label selector of a run's children; a label's value is the name's first 63 characters."""
    return f"{RUN_LABEL}={name[:63].rstrip('-.')}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing said: a role, its words, and (where an object recorded it) the time as HH:MM:SS.

    `key` names it within its conversation: the same before and after a result becomes a message.
    """

    role: str
    words: str
    time: str = ""
    key: str = ""


def entries(run: JsonObject, calls: Iterable[JsonObject] = ()) -> list[Entry]:
    """The conversation in order; `calls` are the run's ToolCalls.

    They know the times, and the results that the run holds only from the next reply on: these come last.
    """
    by_id = {text(call, "spec.toolCallId"): call for call in sorted(calls, key=_turn)}
    found: list[Entry] = []
    open_calls: dict[str, tuple[str, str]] = {}
    messages = members(run, "status.messages")
    for position, message in enumerate(messages):
        role, words, id_ = text(message, "role"), text(message, "content").strip(), text(message, "toolCallId")
        requested = members(message, "toolCalls")
        if role == "tool":
            name, key = open_calls.pop(id_, (text(message, "name"), str(position)))
            found.append(_result(name, by_id.get(id_, {}), words, key))
            continue
        if words or not requested:
            time = _spoken(run, message, by_id, position, len(messages))
            found.append(Entry(role, words, time, str(position)))
        for number, wanted in enumerate(requested):
            id_, name, key = text(wanted, "id"), text(wanted, "function.name"), f"{position}.{number}"
            open_calls[id_] = name, f"{key}.result"
            made = f"calls {name} {text(wanted, 'function.arguments')}"
            found.append(Entry(role, made, clock(text(by_id.get(id_, {}), "metadata.creationTimestamp")), key))
            found += _child(name, by_id.get(id_, {}), key)
    ended = [(by_id[id_], *named) for id_, named in open_calls.items() if finished(by_id.get(id_, {}))]
    return [*found, *(_result(name, call, _outcome(call), key) for call, name, key in ended)]


def _child(name: str, call: JsonObject, key: str) -> list[Entry]:
    """Which run answers the call of a sub-agent, once it is there."""
    agent, child = text(call, "spec.origin.agent"), text(call, "status.external.id")
    if not agent or not child:
        return []
    words = f"{name} runs agent {agent} as taskrun/{child}"
    return [Entry("tool", words, clock(text(call, "status.startTime")), f"{key}.child")]


def _result(name: str, call: JsonObject, words: str, key: str) -> Entry:
    return Entry("tool", f"{name}{_took(call)}: {words}", clock(text(call, "status.completionTime")), key)


def _outcome(call: JsonObject) -> str:
    if text(call, "status.phase") == "Succeeded":
        return text(call, "status.result").strip()
    return f"Error: {text(call, 'status.error')}"


def _turn(call: JsonObject) -> int:
    """The turn that asked for a call: the number before the last one of its name."""
    number = text(call, "metadata.name").split("-")[-2:][0]
    return int(number) if number.isdecimal() else 0


def waits(run: JsonObject) -> str:
    """Why the run is not moving, in one line; "" where it is, or has ended."""
    return "" if finished(run) else printable(text(run, "status.waitingOn"))


def closing(run: JsonObject) -> str:
    """How the run ended, in one line; "" while it goes on."""
    phase, error = text(run, "status.phase"), text(run, "status.error")
    if not finished(run):
        return ""
    turns, tokens = text(run, "status.turns"), text(run, "status.tokens")
    spent = [f"{turns} {'turn' if turns == '1' else 'turns'}"] if turns else []
    spent += [f"{tokens} tokens"] if tokens else []
    length = elapsed(text(run, "status.startTime"), text(run, "status.completionTime"))
    told = f"{phase} after {length}" if length else phase
    return printable(": ".join(filter(None, [", ".join([told, *spent]), error or cut(run)])))


def width_of(stream: TextIO) -> int:
    """How many columns of words fit on a terminal; 0, no limit, for what is no terminal."""
    if not stream.isatty():
        return 0
    return max(_NARROWEST, shutil.get_terminal_size((_WIDTH, 24)).columns - _INDENT)


def cut(run: JsonObject) -> str:
    """Why the answer of a run is not complete, in one line; "" where it is, or where there is none."""
    for condition in members(run, "status.conditions"):
        if text(condition, "type") == "Succeeded" and text(condition, "status") == "True":
            whole = text(condition, "reason") in ("", "FinalAnswer")
            return "" if whole else printable(text(condition, "message") or text(condition, "reason"))
    return ""


def lines(entry: Entry, *, width: int = 0) -> list[str]:
    """One entry as lines: time, role, and the words with a hanging indent; `width` 0 wraps nothing."""
    head = f"{entry.time:8}  {entry.role:{_GUTTER}}"
    wrapped = [
        piece
        for line in printable(entry.words).splitlines() or [""]
        for piece in (width and textwrap.wrap(line, width, replace_whitespace=False, break_on_hyphens=False))
        or [line]
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
