"""The messages before a run's window: sealed into segments once, read back for every question.

The TaskRun controller calls it. Segments never change, so what was read is kept; the least used are let go.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from kubechain.controllers.runs.children import child_meta
from kubechain.resources.message import Message
from kubechain.resources.segment import TRANSCRIPT_SEGMENTS, TranscriptSegment, TranscriptSegmentSpec
from kubechain.resources.taskrun import TaskRun
from kubechain.runtime.api import Api

CAPACITY = 1_000
"""Segments kept in memory, some 16 KB each."""


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
        """Makes sure that the segments exist: the same name is the same content."""
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
