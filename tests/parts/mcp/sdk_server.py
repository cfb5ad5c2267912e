"""A server of the official SDK: `python sdk_server.py TRANSPORT PORT`. Tests of servers over HTTP start it."""

import sys

from mcp.server.mcpserver import MCPServer
from mcp_types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult

mcp = MCPServer("sdk")
SEATS = {"type": "object", "properties": {"seats": {"type": "integer"}}}


@mcp.tool()
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@mcp.tool()
def book() -> InputRequiredResult:
    """Wants to know something from a person."""
    asked = ElicitRequest(params=ElicitRequestFormParams(message="How many seats?", requested_schema=SEATS))
    return InputRequiredResult(input_requests={"seats": asked}, request_state="row 7")


match sys.argv[1]:
    case "sse":
        mcp.run("sse", host="127.0.0.1", port=int(sys.argv[2]))
    case _:
        mcp.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
