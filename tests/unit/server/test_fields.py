"""Managed fields and server-side apply, against stories recorded from a real API server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from kubechain.errors import ApiError, Conflict
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Kind
from kubechain.resources.llm import LLMS
from kubechain.runtime.patches import merge_patch
from kubechain.server import fields, patches, strict
from kubechain.server.admission import admit, match_request
from kubechain.server.fields.paths import decode, encode, shown
from tests.contract.applies.record import Story, essence, stories
from tests.contract.bad_manifests.record import KINDS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 2, tzinfo=UTC)
STORIES = stories()


def written(kind: Kind[Any], live: JsonObject | None, step: dict[str, Any]) -> JsonObject:
    """The object after one step of a story."""
    body, manager, below = step["body"], step["manager"], step.get("subresource", "")
    if step["verb"] == "apply":
        config, _ = strict.decode(json.dumps(body).encode(), kind)
        config = match_request(config, kind, "default", body["metadata"]["name"])
        new = fields.apply(kind, live, config, manager, step.get("force", False), NOW, below)
        return admit(kind, new, live, status_only=bool(below))
    if step["verb"] == "create":
        new, _ = strict.decode(json.dumps(body).encode(), kind)
        new = admit(kind, match_request(new, kind, "default"), None)
    else:
        assert live is not None
        patched = merge_patch(live, body) if step["verb"] == "merge" else patches.strategic(kind, live, body)
        assert isinstance(patched, dict)
        new = admit(kind, strict.patched(patched, kind)[0], live, status_only=bool(below))
    return fields.track_update(kind, live, new, manager, kind.api_version, below, NOW)


def with_version(obj: JsonObject) -> JsonObject:
    meta = obj["metadata"]
    assert isinstance(meta, dict)
    return {**obj, "metadata": {**meta, "resourceVersion": "1"}}


@pytest.mark.parametrize("story", STORIES, ids=[f"{s['kind']}: {s['title']}" for s in STORIES])
def test_every_manager_owns_what_it_owns_on_a_real_api_server(story: Story) -> None:
    kind, live = KINDS[story["kind"]], None
    for step in story["steps"]:
        expected = step["answer"]
        try:
            live = with_version(written(kind, live, step))
            assert essence(live) == expected
        except ApiError as error:
            causes = [{"reason": c.reason, "message": c.message, "field": c.field} for c in error.details.causes]
            assert error.message == expected["message"]
            assert causes == expected["details"]["causes"]


def config(**spec: Any) -> JsonObject:
    return {"apiVersion": LLMS.api_version, "kind": "LLM", "metadata": {"name": "a"}, "spec": spec}


def test_applying_the_same_again_changes_nothing_not_even_the_time() -> None:
    wish = config(provider="ollama", parameters={"model": "x"})
    once = fields.apply(LLMS, None, wish, "kubectl", False, NOW)
    assert fields.apply(LLMS, once, wish, "kubectl", False, LATER) == once


def test_an_update_that_changes_nothing_keeps_all_entries() -> None:
    first = fields.track_update(LLMS, None, config(provider="ollama"), "a", "v", "", NOW)
    assert fields.track_update(LLMS, first, first, "b", "v", "", LATER) == first


def test_two_managers_that_differ_conflict_and_the_text_names_every_path() -> None:
    live = fields.apply(LLMS, None, config(provider="ollama", parameters={"model": "x"}), "ann", False, NOW)
    with pytest.raises(Conflict) as refused:
        fields.apply(LLMS, live, config(provider="openai", parameters={"model": "y"}), "bob", False, NOW)
    assert refused.value.message == (
        'Apply failed with 2 conflicts: conflicts with "ann":\n- .spec.parameters.model\n- .spec.provider'
    )


def test_the_entries_of_updates_stay_bounded() -> None:
    live = fields.track_update(LLMS, None, config(provider="ollama"), "m", LLMS.api_version, "", NOW)
    for i in range(30):
        new = merge_patch(live, {"metadata": {"labels": {f"l{i}": "x"}}})
        assert isinstance(new, dict)
        live = fields.track_update(LLMS, live, new, f"m{i}", LLMS.api_version, "", NOW)
    meta = live["metadata"]
    assert isinstance(meta, dict) and isinstance(meta["managedFields"], list)
    managers = [entry["manager"] for entry in meta["managedFields"] if isinstance(entry, dict)]
    assert len(managers) == 10 and "ancient-changes" in managers


def test_a_field_set_survives_its_encoding() -> None:
    tree: JsonObject = {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}, "f:finalizers": {'v:"x"': {}}},
        "f:spec": {"f:tools": {'k:{"name":"a"}': {".": {}, "f:name": {}}}},
    }
    paths = frozenset(decode(tree))
    assert encode(paths) == tree
    assert {shown(path) for path in paths} >= {'.metadata.finalizers[="x"]', '.spec.tools[name="a"].name'}
