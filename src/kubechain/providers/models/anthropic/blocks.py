"""The parts of a reply of Anthropic's API, in order, as `Message.opaque` keeps them.

reply.py writes them, messages.py sends them back; neither needs the other, or the library.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

REDACTED = "redacted_thinking"


class Block(msgspec.Struct, omit_defaults=True):
    """One part of a reply, in order: a thought, a number of characters of `text`, or the tool call `call`."""

    thinking: str | UnsetType = UNSET
    signature: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    text: int | UnsetType = UNSET
    call: str | UnsetType = UNSET
