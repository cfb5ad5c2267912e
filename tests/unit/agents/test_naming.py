"""Computed names: valid whatever goes in, the same each time, different where what they name differs."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubechain.agents.naming import digest, tool_call_name, tool_name

OBJECT_NAMES = st.from_regex(r"\A[a-z0-9]([a-z0-9.-]{0,60}[a-z0-9])?\Z")


@given(OBJECT_NAMES, st.uuids(), st.integers(1, 10_000), st.integers(1, 500))
def test_tool_call_names_are_valid_object_names(run: str, uid: object, turn: int, position: int) -> None:
    name = tool_call_name(run, str(uid), turn, position)
    assert len(name) <= 63
    assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name)
    assert name == tool_call_name(run, str(uid), turn, position)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300), st.integers(1, 300))
def test_two_calls_of_a_run_never_share_a_name(turn: int, position: int, turn2: int, position2: int) -> None:
    same = (turn, position) == (turn2, position2)
    long = "r" * 60
    assert (tool_call_name(long, "u", turn, position) == tool_call_name(long, "u", turn2, position2)) is same


def test_a_run_made_again_under_the_same_name_gets_other_children() -> None:
    assert tool_call_name("r", "first", 1, 1) != tool_call_name("r", "second", 1, 1)


@given(st.text(max_size=200), st.sets(st.text(max_size=70), max_size=5))
def test_tool_names_are_what_every_provider_accepts_and_never_taken(wanted: str, taken: set[str]) -> None:
    name = tool_name(wanted, taken)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)
    assert name not in taken


@given(st.lists(st.text(max_size=80), max_size=20))
def test_names_handed_out_one_after_the_other_are_all_different(wanted: list[str]) -> None:
    taken: list[str] = []
    for text in wanted:
        taken.append(tool_name(text, taken))
    assert len(set(taken)) == len(taken)


def test_a_good_name_stays_as_it_is() -> None:
    assert tool_name("simple-echo-tool") == "simple-echo-tool"
    assert digest("x") == digest("x") != digest("y")


@given(st.lists(st.text(max_size=80), max_size=20, unique=True), st.randoms())
def test_a_name_depends_on_what_it_names_and_not_on_its_place_in_a_list(wanted: list[str], chance: Random) -> None:
    def named(texts: list[str]) -> dict[str, str]:
        taken: dict[str, str] = {}
        for text in texts:
            taken[tool_name(text, taken.keys())] = text
        return {text: name for name, text in taken.items()}

    shuffled = chance.sample(wanted, len(wanted))
    assert named(wanted) == named(shuffled)
    for text, name in named(wanted[1:]).items():
        assert named(wanted)[text] == name


@pytest.mark.parametrize("wanted", ["a.b", "a/b", "a b", "x" * 65, "\u00fc", ""])
def test_a_name_that_does_not_fit_gets_a_fingerprint_of_its_own(wanted: str) -> None:
    start = re.sub(r"[^a-z]+", "_", wanted).strip("_")[:58] or "tool"
    assert tool_name(wanted) == f"{start}_{digest(wanted)}"


def test_a_name_that_is_taken_all_the_same_gets_another() -> None:
    first = tool_name("a.b")
    second = tool_name(first, [first])
    assert len({first, second, tool_name("a.b", [first, second])}) == 3
