"""What was written is never taken for new; what is new mostly is known to be."""

from __future__ import annotations

from kubechain.store.record import Address
from kubechain.store.seen import Seen


def addresses(first: int, last: int) -> list[Address]:
    return [Address(n % 7, "default", f"run-{n}") for n in range(first, last)]


def test_every_address_that_was_seen_is_found() -> None:
    seen = Seen(addresses(0, 20_000))
    for at in addresses(20_000, 40_000):
        seen.add(at)
    assert all(at in seen for at in addresses(0, 40_000))


def test_others_are_told_apart_but_for_a_few() -> None:
    seen = Seen(addresses(0, 100_000))
    assert sum(at in seen for at in addresses(100_000, 200_000)) < 200


def test_kind_namespace_and_name_all_count() -> None:
    seen = Seen([Address(1, "a", "x")])
    assert Address(1, "a", "x") in seen
    assert not any(at in seen for at in (Address(2, "a", "x"), Address(1, "b", "x"), Address(1, "a", "y")))
