"""A bounded set of the worlds; each that fails is named with the command that plays it again.

`KUBECHAIN_CHAOS_WORLDS` says how many, `KUBECHAIN_CHAOS_SEED` where they begin: a number, or `nightly` for a range
that is another one every day. Both are printed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from tests.chaos.__main__ import CALLS, summary
from tests.chaos.judges import verdict
from tests.chaos.model import Asked
from tests.chaos.tools import Ran
from tests.chaos.world import Past, run

WORLDS = int(os.environ.get("KUBECHAIN_CHAOS_WORLDS", "500"))
SEED = 61
"""A world with one run, several calls in one turn and a tool that must not repeat: its record is spoiled below."""


def _first() -> int:
    chosen = os.environ.get("KUBECHAIN_CHAOS_SEED", "0")
    return datetime.now(UTC).date().toordinal() * 10_000 if chosen == "nightly" else int(chosen)


@pytest.mark.timeout(900)
def test_every_world_ends_in_the_right_transcript_or_says_why_not() -> None:
    first = _first()
    print(f"python -m tests.chaos --seeds {first}:{first + WORLDS}")
    found = summary(range(first, first + WORLDS))
    told = "\n".join(found.lines())
    print(told)
    assert not found.failures, told
    assert found.ratio <= CALLS, told


def test_a_seed_is_the_same_world_every_time() -> None:
    assert run(SEED).fate.diary == run(SEED).fate.diary


@pytest.fixture(scope="module")
def record() -> Past:
    past = run(SEED)
    assert verdict(past) == []
    return past


def _stuck(past: Past) -> None:
    past.runs[0] = replace(past.runs[0], status=replace(past.runs[0].status, phase="Running", waiting_on="llm:x"))


def _failed(past: Past) -> None:
    past.runs[0] = replace(past.runs[0], status=replace(past.runs[0].status, phase="Failed", error="because"))


def _twice(past: Past) -> None:
    messages = past.transcripts["run-0"]
    messages.append(messages[-1])


def _forgotten(past: Past) -> None:
    messages = past.transcripts["run-0"]
    del messages[next(at for at, m in enumerate(messages) if m.role == "tool")]


def _swapped(past: Past) -> None:
    messages = past.transcripts["run-0"]
    at = next(at for at, m in enumerate(messages) if len(m.tool_calls) > 1)
    messages[at + 1], messages[at + 2] = messages[at + 2], messages[at + 1]


def _made_up(past: Past) -> None:
    at = next(at for at, c in enumerate(past.calls) if c.status.phase == "Succeeded")
    past.calls[at] = replace(past.calls[at], status=replace(past.calls[at].status, result="42"))


def _repeated(past: Past) -> None:
    done = next(r for r in past.tools.ran if not next(t for t in past.world.tools if t.name == r.tool).may_repeat)
    past.tools.ran.append(Ran(99, done.uid, done.tool, done.life, done.at))


def _hammering(past: Past) -> None:
    past.models.asked += [Asked(n, "run-0", 1, 5000.0 + n, [], "transient") for n in range(100, 120)]


def _early(past: Past) -> None:
    past.models.asked.append(Asked(100, "run-0", 1, 5000.0, [], "transient", later=30.0))
    past.models.asked.append(Asked(101, "run-0", 1, 5029.0, [], "transient"))


def _restless(past: Past) -> None:
    past.stirred.append("asked: 1")


def _fat(past: Past) -> None:
    past.sizes["taskruns/run-0"] = 1024 * 1024


def _spinning(past: Past) -> None:
    past.passes += 10_000


@pytest.mark.parametrize(
    ("spoil", "judge"),
    [
        (_stuck, "finds_an_end"),
        (_failed, "finds_an_end"),
        (_twice, "tells_the_story_once"),
        (_forgotten, "answers_each_call"),
        (_swapped, "answers_each_call"),
        (_made_up, "keeps_what_tools_said"),
        (_repeated, "runs_once_what_must_not_repeat"),
        (_hammering, "gives_up_in_time"),
        (_early, "gives_up_in_time"),
        (_restless, "stays_at_rest"),
        (_fat, "stays_small"),
        (_spinning, "does_not_spin"),
    ],
)
def test_each_judge_sees_what_it_is_there_for(record: Past, spoil: Callable[[Past], None], judge: str) -> None:
    spoiled = deepcopy(record)
    spoil(spoiled)
    assert judge in {sentence.partition(":")[0] for sentence in verdict(spoiled)}
