"""Numbers about the running program, in the text format of Prometheus.

The rooms that count keep plain numbers (an int, a Counter, a `Histogram`); whoever shows them reads those when
asked, and hands the readings to `text`. Holds no registry and no global state; never speaks of a single object.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from msgspec import Struct

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds for what takes as long as a model's reply."""
Labels = tuple[str, ...]
"""The values of a family's labels, in their order."""
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


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


class Reading(Struct, frozen=True):
    """The present numbers of a family, by the values of its labels, in their order."""

    family: Family
    values: Mapping[Labels, float | Histogram] = {}


def text(readings: Iterable[Reading]) -> str:
    """The exposition of all readings; a family that has no value yet shows its name and help."""
    return "".join(f"{line}\n" for reading in readings for line in _lines(reading))


def _lines(reading: Reading) -> Iterator[str]:
    family = reading.family
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.type}"
    for values, number in reading.values.items():
        labels = dict(zip(family.labels, values, strict=True))
        if isinstance(number, Histogram):
            yield from _buckets(family.name, labels, number)
        else:
            yield f"{family.name}{_labels(labels)} {_number(number)}"


def _buckets(name: str, labels: Mapping[str, str], histogram: Histogram) -> Iterator[str]:
    below = 0
    for bound, count in zip((*histogram.bounds, None), histogram.counts, strict=True):
        below += count
        least = "+Inf" if bound is None else _number(bound)
        yield f"{name}_bucket{_labels({**labels, 'le': least})} {below}"
    yield f"{name}_sum{_labels(labels)} {_number(histogram.sum)}"
    yield f"{name}_count{_labels(labels)} {below}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in labels.items()) + "}"


def _number(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(float(number))
