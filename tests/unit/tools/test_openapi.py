"""The tool kind `openapi`: documents become tools, arguments become requests, and what does not fit is said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web

from kubechain.agents.call.outcome import Done
from kubechain.agents.ports.tool import Described, ToolError, ToolRun
from kubechain.errors import Terminal
from kubechain.providers.tools.openapi import catalog
from kubechain.providers.tools.openapi.document import judged
from kubechain.providers.tools.openapi.operations import LeftOut, Operation, Place, operations
from kubechain.providers.tools.openapi.runner import OpenAPIRunner
from kubechain.resources.agent import ToolOrigin
from kubechain.resources.model import ObjectMeta
from kubechain.resources.tool import OfferedTool, Tool, ToolSpec
from kubechain.resources.toolcall import ToolCall, ToolCallSpec
from kubechain.resources.toolkind import CONFIG, CONFIG_VERSION
from tests.parts.shop import document
from tests.unit.web.site import Site, serving

pytestmark = pytest.mark.timeout(60)
SECRET = {"secretKeyRef": {"name": "s", "key": "k"}}
KEYS = {"key": SECRET, "query_key": SECRET, "token": SECRET}
VALUES = {
    "auth.key.value": "k-of-the-shop",
    "auth.query_key.value": "q-of-the-shop",
    "auth.token.value": "t-of-it",
}


@pytest.fixture
async def runner() -> AsyncIterator[OpenAPIRunner]:
    made = OpenAPIRunner()
    yield made
    await made.close()


def tool_of(*, auth: Any = KEYS, **spec: Any) -> Tool:
    source = {"configMapKeyRef": {"name": "c", "key": "openapi.json"}}
    given = {"openapi": {"documentFrom": source, "allowPrivate": True, "auth": auth, **spec}}
    parsed = msgspec.json.decode(json.dumps(given), type=ToolSpec)
    return Tool(metadata=ObjectMeta(name="shop", namespace="default"), spec=parsed)


def env_of(made: Any, **values: str) -> dict[str, str]:
    text = made if isinstance(made, str) else json.dumps(made)
    return {CONFIG: text, CONFIG_VERSION: str(hash(text)), **values}


async def described(runner: OpenAPIRunner, tool: Tool, env: dict[str, str]) -> Described:
    """What the runner says, put into the Tool's status as the controller does."""
    found = await runner.describe(tool, env)
    tool.status.tools = [
        OfferedTool(name=t.name, description=t.description, input_schema=t.parameters, effect=t.effect)
        for t in found.tools
    ]
    return found


async def call(runner: OpenAPIRunner, tool: Tool, env: dict[str, str], name: str, arguments: Any) -> str:
    spec = ToolCallSpec(
        tool_call_id="1",
        task_run="r",
        tool=name,
        arguments=json.dumps(arguments),
        origin=ToolOrigin(kind="Tool", name="shop", tool=name),
    )
    made = ToolCall(metadata=ObjectMeta(name="c", namespace="default", uid="uid-of-the-call"), spec=spec)
    done = await runner.start(ToolRun(made, tool, 10.0, env))
    assert isinstance(done, Done)
    return done.text


async def echo(request: web.Request) -> web.Response:
    return web.Response(text=f"{request.method} {request.raw_path}")


async def sent(runner: OpenAPIRunner, name: str, arguments: Any) -> tuple[str, Site]:
    """Method and path that a call of an operation of the shop leads to."""
    async with serving(echo) as site:
        tool, env = tool_of(), env_of(document(site.port), **VALUES)
        await described(runner, tool, env)
        return await call(runner, tool, env, name, arguments), site


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
async def test_every_operation_of_a_document_is_a_tool(runner: OpenAPIRunner, version: str) -> None:
    found = await described(runner, tool_of(), env_of(document(1, version), **VALUES))
    names = [tool.name for tool in found.tools]
    assert (len(names), names[:2], "get_reports_year" in names) == (49, ["listProducts", "createProduct"], True)
    assert found.detail == (
        "Shop: 49 operations. 1 left out: uploadPicture (it takes a file upload (multipart/form-data), which "
        "tools cannot send). 1 need credentials: set spec.openapi.auth.machine"
    )
    effects = {tool.name: tool.effect for tool in found.tools}
    assert (effects["listOrders"], effects["createOrder"]) == ("ReadOnly", "NonIdempotent")
    assert (effects["replaceOrder"], effects["deleteOrder"]) == ("Idempotent", "Idempotent")


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_schemas_are_json_schema_whatever_the_version(version: str) -> None:
    made = judged(json.dumps(document(1, version)))
    create = next(o for o in operations(made, Place()) if o.name == "createProduct")
    assert isinstance(create, Operation)
    schema = json.loads(bytes(create.parameters))
    product = schema["$defs"]["Product"]
    assert schema["properties"] == {"body": {"$ref": "#/$defs/Product"}}
    assert product["required"] == ["name"], "the server makes the id"
    assert "id" not in product["properties"]
    assert product["properties"]["note"] == {"type": ["string", "null"]}
    assert product["properties"]["parts"]["items"] == {"$ref": "#/$defs/Product"}
    if version == "3.0.3":
        assert product["properties"]["price"] == {"type": "number", "exclusiveMinimum": 0}


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("listProducts", {"limit": 5, "tag": ["a b", "c&d"]}, "GET /products?limit=5&tag=a%20b&tag=c%26d"),
        ("getProduct", {"id": "a/b"}, "GET /products/a%2Fb"),
        ("deleteOrder", {"id": "7"}, "DELETE /orders/7"),
        ("search", {"ids": [1, 2], "sizes": [3, 4]}, "GET /search?ids=1,2&sizes=3%7C4&api_key=[redacted]"),
        (
            "search",
            {"price": {"from": 1, "to": 2.5}},
            "GET /search?price[from]=1&price[to]=2.5&api_key=[redacted]",
        ),
        ("get_reports_year", {"year": 2026}, "GET /reports/2026"),
    ],
)
async def test_arguments_stand_where_the_document_says(
    runner: OpenAPIRunner, name: str, arguments: Any, expected: str
) -> None:
    assert (await sent(runner, name, arguments))[0] == expected


async def test_bodies_headers_and_credentials_are_sent_as_the_document_says(runner: OpenAPIRunner) -> None:
    _, site = await sent(runner, "createProduct", {"body": {"name": "x", "note": None}})
    assert site.bodies == [b'{"name": "x", "note": null}']
    assert site.seen[0].headers["content-type"] == "application/json"
    assert site.seen[0].headers["x-api-key"] == "k-of-the-shop"
    assert site.seen[0].headers["idempotency-key"] == "uid-of-the-call"
    _, site = await sent(runner, "contact", {"body": {"text": "good day", "from": "me"}})
    assert site.bodies == [b"text=good+day&from=me"]
    assert site.seen[0].headers["authorization"] == "Bearer t-of-it"
    _, site = await sent(runner, "search", {"X-Trace": "abc"})
    assert site.seen[0].headers["x-trace"] == "abc"
    _, site = await sent(runner, "health", {})
    assert "x-api-key" not in site.seen[0].headers


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("getProduct", {"id": ".."}, 'cannot be "." or ".."'),
        ("getProduct", {}, '"id" is part of the address'),
        ("search", {"X-Trace": "a\r\nX-Api-Key: mine"}, "cannot be sent in a header"),
        ("uploadPicture", {"id": "1"}, "no operation uploadPicture"),
    ],
)
async def test_arguments_that_cannot_be_sent_are_explained_to_the_model(
    runner: OpenAPIRunner, name: str, arguments: Any, said: str
) -> None:
    with pytest.raises(ToolError, match=said):
        await sent(runner, name, arguments)


async def test_include_and_exclude_choose_operations_and_exclude_wins(runner: OpenAPIRunner) -> None:
    tool = tool_of(include=["*Order", "*Orders", "health"], exclude=["delete*"])
    found = await described(runner, tool, env_of(document(1), **VALUES))
    names = [t.name for t in found.tools]
    assert names == ["listOrders", "createOrder", "getOrder", "replaceOrder", "health"]


async def test_a_token_by_client_credentials_is_asked_for_with_the_scopes_of_the_operation(
    runner: OpenAPIRunner,
) -> None:
    async def shop(request: web.Request) -> web.Response:
        if request.path == "/token":
            return web.json_response({"access_token": "issued-token", "expires_in": 60})
        return web.Response(text=request.headers.get("authorization", ""))

    async with serving(shop) as site:
        client = {"oauth2ClientCredentials": {"clientIDFrom": SECRET, "clientSecretFrom": SECRET}}
        tool = tool_of(auth={"machine": client}, include=["get_reports_year"])
        env = env_of(
            document(site.port), **{"auth.machine.clientID": "c", "auth.machine.clientSecret": "hush-hush"}
        )
        await described(runner, tool, env)
        await call(runner, tool, env, "get_reports_year", {"year": 1})
    assert site.bodies[0] == b"grant_type=client_credentials&scope=reports"
    assert site.seen[1].headers["authorization"] == "Bearer issued-token"


def _changed(**changes: Any) -> str:
    return json.dumps({**document(1), **changes})


@pytest.mark.parametrize(
    ("text", "reason", "said"),
    [
        ("{", "DocumentInvalid", "neither JSON nor YAML"),
        ("- a", "DocumentInvalid", "neither a JSON nor a YAML object"),
        ('{"swagger": "2.0"}', "DocumentInvalid", r"Swagger 2\.0; convert it"),
        (_changed(openapi="4.0.0"), "DocumentInvalid", r"3\.0 and 3\.1 can be read"),
        (_changed(info={"title": "x"}), "DocumentInvalid", 'at info: "version" is a required property$'),
        (
            _changed(paths={"/a": {"$ref": "https://evil.test/a.json"}}),
            "DocumentInvalid",
            "refers to another document .* bundle both",
        ),
        (
            _changed(paths={"/a": {"$ref": "#/components/pathItems/none"}}),
            "DocumentInvalid",
            r"#/components/pathItems/none leads to nothing",
        ),
        (_changed(servers=[{"url": "/v1"}]), "ServerUnknown", r"set spec\.openapi\.server"),
        (_changed(paths={}), "NoOperations", "has no operation"),
    ],
)
async def test_a_document_that_cannot_be_used_is_refused_with_a_sentence(
    runner: OpenAPIRunner, text: str, reason: str, said: str
) -> None:
    with pytest.raises(Terminal, match=said) as error:
        await runner.describe(tool_of(), env_of(text, **VALUES))
    assert error.value.reason == reason


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        ({"other": SECRET}, r"no security scheme of that name \(it has key, query_key"),
        ({"people": SECRET}, "the scheme is basic; set basic"),
        ({"key": {"basic": {"usernameFrom": SECRET, "passwordFrom": SECRET}}}, "the scheme is apiKey"),
        (
            {"token": {"oauth2ClientCredentials": {"clientIDFrom": SECRET, "clientSecretFrom": SECRET}}},
            "set tokenURL",
        ),
    ],
)
async def test_credentials_that_do_not_fit_their_scheme_are_refused(
    runner: OpenAPIRunner, auth: Any, said: str
) -> None:
    with pytest.raises(Terminal, match=said) as error:
        await runner.describe(tool_of(auth=auth), env_of(document(1)))
    assert error.value.reason == "UnfitCredentials"


async def test_a_private_server_is_refused_unless_the_manifest_allows_it(runner: OpenAPIRunner) -> None:
    with pytest.raises(Terminal, match=r"spec\.openapi\.allowPrivate: true") as error:
        await runner.describe(tool_of(allowPrivate=False), env_of(document(1), **VALUES))
    assert error.value.reason == "AddressRefused"


async def test_a_document_from_an_address_is_fetched_once_and_checked_with_its_tag(runner: OpenAPIRunner) -> None:
    async def shop(request: web.Request) -> web.Response:
        made = {**document(1), "servers": [{"url": "api/v2"}]}
        return web.json_response(made) if request.path == "/docs/openapi.json" else web.Response(text=request.path)

    async with serving(shop) as site:
        tool = tool_of(documentFrom={"url": f"{site.url}/docs/openapi.json"})
        await described(runner, tool, dict(VALUES))
        assert await call(runner, tool, dict(VALUES), "getOrder", {"id": "1"}) == "/docs/api/v2/orders/1"
        await call(runner, tool, dict(VALUES), "getOrder", {"id": "2"})
        assert [r.path for r in site.seen].count("/docs/openapi.json") == 1
        await runner.forget(tool)
        await described(runner, tool, dict(VALUES))
        assert [r.path for r in site.seen].count("/docs/openapi.json") == 2


async def test_another_address_of_the_document_is_read_at_once(runner: OpenAPIRunner) -> None:
    async def shop(request: web.Request) -> web.Response:
        return web.json_response({**document(1), "info": {"title": request.path, "version": "1"}})

    async with serving(shop) as site:
        for path in ("/a", "/b"):
            found = await described(runner, tool_of(documentFrom={"url": site.url + path}), dict(VALUES))
            assert found.detail.startswith(f"{path}: 49 operations")


async def test_a_document_from_an_address_is_read_again_at_a_known_time(
    runner: OpenAPIRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server then answers that it has not changed; and when it fails, what was read before stays in use."""
    told, answers = asyncio.Event(), [200, 304, 500]

    async def shop(request: web.Request) -> web.Response:
        status = answers.pop(0)
        seen.append(request.headers.get("if-none-match"))
        body = json.dumps(document(1)) if status == 200 else ""
        return web.Response(status=status, text=body, headers={"etag": '"one"'})

    seen: list[str | None] = []
    monkeypatch.setattr(catalog, "REFRESH", 0.05)
    runner.on_change(lambda owner: told.set() if owner == "default/shop" else None)
    async with serving(shop) as site, asyncio.timeout(20):
        tool = tool_of(documentFrom={"url": site.url})
        while answers:
            assert len((await described(runner, tool, dict(VALUES))).tools) == 49
            await told.wait()
            told.clear()
    assert seen == [None, '"one"', '"one"']


async def test_the_server_of_the_manifest_takes_the_place_of_the_documents(runner: OpenAPIRunner) -> None:
    async with serving(echo) as site:
        tool = tool_of(server=f"http://{{host}}:{site.port}/base/")
        env = env_of(document(1), **VALUES)
        await described(runner, tool, env)
        assert await call(runner, tool, env, "getOrder", {"id": "1"}) == "GET /base/orders/1"


def test_an_operation_that_takes_a_file_is_left_out_with_a_sentence() -> None:
    made = judged(json.dumps(document(1)))
    left = [one for one in operations(made, Place()) if isinstance(one, LeftOut)]
    assert [one.name for one in left] == ["uploadPicture"]
    assert "which tools cannot send" in left[0].why
