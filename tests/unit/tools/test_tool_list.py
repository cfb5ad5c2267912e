"""Which of an MCP server's tools its status can hold."""

import msgspec
from msgspec import Raw

from kubechain.providers.tools.mcp.server import DiscoveredTool, Discovery, LeftOut
from kubechain.providers.tools.mcp.tool_list import MOST_BYTES, fitting, sentence


def tool(name: str, size: int = 100) -> DiscoveredTool:
    return DiscoveredTool(
        name, "", Raw(msgspec.json.encode({"type": "object", "description": "d" * size})), "ReadOnly"
    )


def discovery(*tools: DiscoveredTool, left_out: tuple[LeftOut, ...] = ()) -> Discovery:
    return Discovery("server", "1", "2025-11-25", tools, left_out)


def test_two_thousand_small_tools_fit() -> None:
    kept, left_out = fitting(discovery(*(tool(f"t{i}") for i in range(2_000))))
    assert len(kept) == 2_000 and not left_out
    assert sentence(kept, left_out) == "Connected; 2000 tools discovered"


def test_of_too_large_a_list_the_last_tools_are_left_out_and_named() -> None:
    kept, left_out = fitting(discovery(*(tool(f"t{i}", 1_700) for i in range(900))))
    assert [t.name for t in kept] == [f"t{i}" for i in range(len(kept))] and 400 < len(kept) < 600
    assert sum(len(msgspec.json.encode(t)) for t in kept) < MOST_BYTES
    text = sentence(kept, left_out)
    assert f"{len(left_out)} left out" in text and f'"t{len(kept)}", ' in text and "1,000,000 bytes" in text
    assert len(text) < 1_000


def test_a_tool_that_is_too_large_costs_no_other() -> None:
    kept, left_out = fitting(discovery(tool("a"), tool("huge", 200_000), tool("b")))
    assert [t.name for t in kept] == ["a", "b"]
    assert sentence(kept, left_out) == (
        'Connected; 2 tools discovered; 1 left out: "huge" (it takes 200,188 bytes, more than 131,072)'
    )


def test_reasons_are_said_once_and_however_many_there_are_the_sentence_stays_short() -> None:
    same = tuple(LeftOut(f"t{i}", "it is listed twice") for i in range(5_000))
    assert sentence([], same).endswith('"t19" and 4980 more (it is listed twice)')
    other = tuple(LeftOut("n" * 5_000, f"reason {i}") for i in range(5_000))
    assert len(sentence([], other)) < 3_000
