"""The embedded server over HTTP, where kubectl does not look: documents, refusals, watches, access."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kubechain.errors import SettingsError
from kubechain.resources.agent import AGENTS, Agent
from kubechain.runtime.api import ListOptions
from kubechain.runtime.clock import now
from kubechain.server.http import serve
from kubechain.server.settings import ADMIN, ServerSettings
from tests.world import PLAIN_TOKEN, TOKEN, World

GROUP = "kubechain.humanlayer.dev"
AGENTS_URL = f"/apis/{GROUP}/v1alpha1/namespaces/default/agents"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@dataclass(frozen=True)
class Answer:
    code: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Client:
    """One HTTP client with the administrator's token."""

    session: aiohttp.ClientSession

    async def __call__(
        self, method: str, path: str, body: Any = None, *, token: str = TOKEN, **headers: str
    ) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["authorization"] = f"Bearer {token}"
        data = body if isinstance(body, io.BytesIO | str | None) else json.dumps(body)
        async with self.session.request(
            method, path, data=data, headers=sent, skip_auto_headers=["Content-Type"]
        ) as r:
            return Answer(r.status, {k.lower(): v for k, v in r.headers.items()}, await r.text())

    @asynccontextmanager
    async def watch(self, path: str) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
        """An open watch, as a function that waits for its next event."""
        sent = {"authorization": f"Bearer {TOKEN}"}
        async with asyncio.timeout(10), self.session.get(path, headers=sent) as r:

            async def event() -> Any:
                return json.loads(await r.content.readline())

            yield event

    async def lines(self, path: str, count: int, **headers: str) -> list[Any]:
        """The first events of a watch."""
        sent = {"authorization": f"Bearer {TOKEN}", **headers}
        async with asyncio.timeout(10), self.session.get(path, headers=sent) as r:
            assert r.status == 200
            return [json.loads(await r.content.readline()) for _ in range(count)]


@pytest.fixture
async def http(running: World) -> AsyncIterator[Client]:
    """A client that trusts the server's own authority."""
    context = ssl.create_default_context(cafile=str(running.ca))
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(running.server.url, connector=connector) as session:
        yield Client(session)


def agent(name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": AGENTS.api_version,
        "kind": "Agent",
        "metadata": {"name": name, **metadata},
        "spec": {"llmRef": {"name": "gpt-4o"}, "system": "You help."},
    }


async def version_of(http: Client, name: str) -> str:
    found = await http("GET", f"{AGENTS_URL}/{name}")
    return str(found.body["metadata"]["resourceVersion"])


async def test_health_and_version_answer_to_everyone_and_nothing_else_does(http: Client) -> None:
    for path in ("/healthz", "/livez", "/readyz"):
        assert (await http("GET", path, token="")).text == "ok"
    assert (await http("GET", "/version", token="")).body["gitVersion"].startswith("v1.")
    for path in ("/api", "/apis", "/openapi/v3", AGENTS_URL, "/", "/nothing"):
        refused = await http("GET", path, token="")
        assert (refused.code, refused.body["reason"]) == (401, "Unauthorized")
        assert (await http("GET", path, token="wrong")).code == 401


async def test_a_page_that_was_led_here_under_a_foreign_name_is_refused(http: Client) -> None:
    refused = await http("GET", "/version", token="", host="evil.example:443")
    assert refused.code == 403
    assert "evil.example" in refused.body["message"]
    assert (await http("GET", "/version", token="", host="localhost:1")).code == 200


async def test_discovery_comes_in_the_form_and_version_that_is_asked_for(http: Client) -> None:
    asked = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList,application/json"
    for version in ("v2", "v2beta1"):
        found = await http("GET", "/apis", accept=asked.format(version))
        assert found.body["apiVersion"] == f"apidiscovery.k8s.io/{version}"
        assert f"v={version}" in found.headers["content-type"]
        again = await http("GET", "/apis", accept=asked.format(version), if_none_match=found.headers["etag"])
        assert (again.code, again.text) == (304, "")
    assert (await http("GET", "/apis")).body["kind"] == "APIGroupList"
    assert (await http("GET", "/api")).body["versions"] == ["v1"]
    assert (await http("GET", f"/apis/{GROUP}")).body["preferredVersion"]["version"] == "v1alpha1"
    assert (await http("GET", f"/apis/{GROUP}/v1alpha1")).body["kind"] == "APIResourceList"
    assert AGENTS_URL.split("/namespaces")[0] in (await http("GET", "/")).body["paths"]


async def test_every_document_that_openapi_lists_can_be_read(http: Client) -> None:
    index = (await http("GET", "/openapi/v3")).body["paths"]
    assert f"apis/{GROUP}/v1alpha1" in index
    for entry in index.values():
        document = await http("GET", entry["serverRelativeURL"])
        assert document.body["openapi"].startswith("3.")
    assert (await http("GET", "/openapi/v2")).code == 200


async def test_what_is_not_there_is_refused_as_by_a_real_server(http: Client) -> None:
    missing = await http("GET", f"{AGENTS_URL}/nope")
    assert missing.body["details"] == {"name": "nope", "group": GROUP, "kind": "agents"}
    assert (await http("GET", "/apis/apps/v1/deployments")).text == "404 page not found\n"
    assert (await http("POST", f"{AGENTS_URL}/a1/status", agent("a1"))).code == 405
    assert (await http("GET", AGENTS_URL, accept="text/html")).code == 406
    assert (await http("POST", AGENTS_URL, "x", content_type="text/plain")).code == 415
    patched = await http("PATCH", f"{AGENTS_URL}/a1", "{}", content_type="application/strategic-merge-patch+json")
    assert patched.body["message"].endswith(
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )
    assert (await http("POST", AGENTS_URL, io.BytesIO(b"x" * (3 * 1024 * 1024 + 1)))).code == 413
    assert (await http("POST", AGENTS_URL, "{")).code == 400


async def test_an_object_goes_through_its_life(http: Client) -> None:
    made = await http("POST", AGENTS_URL, agent("a1", labels={"tier": "gold"}), user_agent="test/1")
    assert (made.code, made.body["metadata"]["generation"]) == (201, 1)
    assert made.body["metadata"]["managedFields"][0]["manager"] == "test"
    assert (await http("POST", AGENTS_URL, agent("a1"))).body["reason"] == "AlreadyExists"
    url = f"{AGENTS_URL}/a1"

    new = made.body | {"spec": {"llmRef": {"name": "other"}}, "status": {"ready": True}}
    put = await http("PUT", url, new)
    assert (put.code, put.body["metadata"]["generation"]) == (200, 2)
    assert put.body["status"]["ready"] is False
    stale = await http("PUT", url, new)
    assert (stale.code, stale.body["reason"]) == (409, "Conflict")

    merge = {"content_type": "application/merge-patch+json"}
    same = await http("PATCH", url, {"metadata": {"labels": {"tier": "gold"}}}, **merge)
    assert same.body["metadata"]["resourceVersion"] == put.body["metadata"]["resourceVersion"]
    pinned = await http("PATCH", url, {"metadata": {"resourceVersion": "1"}, "spec": {"system": "x"}}, **merge)
    assert pinned.code == 409

    gone = await http("DELETE", url)
    assert gone.body["status"] == "Success"
    assert gone.body["details"] == {
        "name": "a1", "group": GROUP, "kind": "agents", "uid": made.body["metadata"]["uid"],
    }  # fmt: skip
    assert (await http("GET", url)).code == 404


async def test_patches_that_race_all_land(http: Client) -> None:
    await http("POST", AGENTS_URL, agent("a1"))
    patches = [
        http("PATCH", f"{AGENTS_URL}/a1", {"metadata": {"annotations": {f"n{i}": "x"}}},
             content_type="application/merge-patch+json")
        for i in range(4)
    ]  # fmt: skip
    assert [answer.code for answer in await asyncio.gather(*patches)] == [200] * 4
    held = (await http("GET", f"{AGENTS_URL}/a1")).body["metadata"]["annotations"]
    assert set(held) == {"n0", "n1", "n2", "n3"}


async def test_a_dry_run_answers_and_stores_nothing(running: World, http: Client) -> None:
    made = await http("POST", f"{AGENTS_URL}?dryRun=All", agent("a1"))
    assert made.code == 201
    assert made.body["metadata"]["uid"]
    assert (await http("POST", f"{AGENTS_URL}?dryRun=Some", agent("a1"))).code == 422
    assert (await running.api.list(AGENTS)).items == []


async def test_an_unknown_field_is_dropped_with_a_warning_or_refused(http: Client) -> None:
    sent = agent("a1")
    sent["spec"]["bogus"] = 1
    refused = await http("POST", f"{AGENTS_URL}?fieldValidation=Strict", sent)
    assert (refused.code, 'strict decoding error: unknown field "spec.bogus"' in refused.body["message"]) == (
        400,
        True,
    )
    made = await http("POST", AGENTS_URL, sent)
    assert made.headers["warning"] == '299 - "unknown field \\"spec.bogus\\""'
    assert "bogus" not in made.body["spec"]
    assert "warning" not in (await http("POST", f"{AGENTS_URL}?fieldValidation=Ignore", agent("a2"))).headers


async def test_apply_creates_and_then_merges(http: Client) -> None:
    url, media = f"{AGENTS_URL}/a1?fieldManager=me", {"content_type": "application/apply-patch+yaml"}
    assert (await http("PATCH", f"{AGENTS_URL}/a1", agent("a1"), **media)).code == 422
    made = await http("PATCH", url, agent("a1"), **media)
    assert made.code == 201
    again = await http("PATCH", url, agent("a1"), **media)
    assert (again.code, again.body["metadata"]["resourceVersion"]) == (
        200,
        made.body["metadata"]["resourceVersion"],
    )
    entry = again.body["metadata"]["managedFields"][0]
    assert (entry["manager"], entry["operation"]) == ("me", "Apply")


async def test_yaml_is_read_and_written(http: Client) -> None:
    text = f"apiVersion: {GROUP}/v1alpha1\nkind: Agent\nmetadata: {{name: a1}}\nspec: {{llmRef: {{name: x}}}}\n"
    made = await http("POST", AGENTS_URL, text, content_type="application/yaml")
    assert made.code == 201
    shown = await http("GET", f"{AGENTS_URL}/a1", accept="application/yaml")
    assert "kind: Agent" in shown.text


async def test_lists_come_in_pages_as_tables_and_as_metadata(http: Client) -> None:
    for name in ("c", "a", "b"):
        await http("POST", AGENTS_URL, agent(name))
    first = (await http("GET", f"{AGENTS_URL}?limit=2")).body
    assert ([i["metadata"]["name"] for i in first["items"]], first["metadata"]["remainingItemCount"]) == (
        ["a", "b"],
        1,
    )
    rest = (await http("GET", f"{AGENTS_URL}?limit=2&continue={first['metadata']['continue']}")).body
    assert [i["metadata"]["name"] for i in rest["items"]] == ["c"]
    assert (first["kind"], first["apiVersion"]) == ("AgentList", f"{GROUP}/v1alpha1")

    table = (await http("GET", AGENTS_URL, accept=TABLE)).body
    assert [c["name"] for c in table["columnDefinitions"]][:4] == ["Name", "LLM", "Ready", "Status"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    metadata = await http(
        "GET", AGENTS_URL, accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    )
    assert metadata.body["kind"] == "PartialObjectMetadataList"
    assert "spec" not in metadata.body["items"][0]

    assert (await http("GET", f"{AGENTS_URL}?fieldSelector=spec.x=1")).body["message"] == (
        "field label not supported: spec.x"
    )
    future = await http("GET", f"{AGENTS_URL}?resourceVersion=99999999")
    assert (future.code, future.body["details"]["retryAfterSeconds"]) == (504, 1)
    assert (await http("GET", f"{AGENTS_URL}?continue=garbage")).code == 400


async def test_a_collection_is_deleted_by_selector(http: Client) -> None:
    await http("POST", AGENTS_URL, agent("a", labels={"tier": "gold"}))
    await http("POST", AGENTS_URL, agent("b"))
    gone = await http("DELETE", f"{AGENTS_URL}?labelSelector=tier=gold")
    assert [item["metadata"]["name"] for item in gone.body["items"]] == ["a"]
    assert [i["metadata"]["name"] for i in (await http("GET", AGENTS_URL)).body["items"]] == ["b"]


async def test_a_watch_shows_the_present_and_then_every_change(http: Client) -> None:
    await http("POST", AGENTS_URL, agent("a1"))
    async with http.watch(f"{AGENTS_URL}?watch=1") as event:
        assert (await event())["type"] == "ADDED"
        await http(
            "PATCH", f"{AGENTS_URL}/a1", {"spec": {"system": "x"}}, content_type="application/merge-patch+json"
        )
        modified = await event()
        assert (modified["type"], modified["object"]["spec"]["system"]) == ("MODIFIED", "x")
        await http("DELETE", f"{AGENTS_URL}/a1")
        assert (await event())["type"] == "DELETED"


async def test_a_watch_resumes_after_the_version_it_names(http: Client) -> None:
    await http("POST", AGENTS_URL, agent("a1"))
    version = await version_of(http, "a1")
    await http("POST", AGENTS_URL, agent("a2"))
    await http("POST", AGENTS_URL, agent("b1", labels={"tier": "gold"}))
    events = await http.lines(f"{AGENTS_URL}?watch=1&resourceVersion={version}", 2)
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in events] == [("ADDED", "a2"), ("ADDED", "b1")]
    selected = await http.lines(f"{AGENTS_URL}?watch=1&resourceVersion={version}&labelSelector=tier=gold", 1)
    assert selected[0]["object"]["metadata"]["name"] == "b1"
    old = await http.lines(f"/apis/{GROUP}/v1alpha1/watch/namespaces/default/agents/a2", 1)
    assert old[0]["object"]["metadata"]["name"] == "a2"


async def test_a_watch_list_ends_its_first_part_with_a_bookmark(http: Client) -> None:
    await http("POST", AGENTS_URL, agent("a1"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    added, bookmark = await http.lines(f"{AGENTS_URL}?{query}", 2)
    assert added["type"] == "ADDED"
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert set(bookmark["object"]) == {"kind", "apiVersion", "metadata"}


async def test_a_watch_can_be_of_tables_and_of_metadata(http: Client) -> None:
    await http("POST", AGENTS_URL, agent("a1"))
    await http("POST", AGENTS_URL, agent("a2"))
    first, second = await http.lines(f"{AGENTS_URL}?watch=1", 2, accept=TABLE)
    assert first["object"]["kind"] == "Table"
    assert first["object"]["columnDefinitions"]
    assert second["object"]["rows"][0]["cells"][0] == "a2"
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    (only,) = await http.lines(f"{AGENTS_URL}?watch=1", 1, accept=accept)
    assert set(only["object"]) == {"kind", "apiVersion", "metadata"}


async def test_a_watch_ends_after_its_seconds(http: Client) -> None:
    async with asyncio.timeout(10):
        ended = await http("GET", f"{AGENTS_URL}?watch=1&timeoutSeconds=1")
    assert (ended.code, ended.text) == (200, "")


async def test_a_stopping_server_ends_its_watches_at_once(running: World) -> None:
    settings = ServerSettings(now, tokens={TOKEN: ADMIN})
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession() as session, asyncio.timeout(5):
        async with serve(running.api, settings) as second:
            watching = await session.get(f"{second.url}{AGENTS_URL}?watch=1", headers=headers)
        assert await watching.read() == b""


async def test_a_port_that_is_taken_is_a_matter_of_settings(running: World) -> None:
    settings = ServerSettings(now, port=running.server.port)
    with pytest.raises(SettingsError, match="cannot listen on"):
        async with serve(running.api, settings):
            pass


async def test_tls_files_that_cannot_be_used_are_a_matter_of_settings(running: World, tmp_path: Path) -> None:
    settings = ServerSettings(now, certificate=tmp_path / "none.crt", private_key=tmp_path / "none.key")
    with pytest.raises(SettingsError, match="cannot use the certificate"):
        async with serve(running.api, settings):
            pass


async def test_an_error_of_the_program_leaves_the_server_as_itself(running: World) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with serve(running.api, ServerSettings(now)):
            raise LookupError("mine")


async def test_events_are_the_same_objects_at_both_addresses(http: Client) -> None:
    event = {
        "metadata": {"name": "e1", "namespace": "default"},
        "involvedObject": {"kind": "TaskRun", "namespace": "default", "name": "r1"},
        "reason": "Started", "message": "it started", "type": "Normal",
        "source": {"component": "test"}, "firstTimestamp": "2026-01-01T00:00:00Z", "count": 1,
    }  # fmt: skip
    made = await http("POST", "/api/v1/namespaces/default/events", event)
    assert made.code == 201, made.text
    assert made.body["message"] == "it started"
    new = (await http("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e1")).body
    assert (new["note"], new["regarding"]["name"], new["apiVersion"]) == ("it started", "r1", "events.k8s.io/v1")
    for url in (
        "/api/v1/events?fieldSelector=involvedObject.name",
        "/apis/events.k8s.io/v1/events?fieldSelector=regarding.name",
    ):
        assert len((await http("GET", f"{url}=r1")).body["items"]) == 1
        assert (await http("GET", f"{url}=r2")).body["items"] == []
    patched = await http("PATCH", "/api/v1/namespaces/default/events/e1", {"count": 2},
                         content_type="application/merge-patch+json")  # fmt: skip
    assert (patched.code, patched.body["count"]) == (200, 2)


async def test_our_definitions_are_listed_and_cannot_be_changed(http: Client) -> None:
    url = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    names = [item["metadata"]["name"] for item in (await http("GET", url)).body["items"]]
    assert f"agents.{GROUP}" in names
    assert (await http("GET", f"{url}/agents.{GROUP}")).body["status"]["acceptedNames"]["kind"] == "Agent"
    assert (await http("DELETE", f"{url}/agents.{GROUP}")).code == 405
    assert len(await http.lines(f"{url}?watch=1", len(names))) == len(names)


async def test_a_bound_role_opens_exactly_what_it_names(http: Client) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    assert (await http("GET", AGENTS_URL, token=PLAIN_TOKEN)).code == 403
    role = {
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [GROUP], "resources": ["agents"], "verbs": ["list"]}],
    }
    assert (await http("POST", f"{rbac}/roles", role)).code == 201
    binding = {
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody"}],
    }
    made = await http("POST", f"{rbac}/rolebindings", binding)
    assert made.code == 201, made.text
    assert (await http("GET", AGENTS_URL, token=PLAIN_TOKEN)).code == 200
    assert (await http("GET", f"{AGENTS_URL}/a1", token=PLAIN_TOKEN)).code == 403
    assert (await http("GET", AGENTS_URL.replace("default", "other"), token=PLAIN_TOKEN)).code == 403
    assert (await http("GET", AGENTS_URL, impersonate_user="nobody")).code == 200
    assert (await http("GET", AGENTS_URL, token=PLAIN_TOKEN, impersonate_user="jane")).code == 403


async def test_who_may_list_one_name_may_do_so_by_selecting_it_and_no_more(http: Client) -> None:
    rbac, secrets = "/apis/rbac.authorization.k8s.io/v1/namespaces/default", "/api/v1/namespaces/default/secrets"
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"], "verbs": ["list", "watch"]}
    await http("POST", f"{rbac}/roles", {"metadata": {"name": "one"}, "rules": [rule]})
    binding = {
        "metadata": {"name": "one"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "one"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody"}],
    }
    await http("POST", f"{rbac}/rolebindings", binding)
    for name in ("one", "two"):
        await http("POST", secrets, {"metadata": {"name": name}})
    listed = await http("GET", f"{secrets}?fieldSelector=metadata.name=one", token=PLAIN_TOKEN)
    assert [item["metadata"]["name"] for item in listed.body["items"]] == ["one"]
    watched = await http(
        "GET", f"{secrets}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Done", token=PLAIN_TOKEN
    )
    assert watched.code == 200
    for query in ("", "?fieldSelector=metadata.name=two", "?fieldSelector=metadata.name!=two", "?fieldSelector=,"):
        assert (await http("GET", f"{secrets}{query}", token=PLAIN_TOKEN)).code == 403, query
    assert (await http("GET", f"{secrets}/one?fieldSelector=metadata.name=one", token=PLAIN_TOKEN)).code == 403


async def test_an_account_s_token_speaks_for_it_until_the_account_is_gone(http: Client) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await http("POST", accounts, {"metadata": {"name": "bot"}})
    issued = (await http("POST", f"{accounts}/bot/token", {"spec": {"expirationSeconds": 3600}})).body
    token = issued["status"]["token"]
    review = "/apis/authentication.k8s.io/v1"
    who = (await http("POST", f"{review}/selfsubjectreviews", {}, token=token)).body["status"]["userInfo"]
    assert who["username"] == "system:serviceaccount:default:bot"
    assert "system:serviceaccounts:default" in who["groups"]
    assert (await http("GET", AGENTS_URL, token=token)).code == 403
    checked = (await http("POST", f"{review}/tokenreviews", {"spec": {"token": token}})).body
    assert checked["status"]["authenticated"] is True
    assert token not in json.dumps(checked)
    await http("DELETE", f"{accounts}/bot")
    assert (await http("POST", f"{review}/selfsubjectreviews", {}, token=token)).code == 401


async def test_secrets_arrive_folded_and_are_listed_without_being_decoded(running: World, http: Client) -> None:
    url = "/api/v1/namespaces/default/secrets"
    made = await http("POST", url, {"metadata": {"name": "s"}, "stringData": {"k": "v"}})
    assert (made.body["data"], made.body.get("stringData")) == ({"k": "dg=="}, None)
    listed = await http("GET", url, accept=TABLE)
    assert "dg==" not in listed.text
    assert (await running.api.list(AGENTS, options=ListOptions(limit=1))).items == []


async def test_what_the_program_writes_itself_is_seen_by_clients(running: World, http: Client) -> None:
    written = AGENTS.decode(json.dumps(agent("a1", namespace="default")).encode())
    assert isinstance(written, Agent)
    await running.api.create(AGENTS, written)
    seen = (await http("GET", f"{AGENTS_URL}/a1")).body
    assert seen["spec"]["system"] == "You help."


async def test_small_answers_do_not_wait_for_the_network_to_acknowledge(http: Client) -> None:
    await http("POST", AGENTS_URL, agent("a1"))
    async with asyncio.timeout(1.0):  # 50 answers, each of which would wait 40 ms without TCP_NODELAY
        for _ in range(50):
            await http("GET", f"{AGENTS_URL}/a1")
