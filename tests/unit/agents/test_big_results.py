"""Big results: what stays, what moves, and that nothing of it is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from kubechain.agents.builtin.read_result import INLINE, PART, split
from kubechain.agents.run.transcript import result_message
from kubechain.resources.toolcall import StoredResult
from tests.unit.agents.scenes import asks_for, call


def test_a_result_of_ordinary_size_stays_where_it_is() -> None:
    assert split(call("c"), "x" * INLINE).stored is None


@given(st.integers(INLINE + 1, 5 * PART), st.sampled_from(["x", "\x00", "ü", "𝄞", '"']))
def test_the_parts_of_a_big_result_make_up_the_whole_and_none_is_too_large(length: int, letter: str) -> None:
    result = letter * length
    kept = split(call("c" * 63), result)
    assert "".join(spec.content for _, spec in kept.parts) == result
    assert result.startswith(kept.inline)
    assert kept.stored is not None
    assert kept.stored.characters == length
    assert all(len(name) <= 63 and len(json.encode(spec)) < 250_000 for name, spec in kept.parts)
    assert kept == split(call("c" * 63), result)


def test_the_model_is_told_where_a_result_was_cut_and_how_to_read_on() -> None:
    made = call("c-1", "Succeeded", result="abc", stored=StoredResult(name="c-1-x", parts=2, characters=50_000))
    text = result_message(asks_for("echo").tool_calls[0], made).content or ""
    assert text.startswith("abc\n[50000 characters in all")
    assert 'handle "c-1", offset 3' in text
