"""Writes readings in the text format of Prometheus, or as OpenMetrics if the client asks for it.

Imported with the first scrape, by `probes` and `http`: prometheus_client takes a twentieth of a second to import.
Each answer has a registry of its own; the global one of the library stays unused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from kubechain.runtime.metrics import Reading


def exposition(readings: Iterable[Reading], accept: str) -> Response:
    """The answer to a scrape: the readings, and what the system tells of this process."""
    registry = CollectorRegistry()
    registry.register(_Readings(readings))
    ProcessCollector(registry=registry)
    encode, media_type = choose_encoder(accept)
    return Response(encode(registry), headers={"content-type": media_type})


class _Readings(Collector):
    """The readings as the library collects them."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        return map(_family, self._readings)


def _family(reading: Reading) -> Metric:
    match reading.family.type:
        case "histogram":
            return _histogram(reading)
        case "counter":
            return _numbers(reading, CounterMetricFamily)
        case "gauge":
            return _numbers(reading, GaugeMetricFamily)


def _numbers(reading: Reading, made: type[CounterMetricFamily] | type[GaugeMetricFamily]) -> Metric:
    shown = made(reading.family.name, reading.family.help, labels=reading.family.labels)
    for labels, number in reading.values.items():
        shown.add_metric(labels, number)
    return shown


def _histogram(reading: Reading) -> Metric:
    shown = HistogramMetricFamily(reading.family.name, reading.family.help, labels=reading.family.labels)
    for labels, histogram in reading.histograms.items():
        shown.add_metric(labels, [(_bound(bound), count) for bound, count in histogram.buckets()], histogram.sum)
    return shown


def _bound(bound: float) -> str:
    """An upper bound as Prometheus writes it."""
    return "+Inf" if bound == inf else repr(bound)
