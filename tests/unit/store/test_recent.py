"""What is kept in memory of the objects used last: never more than the limit, and the right ones."""

from __future__ import annotations

from kubechain.store.recent import Recent
from kubechain.store.record import Address, Stored

LIMIT = 100_000


def at(number: int) -> Address:
    return Address(1, "default", f"n{number}")


def stored(revision: int, size: int = 1000) -> Stored:
    return Stored(revision, b"x" * size, "uid", False)


def test_what_was_put_last_is_there() -> None:
    recent = Recent(LIMIT)
    recent.put(at(1), stored(1))
    recent.put(at(1), stored(2))
    assert recent.get(at(1)) == stored(2)
    assert recent.get(at(2)) is None


def test_any_number_of_objects_stays_within_the_limit() -> None:
    recent = Recent(LIMIT)
    for n in range(10_000):
        recent.put(at(n), stored(n, n % 5000))
        assert recent.size <= LIMIT
    assert recent.get(at(9_999))


def test_the_one_used_longest_ago_is_forgotten_first() -> None:
    recent = Recent(LIMIT)
    recent.put(at(0), stored(0))
    for n in range(1, 1000):
        recent.put(at(n), stored(n))
        assert recent.get(at(0))
    assert recent.get(at(1)) is None


def test_a_document_too_big_to_keep_leaves_no_older_state_behind() -> None:
    recent = Recent(LIMIT)
    recent.put(at(1), stored(1))
    recent.put(at(1), stored(2, LIMIT))
    assert recent.get(at(1)) is None
    assert recent.size == 0


def test_a_deleted_object_takes_no_room() -> None:
    recent = Recent(LIMIT)
    recent.put(at(1), stored(1))
    recent.forget(at(1))
    recent.forget(at(1))
    assert recent.size == 0
