"""The numbers that the rooms keep."""

from __future__ import annotations

from math import inf

from kubechain.runtime.metrics import Histogram


def test_the_buckets_of_a_histogram_add_up() -> None:
    seconds = Histogram((0.5, 1.0))
    for value in (0.1, 0.5, 0.7, 3.0):
        seconds.observe(value)
    assert list(seconds.buckets()) == [(0.5, 2), (1.0, 3), (inf, 4)]
    assert seconds.sum == 0.1 + 0.5 + 0.7 + 3.0
