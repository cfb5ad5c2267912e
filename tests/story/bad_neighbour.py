"""An MCP server in plain Python with a bad habit: `bad_neighbour.py HABIT DOOR GATE`. See test_mcp_neighbours.py.

It writes into the named pipe DOOR when it is at it, and stops when somebody writes into GATE. Without a habit it
answers at once.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

HABIT, DOOR, GATE = (*sys.argv[1:], "", "", "")[:3]
PAGE, TOOLS = 10, 2_000
opened = threading.Event()
waiting: list[dict[str, Any]] = []
listed = 0


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def at_it() -> None:
    """Says so, and from now on listens for the end."""
    Path(DOOR).write_text(HABIT)
    threading.Thread(target=gate, daemon=True).start()


def gate() -> None:
    Path(GATE).read_text()
    opened.set()


def answer(message: dict[str, Any]) -> None:
    said = f"done with {message['params']['arguments'].get('n')}"
    send({"id": message["id"], "result": {"content": [{"type": "text", "text": said}]}})


def call(message: dict[str, Any]) -> None:
    match HABIT:
        case "dies":
            at_it()
            os.kill(os.getpid(), signal.SIGKILL)
        case "hangs":
            at_it()
            os.kill(os.getpid(), signal.SIGSTOP)
        case "floods stdout" | "floods stderr" if not opened.is_set():
            at_it()
            stream = sys.stdout if HABIT == "floods stdout" else sys.stderr
            while not opened.is_set():
                stream.write("INFO another step\n" * 500)
                stream.flush()
        case "changes its tools" if not opened.is_set():
            at_it()
            while not opened.is_set():
                send({"method": "notifications/tools/list_changed"})
        case "answers out of order":
            waiting.append(message)
            if len(waiting) < 3:
                return
            at_it()
            opened.wait()
            for each in reversed(waiting):
                answer(each)
            return
    answer(message)


def page(params: dict[str, Any]) -> dict[str, Any]:
    """One page of tools; the names change each time that a server with that habit is asked."""
    global listed
    listed += 1
    begin = int(params.get("cursor") or 0)
    names = ["work"]
    if HABIT == "changes its tools":
        names.append(f"new-{listed}")
    if HABIT == "lists 2,000 tools in pages":
        names = [f"work-{number}" for number in range(begin, begin + PAGE)]
        if begin == TOOLS // 2 and not opened.is_set():
            at_it()
            opened.wait()
    more = HABIT == "lists 2,000 tools in pages" and begin + PAGE < TOOLS
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in names]
    return {"tools": tools, **({"nextCursor": str(begin + PAGE)} if more else {})}


def main() -> None:
    if HABIT == "starts late":
        at_it()
        opened.wait()
    for line in sys.stdin:
        message = json.loads(line)
        params = message.get("params") or {}
        match message.get("method"):
            case "initialize":
                told = {"protocolVersion": params["protocolVersion"], "serverInfo": {"name": "n", "version": "1"}}
                send({"id": message["id"], "result": {**told, "capabilities": {"tools": {"listChanged": True}}}})
            case "tools/list":
                send({"id": message["id"], "result": page(params)})
            case "tools/call":
                call(message)
            case _ if "id" in message:
                send({"id": message["id"], "error": {"code": -32601, "message": "Method not found"}})


main()
