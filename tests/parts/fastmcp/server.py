"""A FastMCP server with a tool that runs as a task: `python server.py PORT JOURNAL`. See fastmcp_tasks.py.

It writes a line into JOURNAL for each task that it begins, and for each that is cancelled.
"""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from fastmcp import FastMCP  # type: ignore[import-not-found]
from fastmcp.utilities.tasks import TaskConfig  # type: ignore[import-not-found]
from fastmcp_tasks import TasksExtension  # type: ignore[import-not-found]

PORT, JOURNAL = int(sys.argv[1]), Path(sys.argv[2])
mcp = FastMCP("tasks")
mcp.add_extension(TasksExtension(url="memory://"))


def begun(what: str) -> None:
    with JOURNAL.open("a") as journal:
        journal.write(f"{what}\n")


@mcp.tool(task=TaskConfig(mode="required", poll_interval=timedelta(seconds=1)))  # type: ignore[untyped-decorator]
async def crunch(message: str) -> str:
    """Goes on until the file beside the journal is there. Must not be repeated."""
    begun("begun")
    try:
        while not JOURNAL.with_suffix(".go").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        begun("cancelled")
        raise
    return f"crunched {message}"


mcp.run(transport="http", host="127.0.0.1", port=PORT, show_banner=False)
