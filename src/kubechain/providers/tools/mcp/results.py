"""What an MCP server answers to `tools/list` and `tools/call`, as KubeChain needs it. Pure.

The conversation calls it. A tool that cannot be offered is left out and named; the others are kept. A result
with an invalid form is still the result of finished work, and is turned into text as well as possible.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence, Set

import msgspec
from msgspec import Raw

from kubechain.providers.tools.mcp.files import files_of
from kubechain.providers.tools.mcp.server import CallAnswer, DiscoveredTool, InputRequired, LeftOut, ToolAnswer
from kubechain.providers.tools.mcp.tasks import task_of
from kubechain.resources.effect import Effect
from kubechain.resources.json import JsonObject, JsonValue

MAX_DEPTH = 64
"""Levels of a schema; deeper ones are refused by most API servers and models."""
_SHOWN = 60
_ENVELOPE = frozenset({"content", "structuredContent", "isError", "_meta", "resultType", "ttlMs", "cacheScope"})


def greeting(said: JsonValue, versions: Sequence[str]) -> JsonObject:
    """What a server answers to `initialize`, as the protocol has it; `versions` are those known, oldest first."""
    given = said if isinstance(said, dict) else {}
    info = given.get("serverInfo")
    names = {key: _text(info.get(key)) for key in ("name", "version")} if isinstance(info, dict) else {}
    version = given.get("protocolVersion")
    return {
        "protocolVersion": version if version in versions else versions[0],
        "capabilities": {},
        "serverInfo": {"name": "", "version": "", **names},
    }


def tool_of(item: JsonValue, taken: Set[str]) -> DiscoveredTool | LeftOut:
    """One entry of a list of tools; `taken` are the names of those before it."""
    name = item.get("name") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(name, str) or not name.strip():
        return LeftOut(_shown(item), "it has no name")
    if not _is_text(name):
        return LeftOut(clean(name), "its name is not valid Unicode")
    if name in taken:
        return LeftOut(name, "it is listed twice")
    schema = item.get("inputSchema")
    if schema is not None and not isinstance(schema, dict):
        return LeftOut(name, "its inputSchema is not a JSON object")
    kind = (schema or {}).get("type", "object")
    if kind != "object" and not (isinstance(kind, list) and "object" in kind):
        return LeftOut(name, f"its inputSchema is of type {_shown(kind)}, not object")
    if _depth(schema or {}) > MAX_DEPTH:
        return LeftOut(name, f"its inputSchema is nested more than {MAX_DEPTH} levels deep")
    try:
        document = msgspec.json.encode(_cleaned({**(schema or {}), "type": "object"}))
    except (TypeError, ValueError, RecursionError) as error:
        return LeftOut(name, f"its inputSchema has no JSON form ({error})")
    about = _text(item.get("description")) or _text(item.get("title"))
    return DiscoveredTool(name, about, Raw(document), effect_of(item.get("annotations")))


def effect_of(hints: JsonValue) -> Effect:
    """What a repeated call does, according to the server."""
    if isinstance(hints, dict) and hints.get("readOnlyHint") is True:
        return "ReadOnly"
    if isinstance(hints, dict) and hints.get("idempotentHint") is True:
        return "Idempotent"
    return "NonIdempotent"


def answer_of(result: JsonValue) -> CallAnswer:
    """What a call came to: a result, a task that goes on, or a question to a person."""
    if not isinstance(result, dict):
        return ToolAnswer(_plain(result))
    if result.get("resultType") == "input_required":
        return asked(result)
    if (task := task_of(result)) is not None:
        return task
    return ToolAnswer(text_of(result), result.get("isError") in (True, "true"), files_of(result.get("content")))


def asked(result: JsonObject, task: str = "", session: str = "") -> InputRequired:
    """What a server wants to know from a person; `task` of this session is the one that waits for it."""
    asks, state = result.get("inputRequests"), result.get("requestState")
    given = asks if isinstance(asks, dict) else {}
    return InputRequired(given, state if isinstance(state, str) else "", task, session)


def text_of(result: JsonObject) -> str:
    """Its texts joined by newlines, a short line for what is not text; without any, its structure as JSON."""
    content = result.get("content")
    if isinstance(content, str):
        return content
    parts = [_block_text(block) for block in content] if isinstance(content, list) else []
    if parts:
        return "\n".join(parts)
    if result.get("structuredContent") is not None:
        return _plain(result["structuredContent"])
    rest = {key: value for key, value in result.items() if key not in _ENVELOPE}
    if isinstance(content, dict):
        return _block_text(content)
    return _plain(rest["toolResult"] if list(rest) == ["toolResult"] else rest) if rest else ""


def _block_text(block: JsonValue) -> str:
    if not isinstance(block, dict):
        return _plain(block)
    match block.get("type"):
        case "text" if isinstance(block.get("text"), str):
            return str(block["text"])
        case "image" | "audio" as kind:
            return f"[{kind} {_words(block, 'mimeType')}{_size(block.get('data'))}]"
        case "resource_link":
            return f"[resource {_words(block, 'uri')}: {_words(block, 'name')}]"
        case "resource" if isinstance(resource := block.get("resource"), dict):
            if isinstance(resource.get("text"), str):
                return str(resource["text"])
            return f"[resource {_words(resource, 'uri', 'mimeType')}{_size(resource.get('blob'))}]"
        case kind:
            text = block.get("text")
            return text if isinstance(text, str) else f"[content of type {_shown(kind)}, which is not text]"


def _text(value: JsonValue) -> str:
    return clean(value) if isinstance(value, str) else ""


def _words(block: JsonObject, *keys: str) -> str:
    return " ".join(str(block[key]) for key in keys if isinstance(block.get(key), str))


def _size(data: JsonValue) -> str:
    return f", {len(data) * 3 // 4:,} bytes" if isinstance(data, str) else ""


def _plain(value: JsonValue) -> str:
    if isinstance(value, str) or value is None:
        return value or ""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return "[a structure nested too deeply to be shown]"


def _shown(value: JsonValue) -> str:
    text = clean(_plain(value))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def clean(text: str) -> str:
    """The text without halves of characters, which no JSON may hold."""
    return text if _is_text(text) else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cleaned(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): _cleaned(item) for key, item in value.items()}
    return value


def _depth(value: JsonValue) -> int:
    """How many levels it has, MAX_DEPTH + 1 where there are more."""
    level: list[JsonValue] = [value]
    for depth in range(MAX_DEPTH + 1):
        level = [item for one in level for item in _items(one)]
        if not level:
            return depth
    return MAX_DEPTH + 1


def _items(value: JsonValue) -> Iterable[JsonValue]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
