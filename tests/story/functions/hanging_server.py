"""An MCP server whose only tool never answers; the server has started another process."""

import asyncio
import os
from pathlib import Path

from mcp.server import MCPServer

server = MCPServer("hanging")


@server.tool()
async def hang() -> str:
    """Hangs."""
    child = await asyncio.create_subprocess_exec("sleep", "1000")
    Path(os.environ["IDS"]).write_text(f"{os.getpid()} {child.pid}")
    await asyncio.sleep(1000)
    return "never"


if __name__ == "__main__":
    server.run("stdio")
