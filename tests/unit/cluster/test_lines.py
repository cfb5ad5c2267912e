"""Lines of a watch: of any length, ended by a line feed and by nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kubechain.cluster.lines import lines


async def chunks(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 7, 100])
async def test_what_unicode_calls_a_line_end_does_not_end_a_line(size: int) -> None:
    texts = ["a\u0085b", "c\u2028d\u2029", "e\x0bf\x0cg\x1c"]
    data = "".join(f"{text}\n" for text in texts).encode()
    assert [line.decode() async for line in lines(chunks(data, size))] == texts


async def test_a_line_of_three_megabytes_comes_whole() -> None:
    long = b"x" * 3_000_000
    assert [line async for line in lines(chunks(long + b"\ny\n", 65_536))] == [long, b"y"]


async def test_empty_lines_and_a_line_that_was_cut_off_are_left_out() -> None:
    assert [line async for line in lines(chunks(b'\n\r\n{"a":1}\n{"b"', 3))] == [b'{"a":1}']
