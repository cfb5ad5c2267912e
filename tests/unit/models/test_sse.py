"""Server-sent events out of a stream of bytes, in whatever pieces it comes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubechain.providers.models.sse import LONGEST_LINE, EventStream

pytestmark = pytest.mark.timeout(60)


WORDS = ("", "a", " b ", "\x85", "\u2028", "é", "😀", "\x00", "data: x", ":", "[DONE]", '{"a": 1}')


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=20), st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_events_do_not_depend_on_the_pieces(texts: list[str], sizes: list[int]) -> None:
    stream = "".join(f": a comment\ndata: {text}\r\n\n" for text in texts).encode()
    whole, pieces = EventStream().feed(stream), EventStream()
    found: list[bytes] = []
    at = turn = 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        found += pieces.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert found == whole
    assert len(found) == len(texts)


def test_a_line_without_end_in_tiny_pieces_is_refused_in_time_in_proportion() -> None:
    """Joined anew with each piece, it would take the machine for minutes."""
    events = EventStream()
    with pytest.raises(OverflowError):
        for _ in range(LONGEST_LINE // 8 + 2):
            events.feed(b"12345678")


def test_a_long_line_in_tiny_pieces_is_one_event() -> None:
    events = EventStream()
    assert events.feed(b"data: ") == []
    for _ in range(100_000):
        assert events.feed(b"12345678") == []
    assert events.feed(b"\n") == [b"12345678" * 100_000]
