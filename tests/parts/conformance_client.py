"""Our MCP sessions as a client of the official conformance scenarios, which start it with a URL.

It lists the tools and calls each once, as an agent might; or those that the scenario names. Where the scenario
gives a client's id and secret, it looks up `tokenURL` first, which a person writes into a manifest.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from typing import Any

import aiohttp
from yarl import URL

from kubechain.errors import KubechainError
from kubechain.providers.tools.mcp.server import DiscoveredTool, ServerAddress, ToolRequest
from kubechain.providers.tools.mcp.sessions import MCP
from kubechain.providers.web.credentials import Client

OWNER = "default/conformance"
VALUES = {"string": "text", "integer": 7, "number": 3, "boolean": True, "object": {}, "array": [], "null": None}


def arguments(tool: DiscoveredTool) -> dict[str, object]:
    schema = json.loads(bytes(tool.input_schema))
    return {name: _value(each) for name, each in schema.get("properties", {}).items()}


def _value(schema: object) -> object:
    kind = schema.get("type", "string") if isinstance(schema, dict) else "string"
    return VALUES.get(kind if isinstance(kind, str) else kind[0], "text")


async def client_of(context: dict[str, Any], url: str) -> Client | None:
    """The client of the scenario, with the token endpoint of the server's authorization server."""
    if "client_secret" not in context:
        return None
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        about = URL(url).origin() / ".well-known/oauth-protected-resource" / URL(url).path.lstrip("/")
        async with session.get(about) as answer:
            issuer = URL((await answer.json())["authorization_servers"][0])
        async with session.get(issuer.origin() / ".well-known/oauth-authorization-server") as answer:
            token_url = (await answer.json())["token_endpoint"]
    return Client(token_url, context["client_id"], context["client_secret"])


async def main(url: str) -> int:
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    given = context.get("toolCalls", [])
    client = await client_of(context, url)
    sessions, target = MCP(), ServerAddress("http", url, client=client, allow_private=True)
    try:
        found = await sessions.discover(OWNER, target, 20)
        schemas = {tool.name: json.loads(bytes(tool.input_schema)) for tool in found.tools}
        calls = [(call["name"], call.get("arguments", {})) for call in given]
        for name, values in calls or [(tool.name, arguments(tool)) for tool in found.tools]:
            if name == "json_schema_echo":
                values = {"schema": schemas.get("json_schema_2020_12_tool")}
            with contextlib.suppress(KubechainError):
                await sessions.call(OWNER, target, ToolRequest(name, json.dumps(values).encode(), "key"), 20)
    except KubechainError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        await sessions.close()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
