"""When commits may hold up the loop: a table of commit times and what follows from them."""

from __future__ import annotations

from kubechain.store.pace import Pace

QUICK, SLOW = 0.0002, 0.02


def after(*times: float) -> Pace:
    """A pace that has seen commits of these lengths, one every ten milliseconds."""
    pace = Pace()
    for n, seconds in enumerate(times):
        pace.took(seconds, n / 100)
    return pace


def test_the_first_commit_is_tried_on_the_loop() -> None:
    assert Pace().is_quick(0)


def test_a_quick_disk_with_a_hiccup_stays_trusted() -> None:
    assert after(*[QUICK] * 50, 0.4, *[QUICK] * 50).is_quick(1.01)


def test_a_slow_disk_is_found_out_within_a_few_commits() -> None:
    assert not after(*[SLOW] * 5).is_quick(0.06)


def test_a_disk_that_becomes_slow_is_found_out() -> None:
    assert not after(*[QUICK] * 1000, *[SLOW] * 5).is_quick(10.06)


def test_a_slow_disk_is_tried_again_after_a_second_and_trusted_if_quick() -> None:
    pace = after(*[SLOW] * 5)
    assert pace.is_quick(1.06)
    pace.took(QUICK, 1.06)
    assert pace.is_quick(1.07)


def test_a_disk_that_stays_slow_is_tried_less_and_less_often() -> None:
    pace, now, tries = after(*[SLOW] * 5), 0.06, 0
    for _ in range(3600):
        now += 1
        if pace.is_quick(now):
            pace.took(SLOW, now)
            tries += 1
    assert 55 < tries < 75


def test_trust_regained_by_one_commit_is_soon_lost() -> None:
    pace = after(*[SLOW] * 5)
    pace.took(QUICK, 1.1)
    for n in range(2):
        pace.took(SLOW, 1.2 + n / 100)
    assert not pace.is_quick(1.22)
