"""Names that outlive a process: computed from what they name, never random.

Pure. Kubernetes names are at most 63 characters of a-z, 0-9 and `-`; tool names for models at most 64 of
A-Z, a-z, 0-9, `_` and `-`, which every provider accepts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from functools import lru_cache

MAX_OBJECT_NAME = 63
MAX_LABEL = 63
MAX_TOOL_NAME = 64
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
_TOOL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_TOOL = re.compile(r"[^A-Za-z0-9_-]+")


def digest(text: str | bytes, length: int = 5) -> str:
    """A short stable fingerprint in the alphabet Kubernetes uses for generated names (no vowels, no 0, 1, 3)."""
    content = text.encode() if isinstance(text, str) else text
    number = int.from_bytes(hashlib.sha256(content).digest()[:8], "big")
    letters = []
    for _ in range(length):
        number, index = divmod(number, len(_SAFE))
        letters.append(_SAFE[index])
    return "".join(letters)


@lru_cache(maxsize=1024)
def tool_call_name(run: str, run_uid: str, turn: int, position: int) -> str:
    """The ToolCall of a run's `position`-th call (from 1) of its `turn`-th reply (from 1).

    The fingerprint of the run's uid keeps it apart from the children of an earlier run of the same name.
    """
    suffix = f"-{digest(run_uid)}-{turn}-{position}"
    return run[: MAX_OBJECT_NAME - len(suffix)].rstrip("-.") + suffix


def place_of(call: str) -> tuple[int, int]:
    """The turn and the position in the name of a ToolCall of a run; (0, 0) where it has none."""
    *_, turn, position = ("0", *call.rsplit("-", 2)[1:]) if call.count("-") >= 2 else ("0", "0")
    return (int(turn), int(position)) if turn.isdecimal() and position.isdecimal() else (0, 0)


def sub_run_name(agent: str, call_uid: str) -> str:
    """The TaskRun of a sub-agent, made for the ToolCall with that uid."""
    suffix = f"-{digest(call_uid, 10)}"
    return agent[: MAX_OBJECT_NAME - len(suffix)].rstrip("-.") + suffix


def label_value(name: str) -> str:
    """A name as the value of a label: a longer one than a label takes ends with its fingerprint."""
    if len(name) <= MAX_LABEL:
        return name
    suffix = f"-{digest(name)}"
    return name[: MAX_LABEL - len(suffix)].rstrip("-.") + suffix


def pod_name(owner: str, owner_uid: str, holder: str) -> str:
    """The pod that the replica `holder` starts for an object that a process of its own serves."""
    suffix = f"-{digest(owner_uid)}-{digest(holder)}"
    return owner[: MAX_OBJECT_NAME - len(suffix)].rstrip("-.") + suffix


def segment_name(run: str, run_uid: str, content: bytes) -> str:
    """The TranscriptSegment that holds `content`: the same content gives the same name."""
    suffix = f"-{digest(run_uid)}-s{digest(content, 8)}"
    return run[: MAX_OBJECT_NAME - len(suffix)].rstrip("-.") + suffix


def result_name(call: str, result: str | bytes) -> str:
    """The common start of the names of the ToolResults that hold `result`; leaves room for `-NNN`."""
    suffix = f"-{digest(result, 8)}"
    return call[: MAX_OBJECT_NAME - len(suffix) - 4].rstrip("-.") + suffix


def tool_name(wanted: str, taken: Collection[str] = ()) -> str:
    """A name providers accept, close to the wanted one and different from every taken one.

    It follows from the wanted name alone: one that does not fit gets a fingerprint of its own, whatever else is
    offered. `taken` matters only where somebody gives a tool the very name that is computed for another.
    """
    if _TOOL.fullmatch(wanted) and wanted not in taken:
        return wanted
    start = _NOT_TOOL.sub("_", wanted).strip("_") or "tool"
    for attempt in range(len(taken) + 1):
        suffix = f"_{digest(f'{wanted}/{attempt}' if attempt else wanted)}"
        name = start[: MAX_TOOL_NAME - len(suffix)] + suffix
        if name not in taken:
            return name
    raise AssertionError("more taken names than there are")


def sub_agent_tool_name(agent: str) -> str:
    """The wanted name of the tool that calls a sub-agent, before `tool_name` makes it unique."""
    return f"delegate_to_{agent}"


def mcp_tool_name(server: str, tool: str, prefix: str | None = None) -> str:
    """The wanted name of an MCP server's tool, before `tool_name` makes it unique."""
    return f"{server}__{tool}" if prefix is None else prefix + tool
