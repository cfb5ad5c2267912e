"""Where clients meet the edge of what the embedded server takes: numbers, selectors, Events, owners, forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.test_server import AGENTS_URL, GROUP, Client, agent, http

__all__ = ["http"]
EVENTS = "/api/v1/namespaces/default/events"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FOREVER = 9223372036854775807


@pytest.mark.parametrize("number", [FOREVER + 1, "9" * 5000, "1_0", "0x10", "٣", "1e3", ""])
@pytest.mark.parametrize("option", ["limit", "timeoutSeconds"])
async def test_a_number_that_is_none_is_a_bad_request(http: Client, option: str, number: str) -> None:
    answer = await http("GET", f"{AGENTS_URL}?{option}={number}")
    assert answer.code == (400 if number else 200)
    if number:
        assert "strconv.ParseInt" in answer.body["message"]


async def test_the_largest_numbers_are_taken(http: Client) -> None:
    for limit in (FOREVER, -1, -FOREVER, "%2B5"):
        assert (await http("GET", f"{AGENTS_URL}?limit={limit}")).code == 200
    await http("POST", AGENTS_URL, agent("a"))
    (event,) = await http.lines(f"{AGENTS_URL}?watch=1&timeoutSeconds={FOREVER}", 1)
    assert event["type"] == "ADDED"
    refused = await http("DELETE", f"{AGENTS_URL}/a?gracePeriodSeconds={FOREVER + 1}")
    assert (refused.code, "out of range" in refused.body["message"]) == (400, True)
    assert (await http("DELETE", f"{AGENTS_URL}/a?gracePeriodSeconds=0")).code == 200


@pytest.mark.parametrize(
    ("version", "code"), [(FOREVER, 504), (2 * FOREVER + 1, 504), (2 * FOREVER + 2, 400), ("-1", 400), ("٣", 400)]
)
async def test_a_version_from_the_future_or_none_at_all_is_refused(
    http: Client, version: object, code: int
) -> None:
    answer = await http("GET", f"{AGENTS_URL}?resourceVersion={version}")
    assert (answer.code, answer.body["kind"]) == (code, "Status")


async def test_selectors_select_among_our_crds_in_a_watch_too(http: Client) -> None:
    name = f"agents.{GROUP}"
    found = await http("GET", f"{CRDS}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name={name}")
    assert [json.loads(line)["object"]["metadata"]["name"] for line in found.text.splitlines()] == [name]
    none = await http("GET", f"{CRDS}?watch=1&timeoutSeconds=1&labelSelector=no%3Dsuch")
    assert (none.code, none.text) == (200, "")
    assert (await http("GET", f"{CRDS}?watch=1&fieldSelector=spec.scope=x")).code == 400


async def test_a_selector_of_endless_words_is_refused(http: Client) -> None:
    words = ",".join(f"a{i}" for i in range(12_000))
    assert (await http("GET", f"{AGENTS_URL}?labelSelector={words}")).code in (400, 431)
    assert (await http("GET", f"{AGENTS_URL}?labelSelector=a in ({words[:20_000]}a)")).code == 200


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({}, 201),
        ({"type": "Error", "reason": "R" * 2000, "message": "m" * 3000}, 201),
        ({"type": "Normal", "reportingComponent": "x", "reportingInstance": "y", "action": "A"}, 201),
        ({"count": 1, "firstTimestamp": "2026-01-01T00:00:00Z", "source": {"component": "c"}}, 201),
        ({"involvedObject": {"kind": "TaskRun", "name": "r", "namespace": "other"}}, 422),
        ({"eventTime": "2026-01-01T00:00:00.000000Z"}, 422),
    ],
)
async def test_an_event_of_core_v1_may_say_little(http: Client, members: dict[str, Any], code: int) -> None:
    about = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "namespace": "default"}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": about, **members}
    made = await http("POST", EVENTS, event)
    assert made.code == code
    if code == 201:
        assert (await http("PUT", f"{EVENTS}/e", made.body | {"count": 2, "message": "again"})).code == 200
        rows = await http("GET", EVENTS, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        assert len(rows.body["rows"]) == 1


async def test_an_event_of_events_k8s_io_must_say_more(http: Client) -> None:
    event = {
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "type": "Normal",
        "reason": "R", "regarding": {"kind": "ConfigMap", "name": "c", "namespace": "default"},
    }  # fmt: skip
    refused = await http("POST", "/apis/events.k8s.io/v1/namespaces/default/events", event)
    assert (refused.code, "eventTime" in refused.body["message"]) == (422, True)


async def test_an_apply_that_means_one_object_does_not_make_another(http: Client) -> None:
    url, media = f"{AGENTS_URL}/a?fieldManager=m", "application/apply-patch+yaml"
    refused = await http("PATCH", url, agent("a", uid="gone"), content_type=media)
    assert (refused.code, refused.body["reason"]) == (409, "Conflict")
    assert "no existing object was found" in refused.body["message"]
    assert (await http("PATCH", url, agent("a"), content_type=media)).code == 201
    assert (await http("PATCH", url, agent("a", uid="gone"), content_type=media)).code == 409


async def test_an_owner_that_is_named_twice_is_kept_once_with_a_warning(http: Client) -> None:
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    uid = (await http("POST", "/api/v1/namespaces/default/configmaps", config_map)).body["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": uid}
    made = await http("POST", AGENTS_URL, agent("a", ownerReferences=[owner, owner]))
    assert made.body["metadata"]["ownerReferences"] == [owner]
    assert f"duplicate UID(s) observed: {uid}" in made.headers["warning"]
    patch = {"metadata": {"labels": {"a": "b"}, "ownerReferences": [owner, owner, owner]}}
    changed = await http("PATCH", f"{AGENTS_URL}/a", patch, content_type="application/merge-patch+json")
    assert changed.body["metadata"]["ownerReferences"] == [owner]
    assert "duplicate UID(s)" in changed.headers["warning"]


async def test_a_generated_name_keeps_what_it_was_generated_from(http: Client) -> None:
    made = (await http("POST", AGENTS_URL, agent("", generateName="gen-"))).body
    assert made["metadata"]["name"].startswith(made["metadata"]["generateName"])
    again = (await http("PUT", f"{AGENTS_URL}/{made['metadata']['name']}", made)).body
    assert again["metadata"]["generateName"] == "gen-"


@pytest.mark.parametrize("path", [AGENTS_URL, f"{AGENTS_URL}/none", "/version", "/apis", "/openapi/v3", "/api/v1"])
async def test_json_is_indented_for_people(http: Client, path: str) -> None:
    plain, asked = await http("GET", path), await http("GET", f"{path}?pretty=true")
    assert asked.text.startswith('{\n  "')
    assert asked.body == plain.body
    assert (await http("GET", path, user_agent="curl/8.5.0")).text == asked.text
    assert (await http("GET", f"{path}?pretty=false", user_agent="curl/8.5.0")).text == plain.text


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PROPFIND"])
@pytest.mark.parametrize("path", ["/apis", "/version", f"{AGENTS_URL}/a", "/openapi/v2"])
async def test_a_method_that_makes_no_sense_here_is_not_allowed(http: Client, method: str, path: str) -> None:
    answer = await http(method, path)
    assert (answer.code, answer.body["kind"]) == (405, "Status")


async def test_half_a_character_in_json_is_taken_as_a_real_server_takes_it(http: Client) -> None:
    body = json.dumps({**agent("a"), "spec": {"llmRef": {"name": "g"}, "system": "x\ud800y"}})
    assert (await http("POST", AGENTS_URL, body)).body["spec"]["system"] == "x\ufffdy"


async def test_openapi_v2_describes_every_kind_in_json(http: Client) -> None:
    found = (await http("GET", "/openapi/v2", accept="application/json")).body
    kinds = {schema["x-kubernetes-group-version-kind"][0]["kind"] for name, schema in found["definitions"].items()
             if "x-kubernetes-group-version-kind" in schema}  # fmt: skip
    assert {"Agent", "TaskRun", "ConfigMap", "Event", "Lease"} <= kinds
    assert "#/components/" not in json.dumps(found)
    assert "io.k8s.api.core.v1.Event" in (await http("GET", "/openapi/v3/api/v1")).body["components"]["schemas"]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("/api/v1/namespaces/default/serviceaccounts/bot/token", "TokenRequest"),
        ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "SelfSubjectAccessReview"),
        ("/apis/authentication.k8s.io/v1/tokenreviews", "TokenReview"),
    ],
)
async def test_a_request_that_is_not_stored_is_of_the_kind_of_its_address(
    http: Client, url: str, kind: str
) -> None:
    await http("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "bot"}})
    for given in ("Other", 5, {"kind": kind}):
        refused = await http("POST", url, {"apiVersion": "x/v1", "kind": given, "spec": {"token": "t"}})
        assert refused.code == 400
        assert refused.body["message"].endswith(f'in version "v1" cannot be handled as a {kind}')


@pytest.mark.parametrize("seconds", ["3600", True, 700.5, [3600], 1e30])
async def test_a_lifetime_that_is_no_number_of_seconds_is_refused(http: Client, seconds: object) -> None:
    await http("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "bot"}})
    url = "/api/v1/namespaces/default/serviceaccounts/bot/token"
    refused = await http("POST", url, {"spec": {"expirationSeconds": seconds}})
    assert (refused.code, "TokenRequestSpec.spec.expirationSeconds" in refused.body["message"]) == (400, True)
