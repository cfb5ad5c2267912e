"""What goes out on the chat-completions wire and what comes back, seen by a server that records it."""

import asyncio
from typing import Any

import msgspec
import pytest
from aiohttp import web
from msgspec import Raw

from kubechain.agents.ports.model import TokenCount, ToolOffer
from kubechain.errors import Terminal
from kubechain.providers.models.router import Models
from kubechain.resources.llm import Parameters
from kubechain.resources.message import Message
from tests.unit.models.world import ECHO, KEY, Server, calls, completion, delta, endpoint, result, sse, user

pytestmark = pytest.mark.timeout(30)
HI = completion({"role": "assistant", "content": "hi"})
EVERYTHING: dict[str, Any] = {
    "model": "m1",
    "temperature": "0.70",
    "maxTokens": 99,
    "topP": "0.9",
    "topK": 40,
    "stop": ["END"],
    "seed": 7,
    "frequencyPenalty": "-1.5",
    "presencePenalty": "2",
    "parallelToolCalls": False,
    "reasoning": {"effort": "low", "budgetTokens": 512},
}


async def test_every_parameter_reaches_the_wire_under_its_wire_name(models: Models) -> None:
    async with Server(HI) as server:
        await models.ask(endpoint(server.url, **EVERYTHING), [user("x")], [ECHO])
        assert server.sent == {
            "model": "m1",
            "messages": [{"role": "user", "content": "x"}],
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "simple-echo-tool",
                        "description": "Echoes a message back.",
                        "parameters": msgspec.json.decode(ECHO.parameters),
                    },
                }
            ],
            "temperature": 0.7,
            "max_completion_tokens": 99,
            "top_p": 0.9,
            "top_k": 40,
            "stop": ["END"],
            "seed": 7,
            "frequency_penalty": -1.5,
            "presence_penalty": 2,
            "parallel_tool_calls": False,
            "reasoning_effort": "low",
            "thinking": {"type": "enabled", "budget_tokens": 512},
        }
        assert b'"temperature":0.70,' in server.bodies[0]
        assert server.heads[0].headers["Authorization"] == f"Bearer {KEY}"
        assert server.heads[0].path == "/v1/chat/completions"
        local = {"base_url", "timeout", "stream", "max_tokens_field"}
        assert set(Parameters.__struct_fields__) == local | {
            f for f in Parameters.__struct_fields__ if _camel(f) in EVERYTHING
        }


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


async def test_without_tools_nothing_about_tools_is_sent(models: Models) -> None:
    async with Server(HI) as server:
        await models.ask(endpoint(server.url, parallelToolCalls=True), [user("x")], [])
        assert set(server.sent) == {"model", "messages"}
        assert server.sent["model"] == "gpt-4o"


async def test_a_whole_conversation_goes_out_in_wire_names(models: Models) -> None:
    told = [
        Message(role="system", content="Be kind."),
        user("x"),
        calls(("call_01", "t", '{"a": 1}')),
        result("call_01", "done\u2028\x85"),
        Message(role="assistant"),
        user("y"),
    ]
    async with Server(HI) as server:
        await models.ask(endpoint(server.url), told, [])
        assert server.sent["messages"] == [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "x"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "call_01", "type": "function", "function": {"name": "t", "arguments": '{"a": 1}'}}
                ],
            },
            {"role": "tool", "content": "done\u2028\x85", "tool_call_id": "call_01"},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": "y"},
        ]


async def test_a_tool_without_a_schema_takes_an_empty_object(models: Models) -> None:
    async with Server(HI) as server:
        await models.ask(endpoint(server.url), [user("x")], [ToolOffer("t", "", Raw(b"{}"))])
        assert server.sent["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}


async def test_mistral_gets_its_own_names_and_ids_of_nine_letters(models: Models) -> None:
    told = [user("x"), calls(("call_01", "t", "{}")), result("call_01", "y")]
    async with Server(HI) as server:
        await models.ask(endpoint(server.url, provider="mistral", seed=7, stream=True), told, [])
        assert server.sent["random_seed"] == 7
        assert not {"seed", "stream_options"} & set(server.sent)
        id_ = server.sent["messages"][1]["tool_calls"][0]["id"]
        assert server.sent["messages"][2]["tool_call_id"] == id_
        assert len(id_) == 9 and id_.isalnum()


async def test_headers_of_the_llm_win_and_a_keyless_provider_sends_no_key(models: Models) -> None:
    async with Server(HI) as server:
        llm = endpoint(server.url, headers=(("Authorization", "Basic abc"), ("X-Team", "a")))
        await models.ask(llm, [user("x")], [])
        assert server.heads[0].headers.getall("Authorization") == ["Basic abc"]
        assert server.heads[0].headers["X-Team"] == "a"
        await models.ask(endpoint(server.url, provider="ollama", key=""), [user("x")], [])
        assert "Authorization" not in server.heads[1].headers


async def test_a_key_read_from_a_file_loses_its_line_feed(models: Models) -> None:
    async with Server(HI) as server:
        await models.ask(endpoint(server.url, key=KEY + "\n"), [user("x")], [])
        assert server.heads[0].headers["Authorization"] == f"Bearer {KEY}"


async def test_a_query_of_the_base_url_stays_behind_the_path(models: Models) -> None:
    async with Server(HI) as server:
        await models.ask(endpoint(server.url + "/?api-version=1"), [user("x")], [])
        assert server.heads[0].path_qs == "/v1/chat/completions?api-version=1"


async def test_many_runs_ask_at_the_same_time_over_one_session(models: Models) -> None:
    everybody = asyncio.Barrier(150)

    async def answer(_: web.Request) -> web.StreamResponse:
        await everybody.wait()
        return web.json_response(HI)

    async with Server(answer) as server, asyncio.timeout(20):
        async with asyncio.TaskGroup() as group:
            for _ in range(150):
                group.create_task(models.ask(endpoint(server.url), [user("x")], []))
        assert server.most_open == 150


async def test_connections_are_kept_alive(models: Models) -> None:
    async with Server(HI) as server:
        for _ in range(3):
            await models.ask(endpoint(server.url), [user("x")], [])
        assert (
            len({head.transport.get_extra_info("peername") if head.transport else None for head in server.heads})
            == 1
        )


async def test_a_tool_call_whose_finish_is_stop_is_still_a_tool_call(models: Models) -> None:
    called = {
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}}],
    }
    async with Server(completion(called)) as server:
        reply = await models.ask(endpoint(server.url), [user("x")], [ECHO])
    assert reply.finish == "tool_calls"
    async with Server(completion(called, "length")) as server:
        reply = await models.ask(endpoint(server.url), [user("x")], [ECHO])
    assert reply.finish == "length"


@pytest.mark.parametrize(
    ("finish", "ending"),
    [
        ("stop", "Complete"),
        ("tool_calls", "Complete"),
        ("length", "TokenLimit"),
        ("content_filter", "Filtered"),
        ("refusal", "Refused"),
        ("error", "Unfinished"),
    ],
)
async def test_only_a_complete_reply_has_calls_with_whole_arguments(
    models: Models, finish: str, ending: str
) -> None:
    called = {"content": None, "tool_calls": [{"id": "c", "function": {"name": "t", "arguments": ""}}]}
    async with Server(completion(called, finish)) as server:
        reply = await models.ask(endpoint(server.url), [user("x")], [ECHO])
    assert reply.ending == ending
    assert reply.message.tool_calls[0].function.arguments == ("{}" if ending == "Complete" else "")


async def test_ids_that_are_missing_or_repeated_are_counted_on(models: Models) -> None:
    one = {"function": {"name": "t", "arguments": {"a": 1}}}
    wanted = {
        "content": "",
        "tool_calls": [one, {"id": "x", **one}, {"id": "x", "function": {"name": "t", "arguments": ""}}],
    }
    told = [user("x"), calls(("call_01", "t", "{}")), result("call_01", "y")]
    async with Server(completion(wanted)) as server:
        reply = await models.ask(endpoint(server.url), told, [ECHO])
    assert [(call.id, call.function.arguments) for call in reply.message.tool_calls] == [
        ("call_02", '{"a": 1}'),
        ("x", '{"a": 1}'),
        ("call_04", "{}"),
    ]
    assert reply.message.content is None


async def test_tokens_are_counted_and_odd_counts_fail_nothing(models: Models) -> None:
    said = {"role": "assistant", "content": "hi"}
    counts = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}}
    for usage, expected in (
        (counts, TokenCount(9, 4, 5)),
        ({"prompt_tokens": "?"}, TokenCount()),
        (None, TokenCount()),
    ):
        async with Server(completion(said, usage=usage)) as server:
            assert (await models.ask(endpoint(server.url), [user("x")], [])).usage == expected


REASONED = (
    b'{"choices":[{"message":{"role":"assistant","content":"hi","reasoning_content":"a\\u00e9 \\/ b",'
    b'"reasoning_details":[{"type":"reasoning.encrypted","data":"QQ==",  "n":1.0}],'
    b'"tool_calls":[{"id":"c","function":{"name":"t","arguments":"{}"},'
    b'"extra_content":{"google":{"s": "\\u0041"}}}]},'
    b'"finish_reason":"stop"}]}'
)


async def test_reasoning_goes_back_byte_for_byte_to_the_same_host_only(models: Models) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=REASONED, content_type="application/json")

    async with Server(answer) as server, Server(HI) as other:
        reply = await models.ask(endpoint(server.url), [user("x")], [])
        stored = msgspec.json.decode(msgspec.json.encode(reply.message), type=Message)
        told = [user("x"), stored, result("c", "y")]
        await models.ask(endpoint(server.url), told, [])
        for kept in (
            b'"reasoning_content":"a\\u00e9 \\/ b"',
            b'"reasoning_details":[{"type":"reasoning.encrypted","data":"QQ==",  "n":1.0}]',
            b'"extra_content":{"google":{"s": "\\u0041"}}',
        ):
            assert kept in server.bodies[1]
        assert server.sent["messages"][1]["content"] == "hi"
        await models.ask(endpoint(other.url), told, [])
        assert b"reasoning" not in other.bodies[0]
        assert b"extra_content" not in other.bodies[0]


async def test_a_content_of_parts_is_read_as_text_and_sent_back_as_parts(models: Models) -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "hi"}]
    async with Server(completion({"role": "assistant", "content": parts})) as server:
        reply = await models.ask(endpoint(server.url), [user("x")], [])
        assert reply.message.content == "hi"
        await models.ask(endpoint(server.url), [user("x"), reply.message, user("y")], [])
        assert server.sent["messages"][1] == {"role": "assistant", "content": parts}


async def test_a_stream_is_assembled_with_parallel_calls_text_reasoning_and_usage(models: Models) -> None:
    def call(index: int | None, **rest: Any) -> dict[str, Any]:
        return delta({"tool_calls": [{**({} if index is None else {"index": index}), **rest}]})

    async def answer(_: web.Request) -> web.StreamResponse:
        return sse(
            delta({"role": "assistant", "content": ""}),
            delta({"reasoning_content": "I th"}),
            delta({"reasoning_content": "ink", "reasoning_details": [{"type": "t", "index": 0, "text": "a"}]}),
            delta({"reasoning_details": [{"type": "t", "index": 0, "text": "b", "signature": "s"}]}),
            delta({"content": "He\u2028"}),
            delta({"content": "llo"}),
            call(0, id="a", function={"name": "one", "arguments": ""}),
            call(1, id="b", function={"name": "two", "arguments": '{"x"'}),
            call(0, function={"arguments": '{"y":'}),
            call(1, function={"arguments": ":1}"}),
            call(0, function={"arguments": "2}"}),
            delta({}, "stop"),
            {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
        )

    pieces: list[str] = []
    async with Server(answer) as server:
        reply = await models.ask(endpoint(server.url, stream=True), [user("x")], [ECHO], pieces.append)
        assert (server.sent["stream"], server.sent["stream_options"]) == (True, {"include_usage": True})
    assert [(c.id, c.function.name, c.function.arguments) for c in reply.message.tool_calls] == [
        ("a", "one", '{"y":2}'),
        ("b", "two", '{"x":1}'),
    ]
    assert (reply.message.content, pieces, reply.finish) == ("He\u2028llo", ["He\u2028", "llo"], "tool_calls")
    assert reply.usage == TokenCount(3, 2)
    fields = msgspec.json.decode(reply.message.opaque)["fields"]
    assert fields == {
        "reasoning_content": "I think",
        "reasoning_details": [{"type": "t", "index": 0, "text": "ab", "signature": "s"}],
    }


@pytest.mark.parametrize("index", [None, 0])
async def test_servers_that_number_every_call_alike_are_understood(models: Models, index: int | None) -> None:
    numbered = {} if index is None else {"index": index}
    one = {"id": "a", "function": {"name": "t", "arguments": "{}"}, **numbered}
    two = {"id": "b", "function": {"name": "t", "arguments": '{"z"'}, **numbered}
    rest = {"function": {"arguments": ":1}"}, **numbered}

    async def answer(_: web.Request) -> web.StreamResponse:
        return sse(
            delta({"tool_calls": [one]}), delta({"tool_calls": [two]}), delta({"tool_calls": [rest]}, "tool_calls")
        )

    async with Server(answer) as server:
        reply = await models.ask(endpoint(server.url, stream=True), [user("x")], [ECHO])
    assert [(c.id, c.function.arguments) for c in reply.message.tool_calls] == [("a", "{}"), ("b", '{"z":1}')]


async def test_a_server_that_does_not_stream_when_asked_to_is_understood(models: Models) -> None:
    async with Server(HI) as server:
        reply = await models.ask(endpoint(server.url, stream=True), [user("x")], [])
    assert reply.message.content == "hi"


async def test_the_check_lists_models_with_the_key(models: Models) -> None:
    async with Server({"object": "list", "data": []}) as server:
        assert await models.check(endpoint(server.url)) == "OpenAI API key validated successfully"
        assert (server.heads[0].method, server.heads[0].path) == ("GET", "/v1/models")
        assert server.heads[0].headers["Authorization"] == f"Bearer {KEY}"
        anthropic = endpoint(server.url, provider="anthropic")
        assert await models.check(anthropic) == "Anthropic API key validated successfully"
        assert server.heads[1].path == "/v1/models"
        assert server.heads[1].headers["x-api-key"] == KEY
        keyless = await models.check(endpoint(server.url, provider="ollama", key=""))
        assert "no API key is set" in keyless


async def test_an_endpoint_that_lists_no_models_is_ready_with_an_unchecked_key(models: Models) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=404)

    async with Server(answer) as server:
        said = await models.check(endpoint(server.url))
    assert "does not list models" in said and "not checked" in said


async def test_a_check_of_a_wrong_key_or_of_a_web_site_is_terminal(models: Models) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": f"Incorrect API key provided: {KEY}"}}, status=401)

    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>Welcome</html>", content_type="text/html")

    async with Server(refuse) as server:
        with pytest.raises(Terminal, match="OPENAI_API_KEY of Secret openai") as refused:
            await models.check(endpoint(server.url))
        assert refused.value.reason == "Unauthorized"
        assert KEY not in str(refused.value)
    async with Server(page) as server:
        with pytest.raises(Terminal, match="not as a model API"):
            await models.check(endpoint(server.url))
