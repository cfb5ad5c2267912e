"""Decoding of request bodies, and what strict decoding reports."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubechain.errors import BadRequest, Invalid
from kubechain.resources.builtin import CONFIG_MAPS, LEASES, SECRETS
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.llm import LLMS
from kubechain.server import strict
from kubechain.server.syntax import first_fault

HEAD = "apiVersion: kubechain.humanlayer.dev/v1alpha1\nkind: LLM\n"


def test_yaml_is_read_as_kubernetes_reads_it() -> None:
    body = HEAD + (
        "metadata: {name: a, annotations: {since: '2026-01-01', at: 12:30, mode: '0644'}}\n"
        "spec:\n  provider: ollama\n  parameters: {maxTokens: 5, parallelToolCalls: on, temperature: '0.7'}\n"
    )
    obj, report = strict.decode(body.encode(), LLMS, as_yaml=True)
    assert report == []
    assert obj["metadata"] == {"name": "a", "annotations": {"at": "12:30", "mode": "0644", "since": "2026-01-01"}}
    assert obj["spec"] == {
        "provider": "ollama",
        "parameters": {"maxTokens": 5, "parallelToolCalls": True, "temperature": "0.7"},
    }


def test_a_key_that_comes_twice_in_yaml_is_reported_with_its_line() -> None:
    body = HEAD + "metadata:\n  name: a\n  name: b\nspec:\n  provider: ollama\n"
    _, report = strict.decode(body.encode(), LLMS, as_yaml=True)
    assert report == ['yaml: unmarshal errors:\n  line 5: key "name" already set in map']


def test_yaml_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"unrecognized \(must be of type LLM\): yaml: line 1: mapping values"):
        strict.decode(b"a: b: c\n", LLMS, as_yaml=True)


def test_a_built_in_kind_needs_no_kind_in_its_body() -> None:
    obj, report = strict.decode(b'{"metadata":{"name":"a","labels":null},"data":{"k":null},"oops":1}', SECRETS)
    assert obj == {"metadata": {"name": "a"}, "data": {"k": ""}, "apiVersion": "v1", "kind": "Secret"}
    assert report == ['unknown field "oops"']


def test_times_are_normalised() -> None:
    body = {"metadata": {"name": "a"}, "spec": {"renewTime": "2026-01-01T02:00:00.500000+02:00"}}
    obj, _ = strict.decode(json.dumps(body).encode(), LEASES)
    assert obj["spec"] == {"renewTime": "2026-01-01T00:00:00.500000Z"}


def test_a_patch_to_a_bad_secret_does_not_repeat_the_secret() -> None:
    with pytest.raises(Invalid) as refused:
        strict.patched({"metadata": {"name": "a"}, "data": {"k": 5, "password": "aHVudGVyMg=="}}, SECRETS)
    assert "aHVudGVyMg" not in refused.value.message
    assert refused.value.message.endswith(
        "cannot unmarshal number into Go struct field Secret.data of type []uint8"
    )


def test_a_patch_to_unknown_fields_is_refused_as_a_patch() -> None:
    obj, report = strict.patched(
        {
            "apiVersion": LLMS.api_version,
            "kind": "LLM",
            "metadata": {"name": "a"},
            "spec": {"provider": "ollama", "x": 1},
        },
        LLMS,
    )
    refusal = strict.patch_refusal(obj, LLMS, report)
    assert refusal.message.startswith(' "" is invalid: patch: Invalid value: "{\\"apiVersion\\"')
    assert refusal.message.endswith('strict decoding error: unknown field "spec.x"')


@given(st.text(alphabet='{}[]:,"\\ntruefalsnl-+.0123456789eE \t', max_size=30))
def test_every_text_that_is_no_json_has_a_fault_that_is_named(text: str) -> None:
    body = text.encode()
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        assert first_fault(body) != ""
        if body.strip():
            assert first_fault(body) != "invalid UTF-8 in string" or "Infinity" in text


@pytest.mark.parametrize("member", ["kind", "apiVersion"])
@pytest.mark.parametrize("value", [{"a": 1}, [None], 5, True])
def test_a_patch_that_makes_no_text_of_the_type_is_refused(member: str, value: JsonValue) -> None:
    obj: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, member: value}
    with pytest.raises(Invalid, match=f"ConfigMap.{member} of type string"):
        strict.patched(obj, CONFIG_MAPS)


def test_an_error_text_shows_the_beginning_of_a_large_object() -> None:
    obj: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": 5, "data": {"k": "x" * 1_000_000}}
    with pytest.raises(Invalid) as refused:
        strict.patched(obj, CONFIG_MAPS)
    assert len(refused.value.message) < 12_000
