"""Backoff and verdicts: pure tables."""

from __future__ import annotations

from math import inf

import pytest

from kubechain.errors import (
    AlreadyExists,
    Conflict,
    Details,
    NotFound,
    Terminal,
    Timeout,
    TooManyRequests,
    Transient,
)
from kubechain.runtime.backoff import full_jitter, not_before
from kubechain.runtime.failure import AT_ONCE, Verdict, judge


def highest() -> float:
    return 1.0


@pytest.mark.parametrize(
    "attempt, ceiling", [(1, 1), (2, 2), (3, 4), (8, 128), (9, 256), (10, 300), (11, 300), (10_000, 300)]
)
def test_the_ceiling_of_the_wait_doubles_up_to_five_minutes(attempt: int, ceiling: float) -> None:
    assert full_jitter(attempt, highest) == ceiling
    assert full_jitter(attempt, lambda: 0.0) == 0
    assert full_jitter(attempt, lambda: 0.5) == ceiling / 2


@pytest.mark.parametrize("seconds, latest", [(10, 11), (600, 605)])
def test_a_time_that_was_asked_for_is_never_undercut(seconds: float, latest: float) -> None:
    assert not_before(seconds, lambda: 0.0) == seconds
    assert not_before(seconds, highest) == latest


@pytest.mark.parametrize("error", [Conflict("c"), NotFound("n")])
def test_a_lost_race_is_repeated_at_once_a_few_times_and_then_with_backoff(error: Exception) -> None:
    assert [judge(error, n, highest).wait for n in range(1, AT_ONCE + 3)] == [0] * AT_ONCE + [1, 2]
    assert judge(error, 1, highest).audience == "nobody"
    assert judge(error, AT_ONCE + 1, highest).audience == "operator"
    assert not judge(error, AT_ONCE + 1, highest).firm


@pytest.mark.parametrize(
    "error, attempt, verdict",
    [
        (Transient("503"), 3, Verdict(4, True, "object", "Transient")),
        (
            Transient("429", retry_after=20, reason="RateLimited"),
            3,
            Verdict(22, True, "object", "RateLimited"),
        ),
        (Transient("429", retry_after=0), 3, Verdict(4, True, "object", "Transient")),
        (Terminal("no such model", reason="ModelNotFound"), 1, Verdict(inf, True, "object", "ModelNotFound")),
        (Timeout("slow"), 2, Verdict(2, True, "operator", "Timeout")),
        (
            TooManyRequests("busy", Details(retry_after=20)),
            1,
            Verdict(22, True, "operator", "TooManyRequests"),
        ),
        (AlreadyExists("x"), 2, Verdict(2, True, "developer", "AlreadyExists")),
        (ZeroDivisionError("x"), 2, Verdict(2, True, "developer", "ZeroDivisionError")),
    ],
)
def test_each_class_of_failure_has_its_verdict(error: Exception, attempt: int, verdict: Verdict) -> None:
    assert judge(error, attempt, highest) == verdict
