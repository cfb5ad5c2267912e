"""What is stored of an object that is accepted: defaults, pruning, ratcheting, who writes which half."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kubechain.errors import BadRequest, Invalid
from kubechain.resources.agent import AGENTS
from kubechain.resources.builtin import NAMESPACES, ROLE_BINDINGS, SECRETS
from kubechain.resources.json import JsonObject, lookup
from kubechain.resources.kind import Kind
from kubechain.resources.llm import LLMS
from kubechain.resources.registry import OURS
from kubechain.resources.task import TASKS
from kubechain.resources.taskrun import TASK_RUNS
from kubechain.resources.tool import TOOLS
from kubechain.server.admission import _rules_of, admit, match_request


def manifest(kind: Kind[Any], spec: JsonObject, **more: Any) -> JsonObject:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": "a", "namespace": "default", "resourceVersion": "1"},
        "spec": spec,
        **more,
    }


def test_a_new_object_gets_the_default_status_whatever_the_client_sent() -> None:
    new = admit(TASK_RUNS, manifest(TASK_RUNS, {"task": "t"}, status={"phase": "FinalAnswer"}), None)
    assert new["status"] == {"phase": "Pending"}


def test_what_is_admitted_fits_the_typed_model() -> None:
    new = admit(LLMS, manifest(LLMS, {"provider": "ollama", "parameters": {"maxTokens": 7}}), None)
    assert LLMS.decode(msgspec.json.encode(new)).spec.parameters.max_tokens == 7


def test_unknown_fields_are_dropped_and_free_form_ones_are_kept() -> None:
    parameters: JsonObject = {"type": "object", "properties": {"x": {"type": "number", "anything": None}}}
    spec: JsonObject = {"function": {"entrypoint": "a:b", "oops": 1}, "parameters": parameters, "effect": None}
    new = admit(TOOLS, manifest(TOOLS, spec), None)
    assert new["spec"] == {"function": {"entrypoint": "a:b"}, "parameters": parameters}


def test_the_main_endpoint_does_not_touch_status() -> None:
    old = admit(LLMS, manifest(LLMS, {"provider": "ollama"}), None)
    old = {**old, "status": {"ready": True, "status": "Ready"}}
    new = admit(LLMS, {**old, "spec": {"provider": "openai-compatible"}, "status": {"ready": False}}, old)
    assert (lookup(new, "spec.provider"), new["status"]) == ("openai-compatible", old["status"])


def test_the_status_endpoint_touches_nothing_else() -> None:
    old = admit(LLMS, manifest(LLMS, {"provider": "ollama"}), None)
    sent: JsonObject = {
        **old,
        "metadata": {**_meta(old), "labels": {"a": "b"}},
        "spec": {},
        "status": {"ready": True},
    }
    new = admit(LLMS, sent, old, status_only=True)
    assert (new["metadata"], new["spec"]) == (old["metadata"], old["spec"])
    assert new["status"] == {"ready": True}


def _meta(obj: JsonObject) -> JsonObject:
    meta = obj["metadata"]
    assert isinstance(meta, dict)
    return meta


def test_an_invalid_value_that_an_update_leaves_alone_is_tolerated() -> None:
    bad: JsonObject = {"provider": "openai", "parameters": {"temperature": "warm", "model": "a"}}
    old = manifest(LLMS, {**bad, "apiKeyFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})
    spec = old["spec"]
    assert isinstance(spec, dict)
    new: JsonObject = {**old, "spec": {**spec, "parameters": {"temperature": "warm", "model": "b"}}}
    assert lookup(admit(LLMS, new, old), "spec.parameters.model") == "b"
    worse: JsonObject = {**old, "spec": {**spec, "parameters": {"temperature": "hot", "model": "a"}}}
    with pytest.raises(Invalid, match="temperature"):
        admit(LLMS, worse, old)


def test_a_broken_rule_is_tolerated_while_its_node_is_unchanged() -> None:
    old = manifest(TASKS, {"agent": "a", "userMessage": "x", "contextWindow": []})
    relabelled: JsonObject = {**old, "metadata": {**_meta(old), "labels": {"a": "b"}}}
    assert admit(TASKS, relabelled, old)["spec"] == old["spec"]
    with pytest.raises(Invalid, match="set one of"):
        admit(TASKS, {**old, "spec": {"agent": "b", "userMessage": "x", "contextWindow": []}}, old)


def test_a_run_may_be_labelled_but_not_changed() -> None:
    old = admit(TASK_RUNS, manifest(TASK_RUNS, {"task": "t"}), None)
    assert admit(TASK_RUNS, {**old, "metadata": {**_meta(old), "labels": {"a": "b"}}}, old)["spec"] == {
        "task": "t"
    }
    with pytest.raises(Invalid, match="a TaskRun cannot be changed"):
        admit(TASK_RUNS, {**old, "spec": {"task": "u"}}, old)


def test_a_pattern_does_not_overlook_a_closing_newline() -> None:
    with pytest.raises(Invalid, match="should match"):
        admit(LLMS, manifest(LLMS, {"provider": "ollama", "parameters": {"timeout": "5m\n"}}), None)


def test_a_generated_name_is_left_to_the_store() -> None:
    obj = manifest(LLMS, {"provider": "ollama"})
    new = admit(LLMS, {**obj, "metadata": {"generateName": "a-", "namespace": "default"}}, None)
    assert new["metadata"] == {"generateName": "a-", "namespace": "default"}


def test_every_rule_of_every_kind_has_a_native_twin() -> None:
    def texts(schema: Any) -> list[tuple[str, ...]]:
        if isinstance(schema, list):
            return [text for item in schema for text in texts(item)]
        if not isinstance(schema, dict):
            return []
        own = [(r["rule"], r["message"]) for r in schema.get("x-kubernetes-validations", [])]
        return own + [text for member in schema.values() for text in texts(member)]

    for kind in OURS:
        assert set(texts(kind.schema)) == set(_rules_of(kind.raw.model))


def test_secrets_fold_their_texts_into_data() -> None:
    secret: JsonObject = {"metadata": {"name": "a"}, "stringData": {"k": "v"}, "data": {"b": "eA=="}}
    new = admit(SECRETS, secret, None)
    assert new == {"metadata": {"name": "a"}, "type": "Opaque", "data": {"b": "eA==", "k": "dg=="}}


def test_a_namespace_is_completed() -> None:
    new = admit(NAMESPACES, {"metadata": {"name": "a"}}, None)
    assert new["spec"] == {"finalizers": ["kubernetes"]}
    assert new["status"] == {"phase": "Active"}
    assert new["metadata"] == {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}}


def test_a_binding_names_the_group_of_its_role_and_subjects() -> None:
    obj: JsonObject = {
        "metadata": {"name": "a"},
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}],
    }
    new = admit(ROLE_BINDINGS, obj, None)
    assert lookup(new, "roleRef.apiGroup") == "rbac.authorization.k8s.io"
    assert new["subjects"] == [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u"},
        {"kind": "ServiceAccount", "name": "s"},
    ]


def test_a_terminating_object_takes_no_new_finalizer() -> None:
    old = admit(AGENTS, manifest(AGENTS, {"llmRef": {"name": "x"}}), None)
    old = {**old, "metadata": {**_meta(old), "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]}}
    with pytest.raises(Invalid, match=r'found new finalizers \[\]string\{"c/d"\}'):
        admit(AGENTS, {**old, "metadata": {**_meta(old), "finalizers": ["a/b", "c/d"]}}, old)


def test_the_address_fills_in_the_namespace_and_refuses_another() -> None:
    assert match_request({"metadata": {"name": "a"}}, LLMS, "ns")["metadata"] == {"name": "a", "namespace": "ns"}
    with pytest.raises(BadRequest, match="does not match the namespace"):
        match_request({"metadata": {"name": "a", "namespace": "b"}}, LLMS, "ns")
    with pytest.raises(BadRequest, match="undeterminable"):
        match_request({"metadata": {}}, LLMS, "ns", "a")
