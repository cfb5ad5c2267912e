"""A run and everything below it, as lines and as JSON."""

from __future__ import annotations

from kubechain.cli.objects import members, text
from kubechain.cli.tree import as_object, family, rows
from kubechain.resources.json import JsonObject


def run(name: str, parent: str = "", place: str = "1-1", **status: str) -> JsonObject:
    meta: JsonObject = {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
    if parent:
        meta["labels"] = {"kubechain.humanlayer.dev/taskrun": parent}
        meta["ownerReferences"] = [{"name": f"{parent}-xxxxx-{place}"}]
    return {"kind": "TaskRun", "metadata": meta, "spec": {"agent": "helper"}, "status": {**status}}


BELOW = [
    run("z", "top", "1-2", phase="Failed", error="no key"),
    run("y", "x", "2-1", phase="Running", waitingOn="llm:m (asked once)"),
    run("x", "top", "1-1", phase="Running"),
    run("w", "x", "10-1", phase="Pending"),
    run("stranger", "gone"),
]


def test_children_stand_below_their_parent_in_the_order_of_its_calls() -> None:
    lines = [row[0] for row in rows(family(run("top"), BELOW))]
    assert lines == ["top", "├─ x", "│  ├─ y", "│  └─ w", "└─ z"]


def test_a_part_of_a_tree_is_shown_alone() -> None:
    assert [row[0] for row in rows(family(BELOW[2], BELOW))] == ["x", "├─ y", "└─ w"]


def test_a_line_says_who_does_it_and_what_it_waits_for() -> None:
    _, _, line, *_ = rows(family(run("top"), BELOW))
    assert [*line[:4], line[5]] == ["│  ├─ y", "Running", "helper", "0", "llm:m (asked once)"]


def test_json_has_the_same_as_nested_objects() -> None:
    whole = as_object(family(run("top"), BELOW))
    children = members(whole, "children")
    assert [(text(child, "name"), text(child, "phase"), text(child, "error")) for child in children] == [
        ("x", "Running", ""),
        ("z", "Failed", "no key"),
    ]
    assert [text(child, "name") for child in members(children[0], "children")] == ["y", "w"]
