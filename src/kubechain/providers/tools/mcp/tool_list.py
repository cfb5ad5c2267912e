"""How many of an MCP server's tools its status can hold, and the sentence that names those left out. Pure.

`runner` calls it: an object takes at most 1.5 MiB, and its status lists every tool with its
schema.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubechain.providers.tools.mcp.server import DiscoveredTool, Discovery, LeftOut

MOST_BYTES = 1_000_000
"""Of all tools together: the rest of the object, and what an API server notes about each field, need room too."""
MOST_BYTES_OF_ONE = 128 * 1024
_BESIDE = 150
"""What a tool takes beside its texts."""
_NAMED = 20


def fitting(found: Discovery) -> tuple[list[DiscoveredTool], list[LeftOut]]:
    """The tools that fit, in the order listed, and all that are left out."""
    kept: list[DiscoveredTool] = []
    left_out = list(found.left_out)
    total = 0
    for tool in found.tools:
        size = _BESIDE + len(tool.name.encode()) + len(tool.description.encode()) + len(bytes(tool.input_schema))
        if size > MOST_BYTES_OF_ONE:
            left_out.append(LeftOut(tool.name, f"it takes {size:,} bytes, more than {MOST_BYTES_OF_ONE:,}"))
        elif total + size > MOST_BYTES:
            left_out.append(LeftOut(tool.name, f"the tools are too large together, over {MOST_BYTES:,} bytes"))
        else:
            kept.append(tool)
            total += size
    return kept, left_out


def sentence(kept: Sequence[DiscoveredTool], left_out: Sequence[LeftOut], unchosen: int = 0) -> str:
    """What was found, and what cannot be offered and why: tools with the same reason together.

    `unchosen`: how many tools spec.tools does not choose.
    """
    text = f"Connected; {len(kept)} tools discovered"
    if unchosen:
        text += f"; {unchosen} more are not chosen by spec.tools"
    if not left_out:
        return text
    reasons: dict[str, list[str]] = {}
    for one in left_out:
        reasons.setdefault(one.why, []).append(one.name)
    parts = [f"{_names(names)} ({why})" for why, names in reasons.items()]
    more = f" and {len(parts) - _NAMED} more reasons" if len(parts) > _NAMED else ""
    return f"{text}; {len(left_out)} left out: {'; '.join(parts[:_NAMED])}{more}"


def so_far(found: Discovery) -> str:
    """How its process fares, where there is something to say about it."""
    text = ""
    if found.restarts:
        times = "once" if found.restarts == 1 else f"{found.restarts} times"
        text += f"; it was started again {times}, the last time because it {found.last_end}"
    return text + ("; it is stopped while idle, and the next call starts it" if found.idle else "")


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(f'"{name[:80]}"' for name in names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown
