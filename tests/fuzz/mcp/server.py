"""A strange MCP server as its seed makes it. It does no input or output: lines in, what it does out.

`stub` gives it pipes in memory, `child` those of a process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.fuzz.mcp import odd

GOOD = "good"
"""A tool that works, whatever else the server does: the neighbour of the others."""
MODERN = "2026-07-28"
INPUT: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
RESULT: dict[str, Any] = {
    "content": [
        {"type": "text", "text": "hello", "annotations": {"audience": ["user"], "priority": 0.5}},
        {"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"},
        {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "text/plain", "text": "inside"}},
        {"type": "resource_link", "uri": "file:///b", "name": "b"},
    ],
    "structuredContent": {"a": [1, {"b": None}]},
    "isError": False,
    "_meta": {"a": 1},
}
TOOL: dict[str, Any] = {
    "name": "strange",
    "title": "Strange",
    "description": "Does strange things.",
    "inputSchema": INPUT,
    "outputSchema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["z"]},
    "annotations": {"readOnlyHint": True, "idempotentHint": False},
    "_meta": {},
}


@dataclass(frozen=True)
class Write:
    """Bytes on its stdout."""

    data: bytes


@dataclass(frozen=True)
class Die:
    """Its end; `code` None: it only closes its stdout."""

    code: int | None


Deed = Write | Die


class Server:
    """One server. `works` says that the good tool has to be found and to answer."""

    def __init__(self, seed: int) -> None:
        chance = Random(seed)
        self.greets = chance.choice(("legacy",) * 4 + ("modern", "strict", "silent", "idnull", "odd", "refuses"))
        self.lists = chance.choice(("plain",) * 3 + ("pages", "round", "counting", "odd", "refuses", "toolless"))
        self.ends = chance.choice((None,) * 8 + ("early", "call", "closes", "flood", "deaf"))
        self.noisy = chance.random() < 0.4
        self._chance = chance
        self._calls = 0
        self._greeted = False
        self._deaf = False

    @property
    def works(self) -> bool:
        """Whether neighbours have a right to their answers."""
        lists = self.lists in ("plain", "pages", "round", "counting")
        return self.ends is None and lists and self.greets not in ("odd", "refuses")

    def starts(self) -> Iterator[Deed]:
        if self.noisy:
            yield Write(odd.noise(self._chance))
        if self.ends == "early":
            yield Die(3)
        if self.ends == "flood":
            yield Write(b"y\n" * 30_000)

    def hears(self, line: bytes) -> Iterator[Deed]:
        """What it does about one line of ours."""
        message = json.loads(line)
        number, method, params = message.get("id"), message.get("method"), message.get("params") or {}
        if number is None or method is None or self._deaf:
            return
        if self.noisy:
            yield Write(odd.noise(self._chance))
        if method == "server/discover" or not self._greeted:
            yield from self._greeting(number, method, params)
        elif method == "tools/list":
            yield from self._list(number, params)
        elif method == "tools/call":
            yield from self._call(number, params)
        elif method != "subscriptions/listen":
            yield self._result(number, {})

    def _greeting(self, number: Any, method: str, params: dict[str, Any]) -> Iterator[Deed]:
        first = method != "initialize"
        info = {"name": "fuzz", "version": "1"}
        told: dict[str, Any] = {
            "protocolVersion": params.get("protocolVersion"),
            "capabilities": {"tools": {}},
            "serverInfo": info,
        }
        match self.greets:
            case "modern" if first:
                self._greeted = True
                about = {"supportedVersions": [MODERN], "capabilities": {"tools": {}}, "resultType": "complete"}
                yield self._result(number, {**about, "ttlMs": 0, "cacheScope": "public"})
                return
            case "strict" if first:
                yield Die(1)
                return
            case "silent" if first:
                return
            case "idnull" if first:
                yield Write(
                    odd.text({"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "no"}}) + b"\n"
                )
                return
            case "refuses":
                yield self._error(number, self._chance.choice((-32600, -32000, -32022, 0)), "go away")
                return
            case "odd":
                said = {"jsonrpc": "2.0", "id": number, "result": odd.mutated(self._chance, told)}
                yield from map(Write, odd.line(self._chance, said))
                self._greeted = self._greeted or not first
                return
            case _ if first:
                yield self._error(number, self._chance.choice((-32601, -32602, -32000)), "no such method")
                return
        self._greeted = True
        if self._chance.random() < 0.2:
            del told[self._chance.choice(list(told))]
        yield self._result(number, told)

    def _list(self, number: Any, params: dict[str, Any]) -> Iterator[Deed]:
        good = {"name": GOOD, "inputSchema": INPUT}
        strange = [odd.mutated(self._chance, TOOL) for _ in range(self._chance.randrange(4))]
        tools = [*strange, good] if self._chance.random() < 0.5 else [good, *strange]
        cursor = params.get("cursor")
        match self.lists:
            case "pages":
                step = {None: "", "": "b", "b": None}.get(cursor)
                page = [[good], strange, []][{None: 0, "": 1}.get(cursor, 2)]
                yield self._result(number, {"tools": page, **({} if step is None else {"nextCursor": step})})
            case "round":
                yield self._result(number, {"tools": tools, "nextCursor": "again"})
            case "counting":
                yield self._result(number, {"tools": [good], "nextCursor": f"{cursor or ''}+"})
            case "odd":
                yield from map(
                    Write, odd.line(self._chance, self._envelope(number, {"tools": tools, "nextCursor": "a"}))
                )
            case "refuses":
                yield self._error(number, -32603, "no database")
            case "toolless":
                yield self._error(number, -32601, "no such method")
            case _:
                yield self._result(number, {"tools": tools})

    def _call(self, number: Any, params: dict[str, Any]) -> Iterator[Deed]:
        self._calls += 1
        if self.ends == "call" and self._calls > 2:
            yield Die(self._chance.choice((0, 1)))
            return
        if self.ends == "closes" and self._calls > 2:
            yield Die(None)
            return
        if self.ends == "deaf" and self._calls > 2:
            self._deaf = True
            return
        if params.get("name") == GOOD:
            n = params["arguments"]["n"]
            yield self._result(number, {"content": [{"type": "text", "text": f"ok {n}"}]})
            return
        match self._chance.randrange(8):
            case 0:
                return  # it is never answered
            case 1:
                yield self._error(number, self._chance.choice((-32000, -32001, -32700, 0, 7)), "no")
            case 2:
                error = odd.mutated(self._chance, {"code": -32603, "message": "no", "data": {"a": 1}})
                said = {"jsonrpc": "2.0", "id": number, "error": error}
                yield from map(Write, odd.line(self._chance, said))
            case 3:
                yield from map(
                    Write, odd.line(self._chance, {"id": str(number), "result": odd.value(self._chance)})
                )
            case 4:
                twice = self._result(number, RESULT)
                yield twice
                yield twice
            case 5:
                yield from map(Write, odd.line(self._chance, {"jsonrpc": "2.0", "id": number, "result": RESULT}))
            case _:
                yield from map(Write, odd.line(self._chance, self._envelope(number, RESULT)))

    def _envelope(self, number: Any, result: dict[str, Any]) -> dict[str, Any]:
        """An answer whose result is strange, and sometimes its envelope; it answers nobody else's request."""
        made = {"jsonrpc": "2.0", "id": number, "result": odd.mutated(self._chance, result)}
        if self._chance.random() < 0.2:
            made[self._chance.choice(("jsonrpc", "error", "extra"))] = odd.value(self._chance)
        return made

    def _result(self, number: Any, result: Any) -> Write:
        return Write(odd.text({"jsonrpc": "2.0", "id": number, "result": result}) + b"\n")

    def _error(self, number: Any, code: int, message: str) -> Write:
        return Write(
            odd.text({"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}) + b"\n"
        )
