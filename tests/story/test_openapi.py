"""An OpenAPI document of 50 operations against a server of others, and Tools over HTTP in whole runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from kubechain.agents.ports.tool import ToolError
from kubechain.providers.tools.openapi.runner import OpenAPIRunner
from kubechain.resources.toolcall import TOOL_CALLS
from tests.parts.prism import Prism
from tests.parts.shop import document
from tests.story import manifests
from tests.story.asked import none_left
from tests.story.program import Story, conversation
from tests.unit.tools.test_openapi import VALUES, call, described, env_of, tool_of
from tests.unit.web.site import serving

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def runner() -> AsyncIterator[OpenAPIRunner]:
    made = OpenAPIRunner()
    yield made
    await made.close()


CALLS: tuple[tuple[str, Any], ...] = (
    ("listProducts", {"limit": 3, "tag": ["a", "b c"]}),
    ("getOrder", {"id": "17"}),
    ("createCustomer", {"body": {"name": "Ada", "price": 1, "note": None}}),
    ("replaceInvoice", {"id": "1", "body": {"name": "x"}}),
    ("deleteCoupon", {"id": "1"}),
    ("search", {"ids": [1, 2], "sizes": [3], "price": {"from": 1}, "X-Trace": "t"}),
    ("contact", {"body": {"text": "good day"}}),
    ("health", {}),
)
REFUSED: tuple[tuple[str, Any, Any, str], ...] = (
    (
        "listProducts",
        {},
        {"auth": {}},
        r"401 Unauthorized \(the credentials of this tool were refused\): .*security",
    ),
    ("contact", {"body": {"from": "me"}}, {}, "422 .*must have required property 'text'"),
    ("listProducts", {"limit": 0}, {}, r"422 .*limit.* must be >= 1"),
    ("listProducts", {}, {"server": "/nowhere"}, "404 Not Found: .*hasn't been found"),
)


async def test_operations_are_called_as_the_document_says(runner: OpenAPIRunner) -> None:
    """Prism knows the server's address from its port alone: ours comes from the variables of the document."""
    async with Prism(document) as prism:
        tool, env = tool_of(), env_of(prism.document, **VALUES)
        found = await described(runner, tool, env)
        assert len(found.tools) == 49
        assert "uploadPicture (it takes a file upload" in found.detail
        for name, arguments in CALLS:
            assert await call(runner, tool, env, name, arguments)


async def test_what_the_server_refuses_is_explained_to_the_model(runner: OpenAPIRunner) -> None:
    async with Prism(document) as prism:
        env = env_of(prism.document, **VALUES)
        for name, arguments, more, said in REFUSED:
            tool = tool_of(**({"server": prism.url + more["server"]} if "server" in more else more))
            await described(runner, tool, env)
            with pytest.raises(ToolError, match=said) as error:
                await call(runner, tool, env, name, arguments)
            assert error.value.trouble is None


SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: shop}
stringData: {key: k-of-the-shop}
"""


def config_map(text: str) -> str:
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shop"}, "data": {"openapi.json": text}}
    return json.dumps(made)


def shop(more: str = "") -> str:
    return f"""
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: Tool
metadata: {{name: shop}}
spec:
  openapi:
    documentFrom: {{configMapKeyRef: {{name: shop, key: openapi.json}}}}
    auth: {{key: {{secretKeyRef: {{name: shop, key: key}}}}}}
    include: [getProduct, listProducts]
    allowPrivate: true
    {more}
"""


async def asked(running: Story, tool: str, message: str) -> None:
    await running.apply(
        manifests.SECRET,
        manifests.walkthrough()["llm"],
        manifests.agent("helper", "gpt-4o", f"[{{name: {tool}}}]"),
        manifests.task("ask", "helper", message),
        manifests.run("ask-run", "ask"),
    )


async def test_an_agent_gets_the_operations_of_a_document_and_calls_one(running: Story) -> None:
    """Everything arrives in the wrong order: the Tool waits for its ConfigMap and for its Secret."""
    async with serving(_product) as site:
        await running.apply(shop())
        wait = ("wait", "tool/shop", "--timeout=20s")
        await running.ok(*wait, "--for=jsonpath={.status.conditions[0].reason}=SecretNotFound")
        await running.apply(SECRET)
        await running.ok(*wait, "--for=jsonpath={.status.conditions[0].reason}=ConfigMapNotFound")
        await running.apply(config_map(json.dumps(document(site.port))))
        await running.ok(*wait, "--for=condition=Ready")
        await asked(running, "shop", "Say 7 using the getProduct tool")
        run = await running.finished("ask-run")
        assert "shop" not in (run.status.output or "")
        assert ("tool", '{"name": "product 7", "key": "[redacted]"}') in conversation(run)
        names = await running.ok("get", "agent", "helper", "-o", "jsonpath={.status.tools[*].name}")
        assert names.split()[:2] == ["listProducts", "getProduct"]
        changed = document(site.port)
        del changed["paths"]["/products"]
        await running.apply(config_map(json.dumps(changed)))
        await running.ok(
            "wait", "agent/helper", "--for=jsonpath={.status.tools[0].name}=getProduct", "--timeout=20s"
        )


async def _product(request: web.Request) -> web.Response:
    said = {"name": f"product {request.path.rpartition('/')[2]}", "key": request.headers.get("x-api-key")}
    return web.json_response(said)


def weather(url: str, more: str = "allowPrivate: true") -> str:
    return f"""
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: Tool
metadata: {{name: weather}}
spec:
  description: Tells the weather of a city.
  http:
    method: GET
    url: {url}/weather/{{city}}
    select: .now
    headers: [{{name: X-Key, valueFrom: {{secretKeyRef: {{name: shop, key: key}}}}}}]
    {more}
"""


async def test_a_tool_is_a_request_its_answer_is_the_result_and_a_private_address_needs_leave(
    running: Story,
) -> None:
    async def sunny(request: web.Request) -> web.Response:
        assert request.headers["x-key"] == "k-of-the-shop"
        return web.json_response({"now": f"sun in {request.path.rpartition('/')[2]}", "later": "rain"})

    async with serving(sunny) as site:
        await running.apply(SECRET, weather(site.url, "allowPrivate: false"))
        wait = ("wait", "tool/weather", "--timeout=20s")
        await running.ok(*wait, "--for=jsonpath={.status.conditions[0].reason}=AddressRefused")
        detail = await running.ok("get", "tool", "weather", "-o", "jsonpath={.status.statusDetail}")
        assert detail == (
            "127.0.0.1 is a loopback address, which tools may not call; set spec.http.allowPrivate: true if this "
            "is meant"
        )
        assert site.seen == []
        await running.apply(weather(site.url))
        await running.ok(*wait, "--for=condition=Ready")
        await asked(running, "weather", "Say Oslo using the weather tool")
        assert ("tool", "sun in Oslo") in conversation(await running.finished("ask-run"))


async def test_a_server_that_is_busy_is_asked_again_as_the_manifest_says(running: Story) -> None:
    answers = [(503, "busy"), (429, "slow down"), (200, '{"now": "fog"}')]

    async def busy(_: web.Request) -> web.Response:
        status, text = answers.pop(0)
        return web.Response(status=status, text=text, headers={"retry-after": "0"})

    async with serving(busy) as site:
        more = "allowPrivate: true\n  effect: ReadOnly\n  retries: {max: 3, backoff: 10ms}"
        await running.apply(SECRET, weather(site.url, more))
        await asked(running, "weather", "Say Oslo using the weather tool")
        assert ("tool", "fog") in conversation(await running.finished("ask-run"))
    assert (len(site.seen), answers) == (3, [])


async def test_deleting_a_run_closes_the_request_of_its_tool(running: Story) -> None:
    there, gone = asyncio.Event(), asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        there.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            gone.set()
        raise AssertionError

    async with serving(hang) as site, asyncio.timeout(40):
        await running.apply(SECRET, weather(site.url))
        await asked(running, "weather", "Say Oslo using the weather tool")
        await there.wait()
        await running.ok("delete", "taskrun", "ask-run", "--wait=false")
        await gone.wait()
        await none_left(running.program.api, TOOL_CALLS, running.namespace)
