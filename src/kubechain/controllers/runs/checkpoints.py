"""Saves a run in the API: its status, its calls, and the segments of its transcript.

The TaskRun controller calls it. A checkpoint contains what was paid for, so it is saved even if the API is busy or
others change the run. If something is too large for an object, the run says so. Segments never change, so those
that were read are cached; the least used are dropped.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from kubechain.agents.run import checkpoint, transcript
from kubechain.agents.run.scene import Ask
from kubechain.controllers.caches import Caches
from kubechain.controllers.saving import put_status, remembered, save_status, through_trouble
from kubechain.errors import TooLarge
from kubechain.resources.agent import Agent
from kubechain.resources.kind import GROUP, owner_reference
from kubechain.resources.message import Message
from kubechain.resources.model import ObjectMeta
from kubechain.resources.segment import TRANSCRIPT_SEGMENTS, TranscriptSegment, TranscriptSegmentSpec
from kubechain.resources.taskrun import ROOT_LABEL, TASK_RUNS, TaskRun, TaskRunStatus
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall, ToolCallSpec
from kubechain.runtime.api import Api

CAPACITY = 1_000
"""Segments kept in memory, some 16 KB each."""
MAX_LABEL = 63


class Checkpoints(Struct, frozen=True):
    """Over one `Api`."""

    api: Api
    caches: Caches
    transcripts: Transcripts

    async def put(self, run: TaskRun, status: TaskRunStatus) -> TaskRun:
        """Writes a status once, for what another pass can determine again."""
        return await put_status(self.api, self.caches.runs, replace(run, status=status))

    async def save(self, run: TaskRun, status: TaskRunStatus) -> TaskRun | None:
        """Writes a status that must not be lost; None if the run was deleted."""
        return await save_status(self.api, self.caches.runs, run, status, over=partial(_goes_on, run))

    async def keep(self, run: TaskRun, ask: Ask, made: checkpoint.Checkpoint, now: datetime) -> TaskRun | None:
        """Writes the segments, then the status together with the calls that it asks for; None if it was
        deleted."""
        over, put = partial(_goes_on, run), self._with_calls(ask.agent)
        try:
            if made.segments:
                await through_trouble(partial(self.transcripts.seal, run, made.segments))
            return await save_status(self.api, self.caches.runs, run, made.status, over=over, put=put)
        except TooLarge as error:
            why = f"its conversation cannot be saved: {error}"
            return await self.save(run, checkpoint.too_large(run, ask, why, now))

    async def ensure(self, run: TaskRun, name: str, spec: ToolCallSpec) -> None:
        """Creates the child under its computed name. An existing one counts as success."""
        self.caches.calls.remember(await self.api.ensure(TOOL_CALLS, _child(run, name, spec)))

    def _with_calls(self, agent: Agent) -> Callable[[TaskRun], Awaitable[TaskRun]]:
        """Writes a status together with the calls of its last reply, which `agent` made."""

        async def put(wanted: TaskRun) -> TaskRun:
            due = [_child(wanted, name, spec) for name, spec in transcript.due(wanted, agent)]
            written, made = await self.api.checkpoint(TASK_RUNS, wanted, TOOL_CALLS, due)
            for call in made:
                self.caches.calls.remember(call)
            return remembered(self.caches.runs, written)

        return put


def _child(run: TaskRun, name: str, spec: ToolCallSpec) -> ToolCall:
    return ToolCall(metadata=child_meta(run, name), spec=spec)


def _goes_on(run: TaskRun, newest: TaskRun) -> bool:
    """Whether the newest version of a run is at the same place in its conversation."""
    return (
        newest.status.turns == run.status.turns
        and not newest.status.finished
        and newest.metadata.deletion_timestamp is None
    )


class Transcripts:
    """`capacity` is how many segments are kept in memory."""

    def __init__(self, api: Api, capacity: int = CAPACITY) -> None:
        self._api = api
        self._capacity = capacity
        self._kept: OrderedDict[tuple[str, str], TranscriptSegmentSpec] = OrderedDict()

    async def before_window(self, run: TaskRun) -> list[Message]:
        """Every message before the window, oldest first."""
        segments: list[TranscriptSegmentSpec] = []
        name = run.status.history.last
        while name:
            segments.append(await self._read(run.metadata.namespace, name))
            name = segments[-1].previous
        return [message for segment in reversed(segments) for message in segment.messages]

    async def seal(self, run: TaskRun, segments: Sequence[tuple[str, TranscriptSegmentSpec]]) -> None:
        """Makes sure that the segments exist. The same name means the same content."""
        made = (TranscriptSegment(metadata=child_meta(run, name), spec=spec) for name, spec in segments)
        await asyncio.gather(*(self._api.ensure(TRANSCRIPT_SEGMENTS, segment) for segment in made))
        for name, spec in segments:
            self._keep(run.metadata.namespace, name, spec)

    async def _read(self, namespace: str, name: str) -> TranscriptSegmentSpec:
        kept = self._kept.get((namespace, name))
        if kept is None:
            kept = (await self._api.get(TRANSCRIPT_SEGMENTS, name, namespace)).spec
        self._keep(namespace, name, kept)
        return kept

    def _keep(self, namespace: str, name: str, spec: TranscriptSegmentSpec) -> None:
        self._kept[namespace, name] = spec
        self._kept.move_to_end((namespace, name))
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)


def child_meta(run: TaskRun, name: str) -> ObjectMeta:
    """Metadata of a child of the run."""
    labels = {"agent": run.status.agent, "task": run.spec.task, "taskrun": run.metadata.name}
    root = {ROOT_LABEL: run.metadata.labels[ROOT_LABEL]} if ROOT_LABEL in run.metadata.labels else {}
    return ObjectMeta(
        name=name,
        namespace=run.metadata.namespace,
        labels={f"{GROUP}/{label}": value[:MAX_LABEL].rstrip("-.") for label, value in labels.items() if value}
        | root,
        owner_references=[owner_reference(TASK_RUNS, run.metadata)],
    )
