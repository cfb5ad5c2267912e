"""`kubechain apply` and `delete` change what their manifests name, and tell it as kubectl does."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubechain.cli.apply import LAST_APPLIED, annotated, last_applied, three_way
from kubechain.cli.document import manifests
from kubechain.resources.json import JsonObject
from tests.unit.cli.recorded import ROOT, RecordedApi, kubechain, listed, not_found, status, taskrun

AGENT = "apiVersion: kubechain.humanlayer.dev/v1alpha1\nkind: Agent\nmetadata:\n  name: a\nspec:\n  system: hi\n"
TASK = "apiVersion: kubechain.humanlayer.dev/v1alpha1\nkind: Task\nmetadata:\n  name: t\nspec:\n  agent: a\n"


def merge(target: JsonObject, patch: JsonObject) -> JsonObject:
    """RFC 7386, as the server does it."""
    out = dict(target)
    for key, value in patch.items():
        there = out.get(key)
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict):
            out[key] = merge(there if isinstance(there, dict) else {}, value)
        else:
            out[key] = value
    return out


def test_what_is_not_there_is_created_and_carries_what_was_applied(
    api: RecordedApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "all.yaml").write_text(f"{AGENT}---\n---\n{TASK}")
    api.tell(f"POST {ROOT}/agents", {}, status=201)
    api.tell(f"POST {ROOT}/tasks", {}, status=201)
    assert kubechain("apply", "-f", str(tmp_path / "all.yaml")) == 0
    assert capsys.readouterr().out == (
        "agent.kubechain.humanlayer.dev/a created\ntask.kubechain.humanlayer.dev/t created\n"
    )
    sent = api.of("POST")[0]
    assert sent.query["fieldValidation"] == "Strict"
    assert last_applied(sent.body)["spec"] == {"system": "hi"}


def test_an_object_that_is_as_wanted_is_not_written(
    api: RecordedApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (wanted,) = manifests(AGENT, "test")
    api.tell(f"GET {ROOT}/agents/a", annotated(wanted, "default") | {"status": {"ready": True}})
    monkeypatch.setattr("sys.stdin", io.StringIO(AGENT))
    assert kubechain("apply", "-f", "-") == 0
    assert capsys.readouterr().out == "agent.kubechain.humanlayer.dev/a unchanged\n"
    assert api.of("PATCH") == []


def test_a_changed_object_is_patched_with_the_change_alone(
    api: RecordedApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (wanted,) = manifests(AGENT, "test")
    live = annotated(wanted, "default")
    api.tell(f"GET {ROOT}/agents/a", live)
    api.tell(f"PATCH {ROOT}/agents/a", {"metadata": {"resourceVersion": "9"}})
    (tmp_path / "a.yaml").write_text(AGENT.replace("hi", "ho"))
    assert kubechain("apply", "-f", str(tmp_path)) == 0
    assert capsys.readouterr().out == "agent.kubechain.humanlayer.dev/a configured\n"
    (sent,) = api.of("PATCH")
    assert sent.headers["Content-Type"] == "application/merge-patch+json"
    assert sent.body["spec"] == {"system": "ho"}
    assert set(sent.body) == {"spec", "metadata"}


def test_a_bad_object_does_not_keep_the_others_from_being_applied(
    api: RecordedApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "all.yaml").write_text(f"{AGENT}---\n{TASK}")
    causes: list[object] = [{"field": "spec.llmRef", "message": "Required value"}]
    details: JsonObject = {"name": "a", "kind": "Agent", "causes": causes}  # type: ignore[dict-item]
    api.tell(f"POST {ROOT}/agents", status(422, "Invalid", "...", details), status=422)
    api.tell(f"POST {ROOT}/tasks", {}, status=201)
    assert kubechain("apply", "-f", str(tmp_path)) == 1
    said = capsys.readouterr()
    assert said.out == "task.kubechain.humanlayer.dev/t created\n"
    assert 'The Agent "a" is invalid: spec.llmRef: Required value' in said.err
    assert "1 of 2 objects could not be applied" in said.err


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{a: b", "is not valid YAML"),
        ("- a", "has no apiVersion and kind"),
        ("", "contains no Kubernetes object"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: p}", 'no matches for kind "Pod" in version "v1"'),
    ],
)
def test_a_file_that_is_no_manifest_is_named_with_the_cause(
    api: RecordedApi, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, complaint: str
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    assert kubechain("apply", "-f", str(file)) == 1
    said = capsys.readouterr().err
    assert complaint in said
    assert "bad.yaml" in said


def test_yaml_that_looks_like_a_date_or_a_time_stays_text() -> None:
    text = "apiVersion: v1\nkind: X\na: 2023-10-20\nb: 12:30:45\nc: 12\nd: 1.5\ne: 0x1F\nf: =\ng: 1e3\n"
    (found,) = manifests(text, "test")
    assert {k: found[k] for k in "abcdefg"} == {
        "a": "2023-10-20", "b": "12:30:45", "c": 12, "d": 1.5, "e": 31, "f": "=", "g": 1000.0,
    }  # fmt: skip


leaves = st.one_of(st.integers(0, 3), st.text("ab", max_size=2), st.lists(st.integers(0, 2), max_size=2))
trees = st.recursive(
    leaves, lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3), max_leaves=8
)
objects = st.dictionaries(st.sampled_from("abcd"), trees, max_size=4)


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine draws slowly
@given(before=objects, wanted=objects, extra=objects)
def test_a_patch_leads_to_what_is_wanted_and_leaves_what_others_wrote(
    before: JsonObject, wanted: JsonObject, extra: JsonObject
) -> None:
    live = merge(before, {f"other-{key}": value for key, value in extra.items()})
    after = merge(live, three_way(before, wanted, live))
    assert after == merge({k: v for k, v in live.items() if k not in before}, wanted)
    assert three_way(wanted, wanted, after) == {}


def test_the_annotation_is_the_one_that_kubectl_reads() -> None:
    (wanted,) = manifests(AGENT, "test")
    meta = annotated(wanted, "default")["metadata"]
    assert isinstance(meta, dict)
    notes = meta["annotations"]
    assert isinstance(notes, dict)
    note = notes["kubectl.kubernetes.io/last-applied-configuration"]
    assert isinstance(note, str)
    assert json.loads(note)["metadata"] == {"annotations": {}, "name": "a", "namespace": "default"}
    assert LAST_APPLIED in notes


def test_delete_tells_what_it_deleted_and_waits_until_it_is_gone(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.tell(f"DELETE {ROOT}/taskruns/hello", {"kind": "Status", "status": "Success"})
    api.tell(f"GET {ROOT}/taskruns", listed(taskrun()))
    api.tell_events(f"{ROOT}/taskruns", {"type": "DELETED", "object": taskrun()})
    assert kubechain("delete", "taskrun", "hello") == 0
    assert capsys.readouterr().out == 'taskrun.kubechain.humanlayer.dev "hello" deleted\n'
    assert api.of("DELETE")[0].body["propagationPolicy"] == "Background"


def test_deleting_what_is_not_there_fails_unless_that_is_fine(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.tell(f"DELETE {ROOT}/taskruns/hello", not_found(f"{ROOT}/taskruns/hello"), status=404)
    assert kubechain("delete", "taskrun/hello") == 1
    assert "Error from server (NotFound)" in capsys.readouterr().err
    assert kubechain("delete", "taskrun/hello", "--ignore-not-found", "--no-wait") == 0


def test_delete_never_takes_a_bare_type_for_all_of_it(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kubechain("delete", "taskruns") == 1
    assert "--all" in capsys.readouterr().err
    assert api.of("DELETE") == []
