"""Results as text: what a function returned, and how much of any result is kept.

The tool process calls it where the result is made, `mcp` where it arrives. It never fails on text.
"""

from __future__ import annotations

import msgspec

MAX_RESULT_BYTES = 256 * 1024
"""A run's transcript holds several results and must stay well under the 1.5 MiB that etcd takes for an object."""


class NotText(TypeError):
    """A result that is neither text nor representable in JSON."""


def as_text(result: object) -> str:
    """A str as it is, anything else as JSON. Raises NotText."""
    if isinstance(result, str):
        return result
    try:
        return msgspec.json.encode(result).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotText(f"returned a {type(result).__qualname__}, which has no JSON form ({error})") from error


def limited(text: str, limit: int = MAX_RESULT_BYTES) -> str:
    """The text, cut to `limit` bytes of UTF-8 with a last line that says so; lone surrogates become `?`."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    kept = data[:limit].decode("utf-8", "ignore")
    return f"{kept}\n[cut: the first {limit:,} of {len(data):,} bytes; ask for a smaller part to see the rest]"
