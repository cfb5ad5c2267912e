"""The HTTP headers that repeat what an MCP request says, for servers and proxies that do not read its body. Pure.

The conversation calls it, where an exchange goes over HTTP. Revision 2026-07-28 wants them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from mcp.shared.inbound import encode_header_value, find_invalid_x_mcp_header, mcp_param_headers, x_mcp_header_map
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from kubechain.resources.json import JsonObject, JsonValue

Mirrored: TypeAlias = Mapping[tuple[str, ...], str]
"""Which arguments of a tool are repeated, and as which header."""
_NAMED = {
    "tools/call": "name",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
    "tasks/result": "taskId",
}


def headers_of(version: str, method: str, params: JsonObject, mirrored: Mirrored) -> dict[str, str]:
    """All that a request with these params needs."""
    found = {"mcp-protocol-version": version}
    if version not in MODERN_PROTOCOL_VERSIONS:
        return found
    found["mcp-method"] = method
    if isinstance(name := params.get(_NAMED.get(method, "")), str):
        found["mcp-name"] = encode_header_value(name)
    arguments = params.get("arguments")
    if mirrored and isinstance(arguments, dict):
        found |= mcp_param_headers(mirrored, arguments)
    return found


def mirrored_of(item: JsonValue) -> Mirrored | str:
    """Of one tool that a server lists, or what is wrong with that."""
    schema = item.get("inputSchema") if isinstance(item, dict) else None
    if not isinstance(schema, dict):
        return {}
    if (wrong := find_invalid_x_mcp_header(schema)) is not None:
        return f"its inputSchema has a wrong x-mcp-header: {wrong}"
    return x_mcp_header_map(schema)
