"""A run that uses an MCP server with a token by OAuth client credentials, on both engines."""

from __future__ import annotations

from base64 import b64decode, b64encode
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from kubechain.resources.toolcall import TOOL_CALLS
from tests.story import manifests
from tests.story.conftest import Begin
from tests.story.program import conversation
from tests.unit.tools.far import Far, Message, text
from tests.unit.web.site import serving

ID, SECRET = "kubechain-client", "s3cret-of-the-client"
TOKENS = ["token-that-is-revoked", "token-that-holds"]


def far(url: str, token_url: str) -> str:
    return f"""
apiVersion: v1
kind: Secret
metadata: {{name: oauth}}
stringData: {{id: {ID}, secret: {SECRET}}}
---
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: MCPServer
metadata: {{name: far}}
spec:
  transport: http
  url: {url}
  allowPrivate: true
  auth:
    oauth2ClientCredentials:
      tokenURL: {token_url}/token
      clientIDFrom: {{secretKeyRef: {{name: oauth, key: id}}}}
      clientSecretFrom: {{secretKeyRef: {{name: oauth, key: secret}}}}
      scopes: [tools, more]
"""


async def test_a_run_uses_a_server_with_a_token_by_client_credentials_which_nothing_shows(
    begin: Begin, capfd: pytest.CaptureFixture[str]
) -> None:
    """The server revokes the first token; the tool repeats everything that must not be shown."""
    issued: list[str] = []

    async def token(request: web.Request) -> web.Response:
        issued.append(TOKENS[min(len(issued), 1)])
        return web.json_response({"access_token": issued[-1], "token_type": "Bearer", "expires_in": 3600})

    async def leak(request: web.Request, message: Message) -> web.StreamResponse | Message:
        if request.headers["authorization"] == f"Bearer {TOKENS[0]}":
            return web.Response(status=401)
        return text(f"{request.headers['authorization'].partition(' ')[0]} {ID} {SECRET}")

    async with Far(tools={"leak": leak}) as server, serving(token) as tokens, begin() as running:
        await running.apply(
            manifests.SECRET,
            manifests.walkthrough()["llm"],
            far(server.url, tokens.url),
            manifests.agent("helper", "gpt-4o", servers="[{name: far}]"),
            manifests.task("ask", "helper", "Use the far__leak tool"),
            manifests.run("ask-run", "ask"),
        )
        run = await running.finished("ask-run")
        (call,) = (await running.program.api.list(TOOL_CALLS, running.namespace)).items
        seen = b"".join(await running.documents()).decode()
        seen += await running.ok("get", "events", "-o", "json") + await running.logs("ask-run")
    assert (call.status.phase, call.status.error) == ("Succeeded", "")
    assert ("tool", "Bearer [redacted] [redacted]") in conversation(run)
    assert issued == TOKENS
    for request, body in zip(tokens.seen, tokens.bodies, strict=True):
        assert b64decode(request.headers["authorization"].removeprefix("Basic ")).decode() == f"{ID}:{SECRET}"
        assert parse_qs(body.decode()) == {"grant_type": ["client_credentials"], "scope": ["tools more"]}
    sent = [headers.get("authorization") for headers in server.headers]
    assert set(sent) == {f"Bearer {each}" for each in TOKENS}
    seen += "".join(capfd.readouterr())
    assert "ask-run" in seen
    hidden = [ID, SECRET, *TOKENS, b64encode(f"{ID}:{SECRET}".encode()).decode()]
    assert [each for each in hidden if each in seen] == []


async def test_a_client_that_the_token_server_refuses_is_named_in_the_servers_status(begin: Begin) -> None:
    async def refused(request: web.Request) -> web.Response:
        return web.json_response({"error": "unauthorized_client", "error_description": SECRET}, status=400)

    async with Far(tools={}) as server, serving(refused) as tokens, begin() as running:
        await running.apply(far(server.url, tokens.url))
        await running.ok("wait", "--for=jsonpath={.status.status}=Error", "--timeout=30s", "mcpserver/far")
        detail = await running.ok("get", "mcpserver", "far", "-o", "jsonpath={.status.statusDetail}")
    assert "gave no token (400 unauthorized_client); check the client's id, secret and scopes" in detail
    assert SECRET not in detail
    assert server.count("tools/list") == 0
