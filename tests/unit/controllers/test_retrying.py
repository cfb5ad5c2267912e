"""Who waits for which model, how long, and whom a reply lets try at once."""

from __future__ import annotations

import pytest

from kubechain.agents.ports.model import PAUSED, Endpoint
from kubechain.controllers.runs.asking import AT_ONCE, ATTENTIVE, Outages
from kubechain.errors import Transient
from kubechain.resources.llm import LLM, LLMSpec, Parameters
from kubechain.resources.model import ObjectMeta
from kubechain.runtime.api import Key
from kubechain.runtime.backoff import CAP

UNREACHABLE = Transient("no route", reason="Unreachable")
UNAVAILABLE = Transient("overloaded", reason="Unavailable")


def endpoint(model: str = "m", server: str = "http://a/v1", key: str = "k") -> Endpoint:
    spec = LLMSpec(provider="openai-compatible", parameters=Parameters(model=model, base_url=server))
    return Endpoint(LLM(metadata=ObjectMeta(name=model), spec=spec), key)


def outages(woken: list[Key], chance: float = 0.999) -> Outages:
    return Outages(woken.append, lambda: chance)


def run(number: int) -> Key:
    return Key("default", f"r{number}")


def test_a_reply_lets_the_next_few_try_and_their_replies_the_rest() -> None:
    woken: list[Key] = []
    waiting = outages(woken)
    for number in range(3 * AT_ONCE):
        waiting.failed(run(number), endpoint(), UNREACHABLE, 1)
    waiting.answered(Key("default", "new"), endpoint())
    assert woken == [run(n) for n in range(AT_ONCE)]
    for number in range(2):
        waiting.answered(run(number), endpoint())
    assert woken == [run(n) for n in range(3 * AT_ONCE)]
    waiting.answered(run(2), endpoint())
    assert len(woken) == 3 * AT_ONCE


@pytest.mark.parametrize(
    ("error", "answering", "wakes"),
    [
        (UNREACHABLE, endpoint("other", key="other"), True),
        (UNREACHABLE, endpoint(server="http://b/v1"), False),
        (UNAVAILABLE, endpoint(), True),
        (UNAVAILABLE, endpoint("other"), False),
        (Transient("top up", reason="QuotaExceeded", retry_after=300.0), endpoint(), True),
        (Transient("top up", reason="QuotaExceeded", retry_after=300.0), endpoint(key="other"), False),
        (Transient("slow down", reason="RateLimited", retry_after=60.0), endpoint(), False),
    ],
)
def test_a_reply_tells_only_those_who_wait_for_the_same(
    error: Transient, answering: Endpoint, wakes: bool
) -> None:
    woken: list[Key] = []
    waiting = outages(woken)
    waiting.failed(run(1), endpoint(), error, 1)
    waiting.answered(run(2), answering)
    assert bool(woken) is wakes


def test_a_run_that_waits_no_longer_is_not_woken() -> None:
    woken: list[Key] = []
    waiting = outages(woken)
    waiting.failed(run(1), endpoint(), UNREACHABLE, 1)
    waiting.left(run(1))
    waiting.failed(run(2), endpoint(), UNREACHABLE, 1)
    waiting.failed(run(2), endpoint(), Transient("slow down", reason="RateLimited", retry_after=60.0), 2)
    waiting.answered(run(3), endpoint())
    assert woken == []


def test_few_look_often_and_a_crowd_seldom() -> None:
    waiting = outages([])
    assert ATTENTIVE * 0.9 < waiting.failed(run(0), endpoint(), UNREACHABLE, 50) <= ATTENTIVE
    waits = [waiting.failed(run(number), endpoint(), UNREACHABLE, 50) for number in range(1, 500)]
    assert CAP * 0.9 < max(waits) <= CAP


def test_a_time_that_the_provider_named_is_kept_to() -> None:
    waiting = outages([], chance=0.0)
    assert waiting.failed(run(0), endpoint(), Transient("later", retry_after=120.0), 1) == 120.0
    assert outages([]).failed(run(0), endpoint(), Transient("now", retry_after=0.0), 5) > 10.0
    assert outages([]).failed(run(0), endpoint(), Transient("a pause", retry_after=9.0, reason=PAUSED), 50) < 10.0
