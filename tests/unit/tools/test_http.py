"""The tool kind `http`: what is sent for the arguments of a call, and what its model is told of the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web

from kubechain.agents.call.outcome import Done, Parked
from kubechain.agents.ports.tool import ToolError, ToolRun, nature_of
from kubechain.errors import Terminal, Transient
from kubechain.providers.tools.http.runner import HTTPRunner
from kubechain.resources.agent import ToolOrigin
from kubechain.resources.model import ObjectMeta
from kubechain.resources.tool import Tool, ToolSpec
from kubechain.resources.toolcall import ToolCall, ToolCallSpec
from tests.unit.web.site import Handler, Site, saying, serving

pytestmark = pytest.mark.timeout(30)
KEY = "0b6d6a4c-uid-of-the-call"
SECRET = {"secretKeyRef": {"name": "s", "key": "k"}}


@pytest.fixture
async def runner() -> AsyncIterator[HTTPRunner]:
    made = HTTPRunner()
    yield made
    await made.close()


def tool_of(spec: dict[str, Any], **more: Any) -> Tool:
    """A Tool from a manifest's `spec.http` and other fields of its spec."""
    given = {"http": {"method": "GET", "allowPrivate": True, **spec}, **more}
    return Tool(metadata=ObjectMeta(name="t", namespace="default"), spec=spec_of(given))


def spec_of(given: dict[str, Any]) -> ToolSpec:
    return msgspec.json.decode(json.dumps(given), type=ToolSpec)


def run_of(tool: Tool, arguments: str = "{}", **env: str) -> ToolRun:
    spec = ToolCallSpec(
        tool_call_id="1", task_run="r", tool="t", arguments=arguments, origin=ToolOrigin(kind="Tool", name="t")
    )
    call = ToolCall(metadata=ObjectMeta(name="c", namespace="default", uid=KEY), spec=spec)
    return ToolRun(call, tool, 10.0, {name.replace("__", "."): value for name, value in env.items()})


async def text(runner: HTTPRunner, run: ToolRun) -> str:
    done: Done | Parked = await runner.start(run)
    assert isinstance(done, Done)
    return done.text


async def echo(request: web.Request) -> web.Response:
    """What was asked, as the server reads it."""
    told = {
        "method": request.method,
        "path": request.raw_path.partition("?")[0],
        "query": [list(pair) for pair in request.query.items()],
        "body": (await request.read()).decode(),
        "type": request.headers.get("content-type"),
        "key": request.headers.get("idempotency-key"),
        "authorization": request.headers.get("authorization"),
        "team": request.headers.get("x-team"),
    }
    return web.json_response(told)


async def told(runner: HTTPRunner, site: Site, spec: dict[str, Any], arguments: Any, **env: str) -> Any:
    given = {**spec, "url": site.url + spec.get("url", "")}
    return json.loads(await text(runner, run_of(tool_of(given), json.dumps(arguments), **env)))


async def test_arguments_of_a_get_go_into_path_and_query_percent_encoded(runner: HTTPRunner) -> None:
    async with serving(echo) as site:
        asked = {"id": "a/b ?&=é", "q": "x&y=z", "tags": ["a", "b"], "flag": True, "n": 1.5, "none": None}
        found = await told(runner, site, {"url": "/items/{id}?v=1"}, asked)
    assert found["path"] == "/items/a%2Fb%20%3F%26%3D%C3%A9"
    assert found["query"] == [
        ["v", "1"], ["q", "x&y=z"], ["tags", "a"], ["tags", "b"], ["flag", "true"], ["n", "1.5"],
    ]  # fmt: skip
    assert (found["body"], found["key"]) == ("", None)


async def test_arguments_of_a_post_go_into_a_json_body_as_the_model_wrote_them(runner: HTTPRunner) -> None:
    async with serving(echo) as site:
        asked = {"id": 7, "dry": True, "amount": 12345678901234567890, "of": {"a": [None]}}
        found = await told(runner, site, {"method": "POST", "url": "/pay/{id}", "query": ["dry"]}, asked)
    assert (found["path"], found["query"]) == ("/pay/7", [["dry", "true"]])
    assert json.loads(found["body"]) == {"amount": 12345678901234567890, "of": {"a": [None]}}
    assert (found["type"], found["key"]) == ("application/json", KEY)


async def test_a_form_is_encoded_as_a_browser_does_and_a_delete_may_have_a_body(runner: HTTPRunner) -> None:
    async with serving(echo) as site:
        form = await told(runner, site, {"method": "POST", "encoding": "Form"}, {"a": "x y", "b": [1, 2]})
        gone = await told(runner, site, {"method": "DELETE", "body": ["why"]}, {"why": "old", "force": True})
    assert (form["type"], form["body"]) == ("application/x-www-form-urlencoded", "a=x+y&b=1&b=2")
    assert (gone["body"], gone["query"], gone["key"]) == ('{"why":"old"}', [["force", "true"]], KEY)


@pytest.mark.parametrize("value", ["..", ".", "", None, []])
async def test_an_argument_cannot_change_the_path_around_it(runner: HTTPRunner, value: Any) -> None:
    async with serving(echo) as site:
        with pytest.raises(ToolError, match="argument"):
            await told(runner, site, {"url": "/items/{id}/delete"}, {"id": value})
        assert site.seen == []


async def test_headers_and_credentials_come_from_secrets(runner: HTTPRunner) -> None:
    headers = [{"name": "X-Team", "valueFrom": SECRET}]
    async with serving(echo) as site:
        env = {"headers[0]": "blue-team", "auth.bearer": "t0ken-of-the-tool\n"}
        found = await told(runner, site, {"headers": headers, "auth": {"bearer": SECRET}}, {}, **env)
    assert found["team"] == "[redacted]"
    assert site.seen[0].headers["x-team"] == "blue-team"
    assert site.seen[0].headers["authorization"] == "Bearer t0ken-of-the-tool"
    assert found["authorization"] == "Bearer [redacted]"


async def test_a_refused_token_is_renewed_once_and_the_request_repeated(runner: HTTPRunner) -> None:
    issued: list[str] = []

    async def issue(_: web.Request) -> web.Response:
        issued.append(f"token-{len(issued) + 1}")
        return web.json_response({"access_token": issued[-1], "expires_in": 3600})

    async def only_the_second(request: web.Request) -> web.Response:
        good = request.headers["authorization"] == "Bearer token-2"
        return web.Response(text="done" if good else "expired", status=200 if good else 401)

    async with serving(issue) as tokens, serving(only_the_second) as site:
        oauth = {"tokenURL": tokens.url, "clientIDFrom": SECRET, "clientSecretFrom": SECRET}
        tool = tool_of({"method": "POST", "url": site.url, "auth": {"oauth2ClientCredentials": oauth}})
        env = {"auth.clientID": "client", "auth.clientSecret": "s3cr3t-s3cr3t"}
        assert await text(runner, run_of(tool, **env)) == "done"
        assert await text(runner, run_of(tool, **env)) == "done"
    assert (len(issued), len(site.seen)) == (2, 3)


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        (".items[0].name", "one"),
        ("$.items[*].name", '["one","two"]'),
        ("{.total}", "2"),
        (".items[1]", '{"name":"two"}'),
    ],
)
async def test_select_takes_a_part_of_a_json_answer(runner: HTTPRunner, select: str, expected: str) -> None:
    answer = saying('{"total": 2, "items": [{"name": "one"}, {"name": "two"}]}', content_type="application/json")
    async with serving(answer) as site:
        assert await text(runner, run_of(tool_of({"url": site.url, "select": select}))) == expected
        with pytest.raises(ToolError, match=r"nothing at \.other; it has total, items"):
            await text(runner, run_of(tool_of({"url": site.url, "select": ".other"})))


async def test_a_binary_answer_is_kept_as_a_file_and_an_empty_one_is_named(runner: HTTPRunner) -> None:
    async def picture(request: web.Request) -> web.Response:
        if request.path == "/none":
            return web.Response(status=204)
        return web.Response(body=b"\x89PNG\xff", content_type="image/png")

    async with serving(picture) as site:
        done = await runner.start(run_of(tool_of({"url": f"{site.url}/chart.png"})))
        assert isinstance(done, Done)
        (kept,) = done.artifacts
        assert (done.text, kept.content, kept.media_type, kept.name) == (
            "",
            b"\x89PNG\xff",
            "image/png",
            "chart.png",
        )
        assert "204 No Content" in await text(runner, run_of(tool_of({"url": f"{site.url}/none"})))


@pytest.mark.parametrize(
    ("answer", "trouble", "wait", "said"),
    [
        (saying("no such item", 404), None, None, "answered 404 Not Found: no such item"),
        (saying('{"detail": "n must be positive"}', 422), None, None, "422 .*n must be positive"),
        (saying("", 401), None, None, "the credentials of this tool were refused"),
        (saying("slow down", 429, retry_after="7"), "RateLimited", 7.0, "429 Too Many Requests: slow down"),
        (saying("", 503, retry_after="Thu, 01 Jan 2026 00:00:00 GMT"), "ServerError", 0.0, "503"),
        (saying("x" * 10_000, 500), "ServerError", None, r"xxx \[cut\]$"),
        (saying("", 408), "Timeout", None, "408"),
    ],
)
async def test_a_failure_reaches_the_model_with_its_body_and_says_whether_it_may_pass(
    runner: HTTPRunner, answer: Handler, trouble: str | None, wait: float | None, said: str
) -> None:
    async with serving(answer) as site:
        with pytest.raises(ToolError, match=said) as error:
            await text(runner, run_of(tool_of({"url": f"{site.url}/x?key=hidden"})))
    assert (error.value.trouble, error.value.retry_after) == (trouble, wait)
    assert "hidden" not in str(error.value)


async def test_a_secret_is_cut_out_of_answers_and_errors_in_every_form(runner: HTTPRunner) -> None:
    auth = {"basic": {"usernameFrom": SECRET, "passwordFrom": SECRET}}
    env = {"auth.username": "alice-the-admin", "auth.password": "pa55word/9"}

    async def mirror(request: web.Request) -> web.Response:
        said = f"{request.headers['authorization']} pa55word/9 pa55word%2F9"
        return web.Response(text=said, status=400 if request.path == "/bad" else 200)

    async with serving(mirror) as site:
        assert await text(runner, run_of(tool_of({"url": site.url, "auth": auth}), **env)) == (
            "Basic [redacted] [redacted] [redacted]"
        )
        with pytest.raises(ToolError, match=r"Basic \[redacted\] \[redacted\] \[redacted\]"):
            await text(runner, run_of(tool_of({"url": f"{site.url}/bad", "auth": auth}), **env))


async def test_a_broken_connection_is_an_unknown_outcome_for_a_post_and_a_failure_for_a_get(
    runner: HTTPRunner,
) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with serving(hang_up) as site:
        with pytest.raises(Transient) as unknown:
            await text(runner, run_of(tool_of({"method": "POST", "url": site.url})))
        with pytest.raises(ToolError) as known:
            await text(runner, run_of(tool_of({"url": site.url})))
    assert (unknown.value.reason, known.value.trouble) == ("Interrupted", "Transient")
    with pytest.raises(ToolError, match="connection refused") as nothing_sent:
        await text(runner, run_of(tool_of({"method": "POST", "url": site.url})))
    assert nothing_sent.value.trouble == "Transient"


async def test_a_call_that_is_cancelled_closes_its_request(runner: HTTPRunner) -> None:
    there, gone = asyncio.Event(), asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        there.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            gone.set()
        raise AssertionError

    async with serving(hang) as site, asyncio.timeout(10):
        call = asyncio.create_task(text(runner, run_of(tool_of({"url": site.url}))))
        await there.wait()
        call.cancel()
        await gone.wait()


async def test_what_is_wrong_with_a_tool_is_said_before_it_is_called(runner: HTTPRunner) -> None:
    wrong: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"url": "http://127.0.0.1/x", "allowPrivate": False}, {}, "AddressRefused"),
        ({"url": "http://example.com/{a}}"}, {}, "InvalidURL"),
        ({"url": "http://example.com:99999/"}, {}, "InvalidURL"),
        ({"url": "http://127.0.0.1/", "select": ".a[?"}, {}, "InvalidSelect"),
        ({"url": "http://127.0.0.1/{city}"}, {"parameters": {"properties": {}}}, "InvalidURL"),
        ({"url": "http://127.0.0.1/", "headers": [{"name": "Host", "value": "x"}]}, {}, "InvalidHeader"),
    ]
    for spec, more, reason in wrong:
        with pytest.raises(Terminal) as error:
            await runner.describe(tool_of(spec, **more), {"headers[0]": "x"})
        assert error.value.reason == reason


async def test_a_tool_describes_the_arguments_that_its_manifest_names(runner: HTTPRunner) -> None:
    tool = tool_of({"method": "PUT", "url": "http://127.0.0.1/{city}", "query": ["days"], "body": ["note"]})
    described = await runner.describe(tool, {})
    assert json.loads(bytes(described.tools[0].parameters)) == {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {}, "note": {}},
        "required": ["city"],
    }
    effects = {method: nature_of(tool_of({"method": method, "url": "http://x"})).effect for method in METHODS}
    assert effects == METHODS


METHODS = {
    "GET": "ReadOnly",
    "HEAD": "ReadOnly",
    "PUT": "Idempotent",
    "DELETE": "Idempotent",
    "POST": "NonIdempotent",
    "PATCH": "NonIdempotent",
}
