"""The table of built-in tools: which run is offered which, where a call of one comes from, what it asks for."""

from __future__ import annotations

import pytest

from kubechain.agents.builtin.read_result import INLINE, READ_RESULT, Reading, reading
from kubechain.agents.builtin.table import TABLE, offers, origin_of, step_of
from kubechain.agents.run.scene import Ask, CreateCalls
from kubechain.agents.run.step import next_step
from kubechain.resources.message import Message
from kubechain.resources.toolcall import StoredResult
from tests.unit.agents.scenes import asks_for, call, run, scene

QUESTION = Message(role="user", content="Hello?")


def test_each_row_is_found_by_the_name_that_it_offers() -> None:
    assert all(name == builtin.offer.name for name, builtin in TABLE.items())


def test_reading_on_is_offered_from_the_first_stored_result_on_and_only_then() -> None:
    of = run(QUESTION, asks_for("echo"), turns=1)
    first = next_step(scene(of))
    assert isinstance(first, CreateCalls)
    stored = StoredResult(name="n", parts=1, characters=INLINE + 1)
    asked = next_step(scene(of, call(first.missing[0][0], "Succeeded", stored=stored)))
    assert isinstance(asked, Ask)
    assert asked.stored == 1
    for count, kind in ((0, None), (1, "Builtin")):
        later = run(QUESTION, asks_for(READ_RESULT), turns=2)
        later.status.stored_results = count
        step = next_step(scene(later))
        assert isinstance(step, CreateCalls)
        origin = step.missing[0][1].origin
        assert (origin.kind if origin else None) == kind


@pytest.mark.parametrize(
    "arguments", ["{}", '{"handle": 1}', '{"handle": "a", "offset": "b"}', '{"handle": "a", "x": 1}']
)
def test_arguments_that_do_not_fit_are_answered_with_what_is_wrong(arguments: str) -> None:
    assert isinstance(reading(arguments), str)
    assert reading('{"handle": "a", "offset": 5}') == Reading("a", 5)


def test_a_tool_of_the_agent_takes_precedence_over_a_built_in_one_of_the_same_name() -> None:
    of = run(QUESTION, turns=1)
    assert [offer.name for offer in offers(of, 1)] == [READ_RESULT]
    assert offers(of, 1, [READ_RESULT]) == []


def test_only_a_tool_that_was_offered_has_an_origin() -> None:
    of = run(QUESTION, turns=1)
    assert origin_of(READ_RESULT, of) is None
    of.status.stored_results = 1
    assert origin_of("made_up", of) is None
    assert origin_of(READ_RESULT, of) is not None


def test_a_call_is_what_its_row_makes_of_it_and_a_row_that_is_gone_is_named_to_the_model() -> None:
    assert step_of(READ_RESULT, '{"handle": "a", "offset": 5}') == Reading("a", 5)
    assert step_of("gone", "{}") == 'there is no built-in tool "gone"'
