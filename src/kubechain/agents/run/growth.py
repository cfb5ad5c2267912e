"""Keeps runs small: what moves out of the window of a long conversation, and into which segments.

Pure. At a checkpoint, once window and unsaved messages together exceed WINDOW, all of them move to segments and
only what is new stays; a reply that is LARGE by itself moves too, unless its tool calls are still to be made. A
segment's name is computed from its content, so that a checkpoint repeated after a crash makes the same segments,
and one that saw other messages makes others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec
from msgspec import json

from kubechain.agents.naming import segment_name
from kubechain.agents.run.outcome import bytes_of
from kubechain.resources.message import Message
from kubechain.resources.segment import TranscriptSegmentSpec
from kubechain.resources.taskrun import History, TaskRun

WINDOW = 16 * 1024
"""Characters of conversation that a run's status may hold before they move out."""
SEGMENT = 96 * 1024
"""Characters that one segment holds at the most, unless a single message is larger."""
LARGE = 256 * 1024
"""Bytes of a reply that stay in the window: a final answer is in the status a second time, as its output."""

Segments: TypeAlias = Sequence[tuple[str, TranscriptSegmentSpec]]
"""Names and contents of segments."""


class Conversation(msgspec.Struct, frozen=True, gc=False):
    """The conversation after a checkpoint: the messages of the status, and the segments to create before."""

    window: list[Message]
    history: History
    moved: Segments = ()


def size(messages: Iterable[Message]) -> int:
    """Characters that people and models wrote: close enough to bytes to limit an object."""
    total = 0
    for message in messages:
        total += len(message.content or "") + len(message.opaque) + 60
        for call in message.tool_calls:
            total += len(call.function.arguments) + 80
    return total


def continued(
    run: TaskRun, unsaved: Sequence[Message], new: Sequence[Message] = (), *, pending: bool = False
) -> Conversation:
    """The run's conversation with the `unsaved` messages that led to a reply, and the `new` ones: the reply.

    `pending`: the reply's tool calls are still to be made, so it stays in the window.
    """
    before = [*run.status.messages, *unsaved]
    if not pending and sum(map(bytes_of, new)) > LARGE:
        return _moved(run, [*before, *new], [])
    if size(before) > WINDOW:
        return _moved(run, before, new)
    return Conversation([*before, *new], run.status.history)


def _moved(run: TaskRun, messages: Sequence[Message], rest: Sequence[Message]) -> Conversation:
    history = run.status.history
    previous, first = history.last, history.messages
    made: list[tuple[str, TranscriptSegmentSpec]] = []
    for stretch in _stretches(messages):
        spec = TranscriptSegmentSpec(task_run=run.metadata.name, previous=previous, first=first, messages=stretch)
        previous = segment_name(run.metadata.name, run.metadata.uid, json.encode(spec))
        first += len(stretch)
        made.append((previous, spec))
    return Conversation(
        list(rest), History(last=previous, segments=history.segments + len(made), messages=first), made
    )


def _stretches(messages: Sequence[Message]) -> Iterable[list[Message]]:
    """The messages in stretches of at most SEGMENT."""
    stretch: list[Message] = []
    length = 0
    for message in messages:
        more = size([message])
        if stretch and length + more > SEGMENT:
            yield stretch
            stretch, length = [], 0
        stretch.append(message)
        length += more
    if stretch:
        yield stretch
