"""Metrics of the running program. Each part of the program counts for itself, in plain numbers.

A part that counts keeps an int, a Counter or a `Histogram`. When metrics are requested, they are read as
`Reading`s, and `server.exposition` writes them in the format of Prometheus. There is no registry, no global state,
and no metric about a single object.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate
from math import inf
from typing import Literal

from msgspec import Struct

SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds for what takes as long as a model's reply."""
Labels = tuple[str, ...]
"""The values of a family's labels, in their order."""


class Family(Struct, frozen=True):
    """A metric: its name, unit at its end, and what it tells. `labels` are the names of its labels."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


class Histogram:
    """How often a value was below each of the bounds, and their sum."""

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Counts one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> Iterator[tuple[float, int]]:
        """How many values were at most each bound, the last of which is infinite."""
        yield from zip((*self.bounds, inf), accumulate(self.counts), strict=True)


class Reading(Struct, frozen=True):
    """The present numbers of a family, by the values of its labels. Only a histogram's family has histograms."""

    family: Family
    values: Mapping[Labels, float] = {}
    histograms: Mapping[Labels, Histogram] = {}
