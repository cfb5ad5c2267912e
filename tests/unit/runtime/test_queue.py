"""The work queue, with timers that fire when the test says so. No event loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubechain.runtime.queue import WorkQueue


@dataclass(eq=False)
class Handle:
    when: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class ManualTimers:
    now: float = 100.0
    handles: list[Handle] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> Handle:
        handle = Handle(when, callback)
        self.handles.append(handle)
        return handle

    @property
    def set(self) -> list[float]:
        return sorted(h.when for h in self.handles if not h.cancelled)

    def pass_(self, seconds: float) -> None:
        until = self.now + seconds
        while due := [h for h in self.handles if not h.cancelled and h.when <= until]:
            first = min(due, key=lambda h: h.when)
            self.handles.remove(first)
            self.now = max(self.now, first.when)
            first.callback()
        self.now = until


@pytest.fixture
def timers() -> ManualTimers:
    return ManualTimers()


@pytest.fixture
def queue(timers: ManualTimers) -> WorkQueue[str]:
    return WorkQueue(timers, lambda: None)


def taken(queue: WorkQueue[str]) -> list[str]:
    found = []
    while (key := queue.take()) is not None:
        found.append(key)
    return found


def test_keys_come_out_once_and_in_the_order_they_came(queue: WorkQueue[str]) -> None:
    for key in "abacb":
        queue.add(key)
    assert taken(queue) == ["a", "b", "c"]


def test_a_key_in_process_is_not_handed_out_a_second_time(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert queue.take() == "a"
    queue.add("a")
    assert queue.take() is None


def test_a_key_added_while_in_process_comes_again_once_after_done(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.take()
    queue.add("a")
    queue.add("a")
    queue.done("a")
    assert queue.take() == "a"
    queue.done("a")
    assert queue.take() is None


def test_a_delayed_key_comes_when_its_time_has_come(queue: WorkQueue[str], timers: ManualTimers) -> None:
    queue.add_after("a", 10)
    timers.pass_(9.9)
    assert queue.take() is None
    timers.pass_(0.2)
    assert queue.take() == "a"


@pytest.mark.parametrize("first, second", [(10, 60), (60, 10)])
def test_of_two_delays_the_earlier_wins(
    queue: WorkQueue[str], timers: ManualTimers, first: float, second: float
) -> None:
    queue.add_after("a", first)
    queue.add_after("a", second)
    timers.pass_(10)
    assert taken(queue) == ["a"]
    queue.done("a")
    timers.pass_(100)
    assert queue.take() is None


def test_adding_now_wins_over_any_delay(queue: WorkQueue[str], timers: ManualTimers) -> None:
    queue.add_after("a", 10)
    queue.add("a")
    queue.add_after("a", 5)
    assert queue.take() == "a"
    queue.done("a")
    timers.pass_(100)
    assert queue.take() is None


def test_a_delay_set_during_a_pass_outlives_it(queue: WorkQueue[str], timers: ManualTimers) -> None:
    queue.add("a")
    queue.take()
    queue.add_after("a", 10)
    queue.done("a")
    assert queue.take() is None
    timers.pass_(10)
    assert queue.take() == "a"


def test_a_delay_that_ends_during_a_pass_waits_for_its_end(queue: WorkQueue[str], timers: ManualTimers) -> None:
    queue.add("a")
    queue.take()
    queue.add_after("a", 10)
    timers.pass_(10)
    assert queue.take() is None
    queue.done("a")
    assert queue.take() == "a"


def test_no_delay_is_at_once(queue: WorkQueue[str]) -> None:
    queue.add_after("a", 0)
    assert queue.take() == "a"


def test_one_timer_serves_all_delays_and_none_stays_without_one(
    queue: WorkQueue[str], timers: ManualTimers
) -> None:
    for n in range(100):
        queue.add_after(str(n), 200 - n)
    assert timers.set == [100 + 101]
    timers.pass_(200)
    assert len(taken(queue)) == 100
    assert timers.set == []


def test_delays_cut_short_again_and_again_leave_nothing_behind(queue: WorkQueue[str]) -> None:
    queue.add_after("sooner", 60)
    for _ in range(10_000):
        queue.add_after("a", 3600)
        queue.add("a")
        queue.take()
        queue.done("a")
    assert len(queue._heap) < 100


def test_a_timer_that_fires_a_shade_early_still_releases_its_key(
    queue: WorkQueue[str], timers: ManualTimers
) -> None:
    queue.add_after("a", 10)
    timers.now += 9.9999999
    timers.handles.pop().callback()
    assert queue.take() == "a"


def test_readiness_is_announced_for_each_key_that_becomes_ready(timers: ManualTimers) -> None:
    heard: list[str | None] = []

    def take() -> None:
        heard.append(announced.take())

    announced: WorkQueue[str] = WorkQueue(timers, take)
    announced.add("a")
    announced.add("a")
    assert heard == ["a"]
    announced.done("a")
    assert heard == ["a", "a"]


def test_a_closed_queue_hands_out_nothing_and_leaves_no_timer(queue: WorkQueue[str], timers: ManualTimers) -> None:
    queue.add("a")
    queue.add_after("b", 10)
    queue.close()
    queue.add("c")
    queue.add_after("d", 1)
    assert queue.take() is None
    assert timers.set == []


Deed = st.tuples(
    st.sampled_from(["add", "after", "take", "done", "pass"]), st.sampled_from("abc"), st.integers(0, 9)
)


@given(st.lists(Deed, max_size=60))
def test_whatever_happens_no_key_is_lost_doubled_or_late(deeds: list[tuple[str, str, int]]) -> None:
    timers = ManualTimers()
    queue: WorkQueue[str] = WorkQueue(timers, lambda: None)
    wanted: dict[str, float] = {}
    active: list[str] = []
    for deed, key, n in deeds:
        match deed:
            case "add":
                queue.add(key)
                wanted[key] = timers.now
            case "after":
                queue.add_after(key, n)
                wanted[key] = min(wanted.get(key, timers.now + n), timers.now + n)
            case "take" if (got := queue.take()) is not None:
                assert got not in active
                assert wanted.pop(got) <= timers.now
                active.append(got)
            case "done" if active:
                queue.done(active.pop(0))
            case "pass":
                timers.pass_(n)
    for key in active:
        queue.done(key)
    timers.pass_(100)
    assert sorted(taken(queue)) == sorted(wanted)
