"""`Message.opaque`: what a provider sent besides the text, and must get back byte for byte.

The adapters of this folder write and read it. It is JSON, so that it survives every store; the provider's own
values stand in it as the bytes they came as. Never shown, never interpreted.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType


class Kept(msgspec.Struct, omit_defaults=True, kw_only=True):
    """`fields` of the message and `calls` (tool call id -> its `extra_content`) on the chat-completions wire,
    sent back to the same `host` only; `blocks` on Anthropic's."""

    wire: Literal["chat", "anthropic"]
    host: str = ""
    fields: dict[str, Raw] = {}
    calls: dict[str, Raw] = {}
    blocks: Raw | UnsetType = UNSET


_DECODER = msgspec.json.Decoder(Kept)


def dumps(kept: Kept) -> str:
    """The text for `Message.opaque`."""
    return msgspec.json.encode(kept).decode()


def loads(opaque: str) -> Kept | None:
    """What was kept, or None where the text is empty or not ours."""
    try:
        return _DECODER.decode(opaque) if opaque else None
    except msgspec.DecodeError:
        return None
