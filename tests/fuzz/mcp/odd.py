"""Strange JSON and strange ways of writing it: the same for the same seed."""

from __future__ import annotations

import json
from random import Random
from typing import Any

STRINGS = ("", "\ud83d", "a\x00b", "\u2028", "x" * 70_000, "object", "\udc80\ud800", "{", "null", "é" * 300)
NUMBERS = (0, -1, 1.5, 10**30, float("nan"), float("inf"), -(2**63), True, False)


def value(chance: Random, depth: int = 3) -> Any:
    """Any JSON at all, and some that is not quite."""
    kind = chance.randrange(8)
    if kind == 0 or depth == 0:
        return chance.choice(STRINGS)
    if kind == 1:
        return chance.choice(NUMBERS)
    if kind == 2:
        return None
    if kind == 3:
        return nested(chance.choice((5, 40, 100, 700, 3_000)))
    if kind < 6:
        return [value(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {
        chance.choice(("type", "text", "name", "id", "\ud800", "")): value(chance, depth - 1) for _ in range(3)
    }


def nested(levels: int) -> Any:
    """A value so deep; beyond what json writes it is made as text."""
    if levels > 300:
        return Raw("[" * levels + "]" * levels)
    made: Any = {}
    for _ in range(levels):
        made = {"properties": {"x": made}, "type": "object"}
    return made


class Raw(str):
    """Text that is written as it is."""


def mutated(chance: Random, good: Any, times: int | None = None) -> Any:
    """A copy of the value, changed in a place or several: something else, gone, twice, or under another name."""
    made = json.loads(json.dumps(good))
    for _ in range(chance.choice((1, 1, 2, 4)) if times is None else times):
        made = _changed(chance, made)
    return made


def _changed(chance: Random, node: Any) -> Any:
    if isinstance(node, dict) and node and chance.random() < 0.85:
        key = chance.choice(list(node))
        action = chance.randrange(5)
        if action == 0:
            del node[key]
        elif action == 1:
            node[key] = value(chance)
        elif action == 2:
            node[chance.choice((key.upper(), "x-" + key, "_meta", ""))] = node.pop(key)
        else:
            node[key] = _changed(chance, node[key])
        return node
    if isinstance(node, list) and node and chance.random() < 0.85:
        at = chance.randrange(len(node))
        action = chance.randrange(4)
        if action == 0:
            node.append(node[at])
        elif action == 1:
            node[at] = value(chance)
        else:
            node[at] = _changed(chance, node[at])
        return node
    return value(chance)


def text(document: Any) -> bytes:
    """As JSON, with what JSON does not allow left in it."""
    raws: list[str] = []

    def plain(node: Any) -> Any:
        if isinstance(node, Raw):
            raws.append(node)
            return f"@raw{len(raws) - 1}@"
        if isinstance(node, dict):
            return {key: plain(item) for key, item in node.items()}
        return [plain(item) for item in node] if isinstance(node, list) else node

    written = json.dumps(plain(document))
    for number, raw in enumerate(raws):
        written = written.replace(f'"@raw{number}@"', raw)
    return written.encode()


def line(chance: Random, message: Any) -> list[bytes]:
    """The pieces in which a message is written: as it should be, or in a way that servers have been seen to."""
    body = text(message)
    way = chance.randrange(14)
    match way:
        case 0:
            return [b"\xef\xbb\xbf" + body + b"\n"]
        case 1:
            return [body + b"\r\n"]
        case 2:
            return [b"Loading model ..." + body + b"\n"]
        case 3:
            return (
                [json.dumps(json.loads(body), indent=1).encode() + b"\n"] if b"[[[[" not in body else [body, b"\n"]
            )
        case 4:
            return [b"[" + body + b"]\n"]
        case 5:
            at = chance.randrange(len(body))
            return [body[:at], body[at:] + b"\n"]
        case 6:
            return [body.replace(b"e", b"\xe9", 3) + b"\n"]
        case 7:
            return [body[: chance.randrange(len(body))] + b"\n"]
        case 8:
            return [body + b" trailing\n"]
        case 9:
            return [body.replace(b" ", b"\x01", 1) + b"\n"]
        case _:
            return [body + b"\n"]


NOISE = (
    b"INFO handled a step\n",
    b"\x00\xff\xfe{]\n",
    b"{\n",
    b"[DEBUG] begin {\n",
    b'{"jsonrpc":"2.0"}\n',
    b'{"jsonrpc":"2.0","id":424242,"result":{}}\n',
    b'{"jsonrpc":"2.0","id":"x","error":{"code":-32000,"message":"Connection closed"}}\n',
    b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n',
    b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"weird","data":null}}\n',
    b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":"half"}}\n',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}\n',
    b'{"jsonrpc":"2.0","id":7,"method":"roots/list"}\n',
    b'{"jsonrpc":"2.0","id":"8","method":"sampling/createMessage","params":[]}\n',
    b'{"jsonrpc":"2.0","id":9,"method":"ping"}\n',
    b"\n\n\r\n",
)


def noise(chance: Random) -> bytes:
    """What servers write beside messages, a line or many."""
    return chance.choice(NOISE) * chance.choice((1, 1, 1, 3, 60))
