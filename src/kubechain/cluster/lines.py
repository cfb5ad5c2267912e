"""Splits chunks of bytes into lines of any length.

Called by `http` for watch streams. A line ends only at b"\\n": the text of a model may contain U+0085 or U+2028,
which text readers take for line ends, and one event may have megabytes, which readers with a limit refuse. Pure.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable


async def lines(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Every complete line that is not empty, without its end; what follows the last line end is dropped."""
    begun: list[bytes] = []
    async for chunk in chunks:
        first, *others = chunk.split(b"\n")
        begun.append(first)
        for piece in others:
            line = b"".join(begun)
            begun = [piece]
            if line.strip():
                yield line
