"""The text that Prometheus reads."""

from __future__ import annotations

from kubechain.runtime.metrics import Family, Histogram, Reading, text


def test_a_counter_shows_its_help_its_type_and_a_line_for_each_label() -> None:
    family = Family("turns_total", "counter", "Turns so far.", ("kind",))
    shown = text([Reading(family, {("TaskRun",): 3, ('a "b"\n\\',): 0.5})])
    assert shown.splitlines() == [
        "# HELP turns_total Turns so far.",
        "# TYPE turns_total counter",
        'turns_total{kind="TaskRun"} 3',
        r'turns_total{kind="a \"b\"\n\\"} 0.5',
    ]


def test_the_buckets_of_a_histogram_add_up() -> None:
    seconds = Histogram((0.5, 1.0))
    for value in (0.1, 0.5, 0.7, 3.0):
        seconds.observe(value)
    shown = text([Reading(Family("s", "histogram", "Seconds."), {(): seconds})])
    assert shown.splitlines()[2:] == [
        's_bucket{le="0.5"} 2',
        's_bucket{le="1"} 3',
        's_bucket{le="+Inf"} 4',
        "s_sum 4.3",
        "s_count 4",
    ]


def test_a_family_without_numbers_shows_that_it_exists() -> None:
    assert text([Reading(Family("none", "gauge", "Nothing."))]) == "# HELP none Nothing.\n# TYPE none gauge\n"
