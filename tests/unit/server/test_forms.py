"""Accept headers, Status objects, discovery, views of events: the small translations."""

from __future__ import annotations

import pytest

from kubechain.errors import Cause, Conflict, Details, Gone, Invalid, NotAcceptable
from kubechain.resources.json import JsonObject
from kubechain.server import discovery
from kubechain.server.accept import Form, form_of
from kubechain.server.served import catalogue
from kubechain.server.status import status_of
from kubechain.server.views import from_core, to_core

TABLE = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,"
    "application/json"
)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Form()),
        ("*/*", Form()),
        (TABLE, Form("table", "v1")),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Form("table", "v1beta1")),
        ("application/vnd.kubernetes.protobuf,application/json", Form()),
        (
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Form("metadata", "v1", name="PartialObjectMetadataList"),
        ),
        ("application/yaml", Form(yaml=True)),
    ],
)
def test_the_first_form_that_exists_is_taken(accept: str, form: Form) -> None:
    assert form_of(accept) == form


@pytest.mark.parametrize(
    "accept", ["application/vnd.kubernetes.protobuf", "application/json;as=Bogus;v=v1;g=meta.k8s.io", "text/html"]
)
def test_a_form_that_does_not_exist_is_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="only the following media types are accepted"):
        form_of(accept)


def test_a_failure_becomes_a_status_with_details_and_causes() -> None:
    details = Details("bad", "g", "Agent", causes=(Cause("FieldValueRequired", "Required value", "spec.x"),))
    status = status_of(Invalid("no", details))
    assert (status["status"], status["reason"], status["code"]) == ("Failure", "Invalid", 422)
    assert status["details"] == {
        "name": "bad",
        "group": "g",
        "kind": "Agent",
        "causes": [{"reason": "FieldValueRequired", "message": "Required value", "field": "spec.x"}],
    }
    assert "details" not in status_of(Conflict("no"))


def test_an_expired_token_offers_another_one() -> None:
    error = Gone("too old")
    error.continue_token = "next"
    assert status_of(error)["metadata"] == {"continue": "next"}


def test_an_event_survives_the_way_to_the_old_names_and_back() -> None:
    event: JsonObject = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "default"},
        "regarding": {"kind": "TaskRun", "name": "r"},
        "note": "text",
        "reportingController": "kubechain",
        "reportingInstance": "i",
        "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000000Z",
    }
    core = to_core(event)
    assert core["involvedObject"] == {"kind": "TaskRun", "name": "r"}
    assert (core["message"], core["reportingComponent"], core["apiVersion"]) == ("text", "kubechain", "v1")
    back = from_core(core)
    assert {k: v for k, v in back.items() if k != "deprecatedSource"} == event


def test_discovery_lists_our_kinds_with_short_names_and_status() -> None:
    document = discovery.legacy_resources("kubechain.humanlayer.dev", "v1alpha1")
    assert document is not None
    resources = document["resources"]
    assert isinstance(resources, list)
    names = [r["name"] for r in resources if isinstance(r, dict)]
    assert {"agents", "agents/status", "taskruns", "toolcalls/status"} <= set(names)


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
def test_aggregated_discovery_is_of_the_version_that_was_asked_for(version: str) -> None:
    core = discovery.aggregated(core=True, version=version)
    others = discovery.aggregated(core=False, version=version)
    assert core["apiVersion"] == f"apidiscovery.k8s.io/{version}"
    assert isinstance(core["items"], list)
    assert isinstance(others["items"], list)
    assert [item["metadata"] for item in core["items"] if isinstance(item, dict)] == [{}]
    assert {"name": "kubechain.humanlayer.dev"} in [i["metadata"] for i in others["items"] if isinstance(i, dict)]


def test_every_resource_has_an_address_of_its_own() -> None:
    assert all((s.kind.group, s.kind.version, s.kind.plural) == key for key, s in catalogue().items())
    assert ("", "v1", "events") in catalogue()
    assert ("events.k8s.io", "v1", "events") in catalogue()
