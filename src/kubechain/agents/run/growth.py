"""How a run stays small however long it gets: what moves out of its window, and into what.

Pure. At a checkpoint, once window and unsaved messages together exceed WINDOW, all of them move to segments and
only the new reply stays. A segment's name is computed from its content, so that a checkpoint repeated after a
crash makes the same segments, and one that saw other messages makes others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import json

from kubechain.agents.naming import segment_name
from kubechain.resources.message import Message
from kubechain.resources.segment import TranscriptSegmentSpec
from kubechain.resources.taskrun import TaskRun

WINDOW = 16 * 1024
"""Characters of conversation that a run's status may hold before they move out."""
SEGMENT = 96 * 1024
"""Characters that one segment holds at the most, unless a single message is larger."""


def size(messages: Iterable[Message]) -> int:
    """Characters that people and models wrote: near enough to bytes to bound an object."""
    total = 0
    for message in messages:
        total += len(message.content or "") + len(message.opaque) + 60
        for call in message.tool_calls:
            total += len(call.function.arguments) + 80
    return total


def sealed(run: TaskRun, unsaved: Sequence[Message]) -> list[tuple[str, TranscriptSegmentSpec]]:
    """Names and contents of the segments that the next checkpoint needs; mostly none."""
    messages = [*run.status.messages, *unsaved]
    if size(messages) <= WINDOW:
        return []
    previous, first = run.status.history.last, run.status.history.messages
    made: list[tuple[str, TranscriptSegmentSpec]] = []
    for stretch in _stretches(messages):
        spec = TranscriptSegmentSpec(task_run=run.metadata.name, previous=previous, first=first, messages=stretch)
        previous = segment_name(run.metadata.name, run.metadata.uid, json.encode(spec))
        first += len(stretch)
        made.append((previous, spec))
    return made


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
