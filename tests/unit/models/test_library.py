"""Anthropic's wire through the library, seen by a server that records it."""

import asyncio
import sys
from typing import Any

import msgspec
import pytest
from aiohttp import web
from msgspec import Raw

from kubechain.agents.ports.model import TokenCount, ToolOffer
from kubechain.errors import ProviderError, Terminal, Transient
from kubechain.providers.models.endpoints import host
from kubechain.providers.models.router import Models
from kubechain.resources.message import Message
from tests.unit.models.world import ECHO, KEY, Server, calls, endpoint, hang, result, user

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True, scope="module")
def library() -> None:
    pytest.importorskip("pydantic_ai.models.anthropic", reason="the extra kubechain[anthropic] is not installed")


def message(*content: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": list(content),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 4, "cache_read_input_tokens": 5},
    }


HI = message({"type": "text", "text": "hi"})
THOUGHT = {"type": "thinking", "thinking": "é \u2028 hm", "signature": "Ab+/=="}
HIDDEN = {"type": "redacted_thinking", "data": "Zz=="}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {"b": 1, "a": [True, None]}}


async def test_a_conversation_goes_out_with_tools_and_comes_back(models: Models) -> None:
    told = [
        Message(role="system", content="Be kind."),
        user("x"),
        calls(("toolu_0", "t", '{"a": 1}'), ("toolu_00", "t", "{}"), content="So:"),
        result("toolu_0", "one"),
        result("toolu_00", "two"),
    ]
    async with Server(message({"type": "text", "text": "Now"}, CALL, stop="tool_use")) as server:
        llm = endpoint(server.url, provider="anthropic", name="claude-x", headers=(("X-Team", "a"),))
        reply = await models.ask(llm, told, [ECHO, ToolOffer("t", "", Raw(b"{}"))])
        sent, head = server.sent, server.heads[0]
    assert reply.message == calls(("toolu_1", "t", '{"b":1,"a":[true,null]}'), content="Now")
    assert (reply.finish, reply.usage.output, reply.usage.cached) == ("tool_calls", 4, 5)
    assert (sent["system"], sent["model"], sent["max_tokens"]) == ("Be kind.", "claude-x", 16384)
    assert [tool["name"] for tool in sent["tools"]] == ["simple-echo-tool", "t"]
    assert sent["tools"][0]["input_schema"]["required"] == ["message"]
    assert [m["role"] for m in sent["messages"]] == ["user", "assistant", "user"]
    assert [b.get("input") for b in sent["messages"][1]["content"]] == [None, {"a": 1}, {}]
    assert [b["tool_use_id"] for b in sent["messages"][2]["content"]] == ["toolu_0", "toolu_00"]
    assert (head.path, head.headers["Authorization"], head.headers["X-Team"]) == (
        "/v1/messages",
        f"Bearer {KEY}",
        "a",
    )


async def test_every_parameter_reaches_the_wire(models: Models) -> None:
    async with Server(HI) as server:
        given: dict[str, Any] = {
            "temperature": "0.7",
            "maxTokens": 99,
            "topP": "0.9",
            "topK": 40,
            "stop": ["END"],
            "seed": 7,
            "frequencyPenalty": "-1.5",
            "presencePenalty": "2",
            "parallelToolCalls": False,
            "reasoning": {"effort": "low", "budgetTokens": 2048},
        }
        await models.ask(endpoint(server.url, provider="anthropic", name="claude-x", **given), [user("x")], [ECHO])
        sent = {name: value for name, value in server.sent.items() if name not in ("messages", "tools")}
        assert sent == {
            "model": "claude-x",
            "stream": False,
            "max_tokens": 99,
            "temperature": 0.7,
            "top_p": 0.9,
            "top_k": 40,
            "stop_sequences": ["END"],
            "seed": 7,
            "frequency_penalty": -1.5,
            "presence_penalty": 2.0,
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            "thinking": {"type": "enabled", "budget_tokens": 2048},
            "output_config": {"effort": "low"},
        }


async def test_sampling_parameters_reach_models_that_the_library_knows_to_refuse_them(models: Models) -> None:
    async with Server(HI) as server:
        llm = endpoint(server.url, provider="anthropic", name="claude-opus-5", temperature="0.5", maxTokens=5)
        await models.ask(llm, [user("x")], [])
        assert server.sent["temperature"] == 0.5


@pytest.mark.parametrize(
    "content",
    [
        [THOUGHT, HIDDEN, {"type": "text", "text": "So"}, CALL],
        [
            THOUGHT,
            {"type": "text", "text": "a"},
            THOUGHT,
            {"type": "text", "text": "b"},
            CALL,
            {**CALL, "id": "toolu_2"},
        ],
        [HIDDEN, CALL],
    ],
)
async def test_thinking_goes_back_as_it_came_and_where_it_stood(
    models: Models, content: list[dict[str, Any]]
) -> None:
    async with Server(message(*content, stop="tool_use")) as server:
        llm = endpoint(server.url, provider="anthropic", name="claude-x")
        reply = await models.ask(llm, [user("x")], [ECHO])
        stored = msgspec.json.decode(msgspec.json.encode(reply.message), type=Message)
        results = [result(call.id, "y") for call in stored.tool_calls]
        await models.ask(llm, [user("x"), stored, *results], [ECHO])
        assert server.sent["messages"][1]["content"] == content


def events(*content: dict[str, Any]) -> list[dict[str, Any]]:
    """The stream of a reply: a thought with a late signature, text and a tool call in pieces."""
    start = {**message(), "stop_reason": None}
    listed: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for index, (block, deltas) in enumerate((c["block"], c["deltas"]) for c in content):
        listed.append({"type": "content_block_start", "index": index, "content_block": block})
        listed += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        listed.append({"type": "content_block_stop", "index": index})
    ended = {"delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": {"output_tokens": 7}}
    return [*listed, {"type": "message_delta", **ended}, {"type": "message_stop"}]


STREAM = events(
    {
        "block": {"type": "thinking", "thinking": "", "signature": ""},
        "deltas": [
            {"type": "thinking_delta", "thinking": "h"},
            {"type": "thinking_delta", "thinking": "m"},
            {"type": "signature_delta", "signature": "Ab=="},
        ],
    },
    {
        "block": {"type": "text", "text": ""},
        "deltas": [{"type": "text_delta", "text": "He"}, {"type": "text_delta", "text": "llo"}],
    },
    {
        "block": {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {}},
        "deltas": [{"type": "input_json_delta", "partial_json": p} for p in ("", '{"a"', ":1}")],
    },
    {"block": {"type": "tool_use", "id": "toolu_2", "name": "t", "input": {}}, "deltas": []},
)


def stream(listed: list[dict[str, Any]]) -> web.Response:
    body = "".join(f"event: {one['type']}\ndata: {msgspec.json.encode(one).decode()}\n\n" for one in listed)
    return web.Response(text=body, content_type="text/event-stream")


async def test_a_stream_is_assembled_and_its_thought_goes_back(models: Models) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return stream(STREAM)

    pieces: list[str] = []
    async with Server(answer) as server:
        llm = endpoint(server.url, provider="anthropic", name="claude-x", stream=True)
        reply = await models.ask(llm, [user("x")], [ECHO], pieces.append)
        assert pieces == ["He", "llo"]
        assert [(c.id, c.function.arguments) for c in reply.message.tool_calls] == [
            ("toolu_1", '{"a":1}'),
            ("toolu_2", "{}"),
        ]
        assert (reply.message.content, reply.usage, reply.finish) == ("Hello", TokenCount(14, 7, 5), "tool_calls")
        told = [user("x"), reply.message, result("toolu_1", "y"), result("toolu_2", "z")]
        await models.ask(llm, told, [ECHO])
        assert server.sent["messages"][1]["content"][0] == {
            "type": "thinking",
            "thinking": "hm",
            "signature": "Ab==",
        }


@pytest.mark.parametrize("length", [1, 4, 8, len(STREAM) - 2])
async def test_a_cut_stream_is_transient_wherever_it_is_cut(models: Models, length: int) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return stream(STREAM[:length])

    async with Server(answer) as server:
        with pytest.raises(Transient):
            await models.ask(endpoint(server.url, provider="anthropic", stream=True), [user("x")], [])
        assert len(server.bodies) == 1


async def test_system_texts_in_the_middle_still_reach_the_model(models: Models) -> None:
    told = [user("x"), Message(role="assistant", content="y"), Message(role="system", content="Hurry."), user("z")]
    async with Server(HI) as server:
        await models.ask(endpoint(server.url, provider="anthropic", name="claude-x"), told, [])
        assert "Hurry." in str(server.sent["messages"])
        assert {m["role"] for m in server.sent["messages"]} == {"user", "assistant"}


@pytest.mark.parametrize(
    ("status", "error", "kind", "reason"),
    [
        (401, {"type": "authentication_error", "message": f"invalid x-api-key {KEY}"}, Terminal, "Unauthorized"),
        (404, {"type": "not_found_error", "message": "model: claude-x"}, Terminal, "ModelNotFound"),
        (
            400,
            {"type": "invalid_request_error", "message": "prompt is too long"},
            Terminal,
            "ContextLengthExceeded",
        ),
        (400, {"type": "invalid_request_error", "message": "seed: not permitted"}, Terminal, "InvalidRequest"),
        (
            400,
            {"type": "invalid_request_error", "message": "Your credit balance is too low"},
            Transient,
            "QuotaExceeded",
        ),
        (429, {"type": "rate_limit_error", "message": "slow"}, Transient, "RateLimited"),
        (529, {"type": "overloaded_error", "message": "busy"}, Transient, "Unavailable"),
        (500, {"type": "api_error", "message": "oops"}, Transient, "Unavailable"),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
async def test_a_refusal_is_terminal_or_transient_by_its_meaning(
    models: Models, status: int, error: dict[str, Any], kind: type[ProviderError], reason: str, streams: bool
) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({"type": "error", "error": error}, status=status, headers={"Retry-After": "7"})

    async with Server(answer) as server:
        with pytest.raises(ProviderError) as caught:
            llm = endpoint(server.url, provider="anthropic", name="claude-x", stream=streams)
            await models.ask(llm, [user("x")], [])
        assert len(server.bodies) == 1
    refused = caught.value
    assert isinstance(refused, Terminal | Transient)
    assert (type(refused), refused.reason) == (kind, reason)
    assert str(refused).startswith(f"LLM default/claude-x: {host(server.url)} ")
    assert KEY not in str(refused)
    if isinstance(refused, Transient):
        assert refused.retry_after == 7


async def test_an_error_event_in_a_stream_is_the_error(models: Models) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        broken = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        return stream([*STREAM[:4], broken])

    async with Server(answer) as server:
        with pytest.raises(Transient, match="Overloaded"):
            await models.ask(endpoint(server.url, provider="anthropic", stream=True), [user("x")], [])


async def test_hanging_and_garbage_are_transient_and_a_redirect_is_terminal(models: Models) -> None:
    async def garbage(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>hello</html>", content_type="text/html")

    async def broken(_: web.Request) -> web.StreamResponse:
        return web.Response(text="{", content_type="application/json")

    async def away(_: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"})

    for handler, kind in ((hang, Transient), (garbage, Transient), (broken, Transient), (away, Terminal)):
        for streams in (False, True):
            async with Server(handler) as server:
                llm = endpoint(server.url, provider="anthropic", timeout="300ms", stream=streams)
                with pytest.raises(kind):
                    await models.ask(llm, [user("x")], [])


async def test_reasoning_of_one_wire_is_not_sent_over_the_other(models: Models) -> None:
    said = {"choices": [{"message": {"content": "hi", "reasoning_content": "deep"}, "finish_reason": "stop"}]}
    async with Server(message(THOUGHT, {"type": "text", "text": "hi"})) as anthropic, Server(said) as chat:
        ours, theirs = endpoint(chat.url), endpoint(anthropic.url, provider="anthropic")
        first = await models.ask(theirs, [user("x")], [])
        second = await models.ask(ours, [user("x"), first.message, user("y")], [])
        assert chat.sent["messages"][1] == {"role": "assistant", "content": "hi"}
        await models.ask(theirs, [user("x"), second.message, user("y")], [])
        assert anthropic.sent["messages"][1]["content"] == [{"type": "text", "text": "hi"}]


async def test_without_the_extra_the_error_names_it(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubechain.providers.models.anthropic.library", None)
    with pytest.raises(Terminal, match=r"pip install 'kubechain\[anthropic\]'") as missing:
        await models.ask(endpoint("http://127.0.0.1:1", provider="anthropic"), [user("x")], [])
    assert missing.value.reason == "ProviderNotInstalled"


async def test_the_environment_gives_neither_key_nor_address(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Server(HI) as server, Server(HI) as elsewhere:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", elsewhere.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-environment")
        monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "environment")
        await models.ask(endpoint(server.url, provider="anthropic"), [user("x")], [])
        assert server.heads[0].headers["Authorization"] == f"Bearer {KEY}"
        assert "environment" not in str(server.heads[0].headers)
        assert elsewhere.bodies == []


async def test_nothing_of_the_library_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, kubechain.providers.models.router, kubechain.providers.models.scripted;"
        "print(sorted({'pydantic_ai', 'anthropic', 'mcp', 'uvicorn'} & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert said.strip() == b"[]"
