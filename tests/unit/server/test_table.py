"""What `kubectl get` shows of an object."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.jsonpath import compile_path
from kubechain.resources.kind import Kind
from kubechain.resources.model import timestamp
from kubechain.resources.registry import ALL
from kubechain.server.served import catalogue
from kubechain.server.table import cells, definitions, partial, row, table

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def kind_of(group: str, plural: str) -> Kind[bytes]:
    return next(s.kind for (g, _, p), s in catalogue().items() if (g, p) == (group, plural))


def shown(group: str, plural: str, obj: JsonObject) -> dict[str, JsonValue]:
    """Column name -> cell."""
    kind = kind_of(group, plural)
    values = msgspec.json.decode(row(kind, msgspec.json.encode(obj), NOW, "None"))["cells"]
    return dict(zip([c.name for c in cells(kind)], values, strict=True))


def born(name: str, ago: timedelta) -> JsonObject:
    return {"name": name, "namespace": "default", "creationTimestamp": timestamp(NOW - ago), "uid": "u"}


def test_an_agent_shows_the_columns_of_the_walk_through() -> None:
    agent: JsonObject = {
        "metadata": born("my-assistant", timedelta(minutes=3)),
        "spec": {"llmRef": {"name": "gpt-4o"}},
        "status": {"ready": True, "status": "Ready", "statusDetail": "All dependencies validated successfully"},
    }
    cells_of = shown("kubechain.humanlayer.dev", "agents", agent)
    assert cells_of["Name"] == "my-assistant"
    assert cells_of["LLM"] == "gpt-4o"
    assert cells_of["Ready"] is True
    assert cells_of["Status"] == "Ready"


def test_a_run_without_a_phase_shows_nothing_and_a_missing_date_nothing_either() -> None:
    run: JsonObject = {"metadata": {"name": "r"}, "spec": {"task": "t"}}
    cells_of = shown("kubechain.humanlayer.dev", "taskruns", run)
    assert cells_of["Phase"] is None
    assert cells_of["Age"] is None


def test_the_age_of_a_run_reads_as_kubectl_prints_it() -> None:
    run: JsonObject = {"metadata": born("r", timedelta(seconds=150)), "spec": {"task": "t"}}
    assert shown("kubechain.humanlayer.dev", "taskruns", run)["Age"] == "2m30s"


def test_a_secret_shows_type_and_number_of_keys_and_no_value() -> None:
    secret: JsonObject = {
        "metadata": born("s", timedelta(days=1)),
        "type": "Opaque",
        "data": {"a": "eA==", "b": ""},
    }
    assert shown("", "secrets", secret) == {"Name": "s", "Type": "Opaque", "Data": 2, "Age": "24h"}


@pytest.mark.parametrize("group", ["", "events.k8s.io"])
def test_an_event_reads_the_same_at_both_addresses(group: str) -> None:
    about: JsonObject = {"kind": "TaskRun", "name": "hello-world-run"}
    named: JsonObject = {"involvedObject": about, "message": "done"}
    event: JsonObject = {
        "metadata": {"name": "e"},
        "eventTime": timestamp(NOW - timedelta(seconds=9)),
        "type": "Normal",
        "reason": "FinalAnswer",
        **({"regarding": about, "note": "done"} if group else named),
    }
    cells_of = shown(group, "events", event)
    assert cells_of["Last Seen"] == "9s"
    assert cells_of["Object"] == "taskrun/hello-world-run"
    assert cells_of["Message"] == "done"


@pytest.mark.parametrize("served", catalogue().values(), ids=lambda s: f"{s.kind.group}/{s.kind.plural}")
def test_every_kind_has_columns_that_take_an_object_with_nothing_in_it(served: object) -> None:
    kind = served.kind  # type: ignore[attr-defined]
    made = msgspec.json.decode(row(kind, b'{"metadata":{"name":"x"}}', NOW, "Metadata"))
    assert len(made["cells"]) == len(msgspec.json.decode(definitions(kind)))
    assert made["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "x"},
    }


def test_a_row_carries_the_whole_object_only_when_asked_to() -> None:
    document = b'{"metadata":{"name":"x"},"spec":{"a":1}}'
    kind = kind_of("", "configmaps")
    assert "object" not in msgspec.json.decode(row(kind, document, NOW, "None"))
    assert msgspec.json.decode(row(kind, document, NOW, "Object"))["object"] == msgspec.json.decode(document)


def test_a_table_is_of_the_version_that_was_asked_for() -> None:
    made = msgspec.json.decode(table({"resourceVersion": "7"}, None, [], "v1beta1").whole())
    assert (made["kind"], made["apiVersion"]) == ("Table", "meta.k8s.io/v1beta1")
    assert (made["columnDefinitions"], made["rows"]) == (None, [])
    assert msgspec.json.decode(partial(b'{"metadata":{}}', "v1beta1"))["apiVersion"] == "meta.k8s.io/v1beta1"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b", [1]),
        ("['a'].b", [1]),
        (".list[1].name", ["y"]),
        (".list[-1].name", ["y"]),
        (".list[*].name", ["x", "y"]),
        ('.list[?(@.name=="y")].value', [2]),
        (".nope.b", []),
        (".list[7]", []),
    ],
)
def test_a_json_path_finds_every_value_it_names(path: str, found: list[JsonValue]) -> None:
    obj: JsonObject = {"a": {"b": 1}, "list": [{"name": "x"}, {"name": "y", "value": 2}]}
    assert compile_path(path)(obj) == found


def test_a_json_path_that_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="not understood"):
        compile_path(".a[(@.length-1)]")


def test_every_printer_column_of_every_kind_compiles() -> None:
    assert all(compile_path(column.path) for kind in ALL for column in kind.columns)
