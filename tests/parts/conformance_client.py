"""Our MCP sessions as a client of the official conformance scenarios, which start it with a URL.

It lists the tools and calls each once, as an agent might; or those that the scenario names.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys

from kubechain.errors import KubechainError
from kubechain.providers.tools.mcp.server import DiscoveredTool, ServerAddress, ToolRequest
from kubechain.providers.tools.mcp.sessions import MCP

OWNER = "default/conformance"
VALUES = {"string": "text", "integer": 7, "number": 3, "boolean": True, "object": {}, "array": [], "null": None}


def arguments(tool: DiscoveredTool) -> dict[str, object]:
    schema = json.loads(bytes(tool.input_schema))
    return {name: _value(each) for name, each in schema.get("properties", {}).items()}


def _value(schema: object) -> object:
    kind = schema.get("type", "string") if isinstance(schema, dict) else "string"
    return VALUES.get(kind if isinstance(kind, str) else kind[0], "text")


async def main(url: str) -> int:
    given = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}").get("toolCalls", [])
    sessions, target = MCP(), ServerAddress("http", url, allow_private=True)
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
