"""Which calls are tried again, and when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kubechain.agents.call.outcome import Failure, Interruption
from kubechain.agents.call.scene import CallScene, Execution, Line, ToolState
from kubechain.agents.call.step import CallIdle, CallWait, Fail, Start, TryAgain, next_call_step
from kubechain.agents.ports.tool import Nature
from kubechain.resources.effect import Effect, Trouble
from kubechain.resources.model import moment
from kubechain.resources.tool import ToolRetries
from kubechain.resources.toolcall import CallRetry, ToolCall
from tests.unit.agents.scenes import call, run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
THRICE = ToolRetries(max=3, backoff="2s")


def step(failure: Failure | Interruption, retries: ToolRetries | None, made: ToolCall, effect: Effect) -> object:
    nature = Nature(effect, "Ask" if effect == "NonIdempotent" else "Retry", 2.0)
    tool = ToolState(nature, retries=retries)
    return next_call_step(CallScene(made, run(), tool, NOW, Execution(nature, failure)))


def failed(times: int = 0) -> ToolCall:
    made = call("c")
    if times:
        made.status.retry = CallRetry(reason="ServerError", failures=times, next_time="2026-01-01T00:00:00Z")
    return made


@pytest.mark.parametrize(
    ("trouble", "retries", "effect", "again"),
    [
        ("ServerError", THRICE, "ReadOnly", True),
        ("Transient", THRICE, "Idempotent", True),
        ("ServerError", THRICE, "NonIdempotent", False),
        ("ServerError", None, "ReadOnly", False),
        ("ServerError", ToolRetries(max=0), "ReadOnly", False),
        (None, THRICE, "ReadOnly", False),
        ("Timeout", ToolRetries(max=1, on=["ServerError"]), "ReadOnly", False),
        ("Timeout", ToolRetries(max=1, on=["ServerError", "Timeout"]), "ReadOnly", True),
    ],
)
def test_only_a_named_trouble_of_a_tool_that_may_be_repeated_is_tried_again(
    trouble: Trouble | None, retries: ToolRetries | None, effect: Effect, again: bool
) -> None:
    told = step(Failure("503", trouble), retries, failed(), effect)
    assert isinstance(told, TryAgain) if again else told == Fail("503", trouble or "ToolFailed")


def test_a_timeout_is_tried_again_like_any_other_trouble() -> None:
    told = step(Interruption("too slow", timed_out=True), THRICE, failed(), "ReadOnly")
    assert isinstance(told, TryAgain) and told.retry.reason == "Timeout"


@pytest.mark.parametrize(("times", "least"), [(0, 2), (1, 4), (2, 8)])
def test_each_wait_is_twice_the_last_and_a_little_longer_each_call_its_own(times: int, least: float) -> None:
    told = step(Failure("503", "ServerError"), THRICE, failed(times), "ReadOnly")
    assert isinstance(told, TryAgain) and told.retry.failures == times + 1
    assert least <= (moment(told.retry.next_time) - NOW).total_seconds() <= least * 1.2


def test_the_time_that_a_server_asks_for_is_kept_to() -> None:
    told = step(Failure("429", "RateLimited", retry_after=90), THRICE, failed(), "ReadOnly")
    assert isinstance(told, TryAgain)
    assert 90 <= (moment(told.retry.next_time) - NOW).total_seconds() <= 108


def test_after_the_last_try_the_model_is_told_the_error_and_how_often_it_was_tried() -> None:
    told = step(Failure("503", "ServerError"), THRICE, failed(3), "ReadOnly")
    assert told == Fail("503 (tried 4 times)", "ServerError")


def test_a_call_that_is_to_be_tried_again_waits_for_its_time_also_after_a_restart() -> None:
    nature = Nature("ReadOnly", "Retry", 2.0)
    made = failed(1)
    assert made.status.retry is not None
    made.status.retry.next_time = "2026-01-01T00:00:05.250Z"
    early = next_call_step(CallScene(made, run(), ToolState(nature), NOW))
    assert early == CallIdle(datetime(2026, 1, 1, 0, 0, 5, 250_000, tzinfo=UTC))
    late = datetime(2026, 1, 1, 0, 0, 6, tzinfo=UTC)
    assert next_call_step(CallScene(made, run(), ToolState(nature), late)) == Start(mark=False)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (Line(), Start(mark=False)),
        (Line(running=1, at_most=2), Start(mark=True)),
        (Line(running=2, at_most=2), CallWait("tool:echo is busy (2 of 2)")),
        (Line(running=3, at_most=2), CallWait("tool:echo is busy (3 of 2)")),
        (Line(before="c-1"), CallWait("tool:echo (one call at a time in a run; waits for toolcall c-1)")),
    ],
)
def test_a_call_waits_for_a_place_and_for_the_one_before_it(line: Line, told: object) -> None:
    tool = ToolState(Nature("ReadOnly", "Retry", 2.0))
    assert next_call_step(CallScene(call("c"), run(), tool, NOW, None, line)) == told
