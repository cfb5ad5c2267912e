"""What a scrape is answered, read by Prometheus's own parser."""

from __future__ import annotations

import prometheus_client
import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from kubechain.runtime.metrics import Family, Histogram, Reading
from kubechain.server.exposition import exposition

TEXT = "text/plain"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TURNS = Family("turns_total", "counter", "Turns so far.", ("namespace", "provider"))
RUNS = Family("runs", "gauge", "Runs by phase.", ("phase",))
SECONDS = Family("call_seconds", "histogram", "How long.", ("provider",))
Numbers = dict[tuple[str, frozenset[str]], float]


def readings() -> list[Reading]:
    seconds = Histogram((0.5, 1.0))
    seconds.observe(0.7)
    return [
        Reading(TURNS, {("default", "openai"): 3, ('a "b"\n\\', "mistral"): 0.5}),
        Reading(RUNS),
        Reading(SECONDS, histograms={("openai",): seconds}),
    ]


def numbers(text: str, *, open_metrics: bool = False) -> Numbers:
    read = openmetrics_parser if open_metrics else parser
    families = list(read.text_string_to_metric_families(text))
    return {(s.name, frozenset(s.labels.values())): s.value for family in families for s in family.samples}


@pytest.mark.parametrize(
    ("accept", "media_type"), [("", TEXT), ("text/html, */*", TEXT), (OPENMETRICS, OPENMETRICS)]
)
def test_a_scrape_is_answered_in_the_format_that_it_asks_for(accept: str, media_type: str) -> None:
    answer = exposition(readings(), accept)
    assert answer.headers["content-type"].startswith(media_type)
    found = numbers(bytes(answer.body).decode(), open_metrics=media_type == OPENMETRICS)
    assert found["turns_total", frozenset({"default", "openai"})] == 3
    assert found["turns_total", frozenset({'a "b"\n\\', "mistral"})] == 0.5
    assert found["call_seconds_bucket", frozenset({"openai", "0.5"})] == 0
    assert found["call_seconds_bucket", frozenset({"openai", "1.0"})] == 1
    assert found["call_seconds_bucket", frozenset({"openai", "+Inf"})] == 1
    assert found["call_seconds_count", frozenset({"openai"})] == 1
    assert found["call_seconds_sum", frozenset({"openai"})] == 0.7
    assert found["process_resident_memory_bytes", frozenset()] > 1 << 20


def test_a_family_without_numbers_shows_that_it_exists() -> None:
    text = bytes(exposition(readings(), "").body).decode()
    assert "# HELP runs Runs by phase.\n# TYPE runs gauge\n" in text


def test_the_registry_of_the_whole_process_stays_as_the_library_made_it() -> None:
    exposition(readings(), "")
    shown = {family.name for family in prometheus_client.REGISTRY.collect()}
    assert not shown & {"turns", "runs", "call_seconds"}
