"""Stores long tool results next to their ToolCall, and reads parts of them.

The ToolCall controller calls it. The model of a run can read only results of that run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from kubechain.agents.builtin.read_result import (
    INLINE,
    PART,
    PREVIEW,
    Part,
    Reading,
    cut,
    cut_note,
    part_name,
    split,
)
from kubechain.agents.call.artifact import stored
from kubechain.agents.call.outcome import Done
from kubechain.agents.ports.tool import ToolError
from kubechain.errors import NotFound
from kubechain.resources.kind import controller_of, owner_reference
from kubechain.resources.model import ObjectMeta
from kubechain.resources.toolcall import TOOL_CALLS, StoredArtifact, StoredResult, ToolCall
from kubechain.resources.toolresult import TOOL_RESULTS, ToolResult
from kubechain.runtime.api import Api


class Kept(Struct, frozen=True):
    """What the ToolCall holds: the result or its beginning, where the rest is, and which files there are."""

    inline: str
    stored: StoredResult | None = None
    artifacts: list[StoredArtifact] = []


class Results(Struct, frozen=True):
    """Over one `Api`."""

    api: Api

    async def store(self, call: ToolCall, done: Done, limit: int) -> Kept:
        """What the ToolCall is to hold of the result; what is too big for it, and files, are stored by then.

        A result of more than `limit` bytes is cut.
        """
        text = split(call, cut(done.text, limit))
        artifacts, files = stored(call, done.artifacts)
        if parts := [*text.parts, *files]:
            await self._make(call, parts)
        return Kept(text.inline, text.stored, artifacts)

    async def _make(self, call: ToolCall, parts: Sequence[Part]) -> None:
        owner = owner_reference(TOOL_CALLS, call.metadata)
        for name, spec in parts:
            meta = ObjectMeta(
                name=name,
                namespace=call.metadata.namespace,
                labels=call.metadata.labels,
                owner_references=[owner],
            )
            await self.api.ensure(TOOL_RESULTS, ToolResult(metadata=meta, spec=spec))

    async def read(self, reader: ToolCall, what: Reading) -> str:
        """A stretch of a stored result, with a note where it goes on. Raises ToolError, told to the model."""
        whole = await self._stored(reader, what.handle)
        if not 0 <= what.offset < whole.characters:
            raise ToolError(f"offset {what.offset} is outside of the result: it has {whole.characters} characters")
        end = min(what.offset + INLINE - PREVIEW // 8, whole.characters)
        parts = range(what.offset // PART + 1, (end - 1) // PART + 2)
        found = await asyncio.gather(
            *(self.api.get(TOOL_RESULTS, part_name(whole.name, n), reader.metadata.namespace) for n in parts)
        )
        start = what.offset - (parts.start - 1) * PART
        text = "".join(part.spec.content for part in found)[start : start + end - what.offset]
        return text if end == whole.characters else text + cut_note(what.handle, end, whole.characters)

    async def _stored(self, reader: ToolCall, handle: str) -> StoredResult:
        try:
            call = await self.api.get(TOOL_CALLS, handle, reader.metadata.namespace)
        except NotFound:
            call = None
        ours, theirs = controller_of(reader), controller_of(call) if call else None
        if call is None or ours is None or theirs is None or ours.uid != theirs.uid or call.status.stored is None:
            raise ToolError(f'there is no stored result "{handle}"; give a handle as it was named')
        return call.status.stored
