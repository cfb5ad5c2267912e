"""TranscriptSegment: messages that fell out of a run's current window. Immutable, a child of the run."""

from __future__ import annotations

from typing import Annotated

from kubechain.resources.kind import Column, our_kind
from kubechain.resources.message import Message
from kubechain.resources.model import Model, Resource, doc, immutable


class TranscriptSegmentSpec(Model, kw_only=True, gc=False):
    """A stretch of a conversation. Cannot be changed."""

    rules = (immutable("a TranscriptSegment cannot be changed"),)

    task_run: Annotated[str, doc("Name of the TaskRun it belongs to.")]
    previous: Annotated[str, doc("Name of the segment before this one; absent on the first.")] = ""
    first: Annotated[int, doc("How many messages of the conversation come before this segment.")] = 0
    messages: Annotated[list[Message], doc("The messages, in order.")]


class TranscriptSegment(Resource, kw_only=True, gc=False):
    """A TranscriptSegment holds messages that fell out of a run's current window."""

    spec: Annotated[TranscriptSegmentSpec, doc("The messages.")]


TRANSCRIPT_SEGMENTS = our_kind(
    TranscriptSegment,
    "transcriptsegments",
    has_status=False,
    columns=(
        Column("TaskRun", ".spec.taskRun", description="The run it belongs to"),
        Column("First", ".spec.first", "integer", description="Messages before it"),
        Column("Age", ".metadata.creationTimestamp", "date", description="Time since it was created"),
    ),
)
