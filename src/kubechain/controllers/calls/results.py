"""Stores long tool results next to their ToolCall, and reads parts of them.

The ToolCall controller calls it. The model of a run can read only results of that run.
"""

from __future__ import annotations

import asyncio

from msgspec import Struct

from kubechain.agents.builtin.read_result import INLINE, PART, PREVIEW, Reading, Split, cut_note, part_name
from kubechain.agents.ports.tool import ToolError
from kubechain.errors import NotFound
from kubechain.resources.kind import controller_of, owner_reference
from kubechain.resources.model import ObjectMeta
from kubechain.resources.toolcall import TOOL_CALLS, StoredResult, ToolCall
from kubechain.resources.toolresult import TOOL_RESULTS, ToolResult
from kubechain.runtime.api import Api


class Results(Struct, frozen=True):
    """Over one `Api`."""

    api: Api

    async def store(self, call: ToolCall, kept: Split) -> None:
        """Makes sure that the parts of a result that is too long for its ToolCall exist."""
        owner = owner_reference(TOOL_CALLS, call.metadata)
        for name, spec in kept.parts:
            meta = ObjectMeta(
                name=name,
                namespace=call.metadata.namespace,
                labels=call.metadata.labels,
                owner_references=[owner],
            )
            await self.api.ensure(TOOL_RESULTS, ToolResult(metadata=meta, spec=spec))

    async def read(self, reader: ToolCall, what: Reading) -> str:
        """A stretch of a stored result, with a note where it goes on. Raises ToolError, told to the model."""
        stored = await self._stored(reader, what.handle)
        if not 0 <= what.offset < stored.characters:
            raise ToolError(
                f"offset {what.offset} is outside of the result: it has {stored.characters} characters"
            )
        end = min(what.offset + INLINE - PREVIEW // 8, stored.characters)
        parts = range(what.offset // PART + 1, (end - 1) // PART + 2)
        found = await asyncio.gather(
            *(self.api.get(TOOL_RESULTS, part_name(stored.name, n), reader.metadata.namespace) for n in parts)
        )
        start = what.offset - (parts.start - 1) * PART
        text = "".join(part.spec.content for part in found)[start : start + end - what.offset]
        return text if end == stored.characters else text + cut_note(what.handle, end, stored.characters)

    async def _stored(self, reader: ToolCall, handle: str) -> StoredResult:
        try:
            call = await self.api.get(TOOL_CALLS, handle, reader.metadata.namespace)
        except NotFound:
            call = None
        ours, theirs = controller_of(reader), controller_of(call) if call else None
        if call is None or ours is None or theirs is None or ours.uid != theirs.uid or call.status.stored is None:
            raise ToolError(f'there is no stored result "{handle}"; give a handle as it was named')
        return call.status.stored
