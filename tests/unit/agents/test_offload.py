"""Big results: what stays, what moves, and that nothing of it is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from kubechain.agents.call.offload import INLINE, PART, READ_RESULT, Reading, reading, split
from kubechain.agents.run.step import Ask, Call, next_step
from kubechain.agents.run.transcript import result_message
from kubechain.resources.message import Message
from kubechain.resources.toolcall import StoredResult
from tests.unit.agents.scenes import asks_for, call, run, scene

QUESTION = Message(role="user", content="Hello?")


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


def test_reading_on_is_offered_from_the_first_stored_result_on_and_only_then() -> None:
    of = run(QUESTION, asks_for("echo"), turns=1)
    first = next_step(scene(of))
    assert isinstance(first, Call)
    stored = StoredResult(name="n", parts=1, characters=INLINE + 1)
    asked = next_step(scene(of, call(first.missing[0][0], "Succeeded", stored=stored)))
    assert isinstance(asked, Ask)
    assert asked.stored == 1
    for count, kind in ((0, None), (1, "Builtin")):
        later = run(QUESTION, asks_for(READ_RESULT), turns=2)
        later.status.stored_results = count
        step = next_step(scene(later))
        assert isinstance(step, Call)
        origin = step.missing[0][1].origin
        assert (origin.kind if origin else None) == kind


@pytest.mark.parametrize(
    "arguments", ["{}", '{"handle": 1}', '{"handle": "a", "offset": "b"}', '{"handle": "a", "x": 1}']
)
def test_arguments_that_do_not_fit_are_answered_with_what_is_wrong(arguments: str) -> None:
    assert isinstance(reading(arguments), str)
    assert reading('{"handle": "a", "offset": 5}') == Reading("a", 5)
