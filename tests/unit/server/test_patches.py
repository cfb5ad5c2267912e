"""Merge patches (the table of RFC 7386), JSON patches (RFC 6902) and strategic merge patches."""

from __future__ import annotations

import pytest

from kubechain.errors import InternalError, Invalid
from kubechain.resources.builtin import SECRETS, SERVICE_ACCOUNTS
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.runtime.patches import merge_patch
from kubechain.server.jsonpatch import json_patch
from kubechain.server.patches import strategic

RFC_7386: list[tuple[JsonValue, JsonValue, JsonValue]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "expected"), RFC_7386)
def test_a_merge_patch_does_what_the_rfc_says(target: JsonValue, patch: JsonValue, expected: JsonValue) -> None:
    assert merge_patch(target, patch) == expected


def test_a_merge_patch_leaves_its_target_alone_and_shares_the_rest() -> None:
    target: JsonObject = {"a": {"b": 1}, "c": {"d": 2}}
    merged = merge_patch(target, {"a": {"b": 3}})
    assert target == {"a": {"b": 1}, "c": {"d": 2}}
    assert isinstance(merged, dict) and merged["c"] is target["c"]


DOC: JsonObject = {"spec": {"list": ["a", "b"], "a/b": 1, "n": None}, "x": {"y": 1}}
OPERATIONS: list[tuple[list[JsonValue], JsonValue]] = [
    ([{"op": "add", "path": "/spec/list/1", "value": "z"}], {"list": ["a", "z", "b"], "a/b": 1, "n": None}),
    ([{"op": "add", "path": "/spec/list/-", "value": "z"}], {"list": ["a", "b", "z"], "a/b": 1, "n": None}),
    ([{"op": "remove", "path": "/spec/list/0"}], {"list": ["b"], "a/b": 1, "n": None}),
    ([{"op": "replace", "path": "/spec/list/0", "value": "z"}], {"list": ["z", "b"], "a/b": 1, "n": None}),
    ([{"op": "replace", "path": "/spec/a~1b", "value": 2}], {"list": ["a", "b"], "a/b": 2, "n": None}),
    ([{"op": "move", "from": "/spec/a~1b", "path": "/spec/c"}], {"list": ["a", "b"], "c": 1, "n": None}),
    ([{"op": "copy", "from": "/spec/list/1", "path": "/spec/n"}], {"list": ["a", "b"], "a/b": 1, "n": "b"}),
    ([{"op": "test", "path": "/spec/none", "value": None}], DOC["spec"]),
    ([{"op": "test", "path": "/spec/list", "value": ["a", "b"]}], DOC["spec"]),
]


@pytest.mark.parametrize(("operations", "spec"), OPERATIONS)
def test_a_json_patch_operation_acts_on_its_place(operations: list[JsonValue], spec: JsonValue) -> None:
    before = repr(DOC)
    patched = json_patch(DOC, operations)
    assert isinstance(patched, dict) and patched["spec"] == spec
    assert repr(DOC) == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/x/y", "value": True},
        {"op": "test", "path": "/x/y", "value": 2},
        {"op": "remove", "path": "/x/z"},
        {"op": "add", "path": "/none/z", "value": 1},
        {"op": "add", "path": "/spec/list/5", "value": 1},
        {"op": "add", "path": "x", "value": 1},
        {"op": "add", "path": "/x/z"},
        {"op": "move", "from": "/none", "path": "/x"},
        {"op": "bogus", "path": "/x"},
        {"path": "/x"},
    ],
)
def test_an_operation_that_has_no_place_is_refused(operation: JsonObject) -> None:
    with pytest.raises(Invalid) as refused:
        json_patch(DOC, [operation])
    assert refused.value.message == "the server rejected our request due to an error in our request"


def names(obj: JsonObject) -> list[JsonValue]:
    secrets = obj["secrets"]
    assert isinstance(secrets, list)
    return [item["name"] for item in secrets if isinstance(item, dict)]


ACCOUNT: JsonObject = {"secrets": [{"name": "a", "kind": "K"}, {"name": "b"}], "metadata": {"finalizers": ["x"]}}


def test_a_strategic_patch_merges_lists_by_their_key() -> None:
    patched = strategic(SERVICE_ACCOUNTS, ACCOUNT, {"secrets": [{"name": "c"}, {"name": "a", "uid": "u"}]})
    assert names(patched) == ["c", "a", "b"]
    assert patched["secrets"] == [{"name": "c"}, {"name": "a", "kind": "K", "uid": "u"}, {"name": "b"}]


def test_a_strategic_patch_deletes_replaces_and_orders_items() -> None:
    gone = strategic(SERVICE_ACCOUNTS, ACCOUNT, {"secrets": [{"name": "a", "$patch": "delete"}]})
    assert names(gone) == ["b"]
    replaced = strategic(SERVICE_ACCOUNTS, ACCOUNT, {"secrets": [{"name": "z"}, {"$patch": "replace"}]})
    assert names(replaced) == ["z"]
    order: JsonObject = {"secrets": [{"name": "c"}], "$setElementOrder/secrets": [{"name": "c"}, {"name": "a"}]}
    assert names(strategic(SERVICE_ACCOUNTS, ACCOUNT, order)) == ["c", "a", "b"]


def test_a_strategic_patch_treats_finalizers_as_a_set() -> None:
    added = strategic(SERVICE_ACCOUNTS, ACCOUNT, {"metadata": {"finalizers": ["y", "x"]}})
    assert added["metadata"] == {"finalizers": ["y", "x"]}
    gone = strategic(SERVICE_ACCOUNTS, added, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]}})
    assert gone["metadata"] == {"finalizers": ["y"]}


def test_a_strategic_patch_merges_maps_and_knows_its_directives() -> None:
    secret: JsonObject = {"data": {"a": "1", "b": "2"}, "type": "t"}
    assert strategic(SECRETS, secret, {"data": {"a": None, "c": "3"}})["data"] == {"b": "2", "c": "3"}
    assert strategic(SECRETS, secret, {"data": {"$patch": "replace", "z": "9"}})["data"] == {"z": "9"}
    assert strategic(SECRETS, secret, {"$retainKeys": ["type"], "type": "u"}) == {"type": "u"}
    with pytest.raises(InternalError, match="unknown patch type: bogus"):
        strategic(SECRETS, secret, {"data": {"$patch": "bogus"}})


def test_copies_that_double_an_object_end_at_a_bound() -> None:
    doubling: list[JsonValue] = [{"op": "copy", "from": "/a", "path": f"/a/k{i}"} for i in range(60)]
    assert json_patch({"a": {"x": "y"}}, doubling[:10])
    with pytest.raises(Invalid, match="copies take more than"):
        json_patch({"a": {"x": "y"}}, doubling)


@pytest.mark.timeout(10)
def test_many_operations_on_a_long_list_take_seconds_at_most() -> None:
    at_front: list[JsonValue] = [{"op": "add", "path": "/l/0", "value": i} for i in range(10_000)]
    patched = json_patch({"l": list(range(100_000))}, at_front)
    assert isinstance(patched, dict)
    assert len(patched["l"]) == 110_000  # type: ignore[arg-type]


def test_a_patch_changes_neither_the_object_nor_itself() -> None:
    value: JsonValue = {"inner": []}
    operations: list[JsonValue] = [
        {"op": "add", "path": "/new", "value": value},
        {"op": "add", "path": "/new/inner/-", "value": 1},
        {"op": "copy", "from": "/new", "path": "/copied"},
        {"op": "add", "path": "/new/inner/-", "value": 2},
        {"op": "remove", "path": "/old"},
    ]
    obj: JsonObject = {"old": 1}
    expected = {"new": {"inner": [1, 2]}, "copied": {"inner": [1]}}
    assert json_patch(obj, operations) == expected
    assert json_patch(obj, operations) == expected
    assert (obj, value) == ({"old": 1}, {"inner": []})


def test_a_patch_that_nests_without_end_is_refused() -> None:
    nest: list[JsonValue] = []
    for _ in range(5_000):
        nest += [{"op": "move", "from": "/a", "path": "/b"}, {"op": "add", "path": "/a", "value": {}}]
        nest += [{"op": "move", "from": "/b", "path": "/a/a"}]
    nest.append({"op": "copy", "from": "/a", "path": "/c"})
    with pytest.raises(Invalid, match="too deeply"):
        json_patch({"a": {}}, nest)


@pytest.mark.timeout(10)
def test_long_lists_merge_in_time_in_proportion() -> None:
    names: list[JsonValue] = [f"a.b/{i}" for i in range(50_000)]
    owners: list[JsonValue] = [{"uid": f"u{i}", "kind": "K"} for i in range(30_000)]
    obj: JsonObject = {"metadata": {"finalizers": names, "ownerReferences": owners}}
    patch: JsonObject = {
        "metadata": {
            "finalizers": [*names[:40_000], "new/one"],
            "$setElementOrder/finalizers": list(reversed(names)),
            "$deleteFromPrimitiveList/finalizers": names[:20_000],
            "ownerReferences": [{"uid": f"u{i}", "kind": "L"} for i in range(30_000)],
        }
    }
    merged = strategic(SERVICE_ACCOUNTS.raw, obj, patch)
    assert len(merged["metadata"]["ownerReferences"]) == 30_000  # type: ignore[index,call-overload,arg-type]
