"""What was written is never taken for new; what is new mostly is known to be."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kubechain.store.record import Address
from kubechain.store.seen import Seen


def addresses(first: int, last: int) -> list[Address]:
    return [Address(n % 7, "default", f"run-{n}") for n in range(first, last)]


def filled(stored: Sequence[Address]) -> Seen:
    """One that has been asked until it had read all that is stored."""
    ordered = sorted(stored)

    def page(after: Address, limit: int) -> list[Address]:
        return [at for at in ordered if at > after][:limit]

    seen = Seen(page)
    for _ in range(len(ordered) // 64 + 1):
        assert Address(9, "", "nobody") in seen
    return seen


@pytest.mark.parametrize("stored", [0, 1, 63, 64, 65, 128, 1_000])
def test_every_address_that_was_stored_or_seen_is_found(stored: int) -> None:
    seen = filled(addresses(0, stored))
    for at in addresses(stored, 20_000):
        seen.add(at)
    assert all(at in seen for at in addresses(0, 20_000))
    assert Address(9, "", "nobody") not in seen


def test_what_is_added_before_the_file_was_read_is_found_afterwards() -> None:
    ordered = sorted(addresses(0, 100))
    seen = Seen(lambda after, limit: [at for at in ordered if at > after][:limit])
    late = addresses(100, 110)
    for at in late:
        seen.add(at)
    assert all(at in seen for at in late + ordered + late)


def test_others_are_told_apart_but_for_a_few() -> None:
    seen = filled([])
    for at in addresses(0, 100_000):
        seen.add(at)
    assert sum(at in seen for at in addresses(100_000, 200_000)) < 200


def test_kind_namespace_and_name_all_count() -> None:
    seen = filled([Address(1, "a", "x")])
    assert Address(1, "a", "x") in seen
    assert not any(at in seen for at in (Address(2, "a", "x"), Address(1, "b", "x"), Address(1, "a", "y")))
