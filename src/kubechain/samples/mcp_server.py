"""A small MCP server: `python3 -m kubechain.samples.mcp_server` over stdio, with a port over HTTP on 127.0.0.1.

The sample MCPServer manifest starts it; it shows what "Adding Tools with MCP" is about. Its tools only read.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

server = MCPServer("kubechain-sample", version="1.0.0", log_level="WARNING")
read_only = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)


@server.tool(annotations=read_only, structured_output=False)
def add(
    a: Annotated[float, Field(description="The first number.")],
    b: Annotated[float, Field(description="The second number.")],
) -> str:
    """Add two numbers."""
    return f"{a + b:.15g}"


@server.tool(annotations=read_only, structured_output=False)
def current_time(
    timezone: Annotated[str, Field(description="IANA name of a time zone, such as Europe/Berlin.")] = "UTC",
) -> str:
    """Tell the current date and time in a time zone, in ISO 8601."""
    try:
        zone = UTC if timezone == "UTC" else ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ToolError(f"there is no time zone {timezone!r}; use an IANA name such as Europe/Berlin") from error
    return datetime.now(zone).isoformat(timespec="seconds")


@server.tool(annotations=read_only, structured_output=False)
def word_count(text: Annotated[str, Field(description="The text to count in.")]) -> str:
    """Count the lines, words and characters of a text."""
    return f"{len(text.splitlines())} lines, {len(text.split())} words, {len(text)} characters"


if __name__ == "__main__":
    if sys.argv[1:]:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")
