"""One seed played through: a server is found, called by several at a time, and let go; what was wrong with it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

import msgspec

from kubechain.agents.ports.tool import ToolError
from kubechain.errors import Terminal, Transient
from kubechain.providers.tools.mcp import client, session
from kubechain.providers.tools.mcp.server import ServerCommand, ToolAnswer, ToolRequest
from kubechain.providers.tools.mcp.sessions import MCP
from kubechain.providers.tools.starting import Command, ToolProcess
from tests.fuzz.mcp.server import GOOD, Server
from tests.fuzz.mcp.stub import Stub

PATIENCE = 60.0
"""Seconds for what has a right to its answer: a busy machine is no fault of the program's."""
SLACK = 30.0
CALLS = 4
NAMES = ("strange", "nothing", "a/b", "\ud800")
ROOT = Path(__file__).parents[3]


def hurry(factor: float = 1.0) -> None:
    """The program's own patience, in hundredths of seconds: none of these servers is slow, some never answer."""
    client.PROBE_SECONDS = 0.1 * factor
    session.CHECK_SECONDS = 0.5 * factor
    session.STOP_SECONDS = 0.1 * factor


async def play(seed: int, *, real: bool = False, patience: float = 0.3) -> list[str]:
    """What went wrong with this server; nothing, if all is well. `patience`: the deadline of its strange calls."""
    server = Server(seed)

    async def start(command: Command, stdin: bool | socket.socket = False) -> ToolProcess:
        return Stub(Server(seed))

    servers = MCP() if real else MCP(start=start)
    env = (("PYTHONPATH", str(ROOT)), ("PATH", os.environ["PATH"]))
    command = ServerCommand(sys.executable, ("-m", "tests.fuzz.mcp.child", str(seed)), env if real else ())
    wrong: list[str] = []
    try:
        await _discover(servers, command, server, wrong)
        await asyncio.gather(
            *(_good(servers, command, server, n, wrong) for n in range(CALLS)),
            *(_strange(servers, command, n, patience, wrong) for n in range(CALLS)),
        )
        await _good(servers, command, server, CALLS, wrong)
    finally:
        await servers.close()
    return wrong


async def _discover(servers: MCP, command: ServerCommand, server: Server, wrong: list[str]) -> None:
    try:
        async with asyncio.timeout(PATIENCE + SLACK):
            found = await servers.discover("default/fuzz", command, PATIENCE if server.works else 3.0)
    except (Transient, Terminal) as error:
        _judge_error("discover", error, wrong)
        if server.works:
            wrong.append(f"a server that works was not found: {error}")
    except Exception as error:
        wrong.append(f"discover ended with {type(error).__name__}: {error}")
    else:
        names = [tool.name for tool in found.tools]
        if len(set(names)) != len(names):
            wrong.append("two tools have one name")
        if server.works and GOOD not in names:
            wrong.append("bad tools cost the good one")
        msgspec.json.encode((found.tools, found.left_out))  # raises where a status could not be written


async def _good(servers: MCP, command: ServerCommand, server: Server, n: int, wrong: list[str]) -> None:
    text = await _call(servers, command, GOOD, n, PATIENCE if server.works else 1.0, wrong)
    if server.works and text != f"ok {n}":
        wrong.append(f"a neighbour noticed: call {n} of the good tool gave {text!r}")


async def _strange(servers: MCP, command: ServerCommand, n: int, patience: float, wrong: list[str]) -> None:
    await _call(servers, command, NAMES[n % len(NAMES)], n, patience, wrong)


async def _call(servers: MCP, command: ServerCommand, tool: str, n: int, timeout: float, wrong: list[str]) -> str:
    """The text of whatever came of it."""
    given = json.dumps({"n": n}).encode()
    try:
        async with asyncio.timeout(timeout + SLACK):
            answer = await servers.call("default/fuzz", command, ToolRequest(tool, given, "uid"), timeout)
        text = answer.text if isinstance(answer, ToolAnswer) else repr(answer)
        text.encode()
    except ToolError as error:
        text = str(error)
        if not text.strip():
            wrong.append(f"{tool}: an error without a word")
    except (Transient, Terminal) as error:
        text = str(error)
        _judge_error(tool, error, wrong)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        wrong.append(f"{tool} ended with {text}")
    return text


def _judge_error(what: str, error: Transient | Terminal, wrong: list[str]) -> None:
    if error.reason in ("SessionFailed", "ServerStopped"):
        wrong.append(f"{what}: {error.reason}: {error}")
    if not str(error).startswith("MCP server default/fuzz "):
        wrong.append(f"{what}: an error that does not say whose it is: {error}")
