"""Replies as servers really send them, over both wires, whole and streamed: each ends as meant, or says why."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web
from msgspec import Raw

from kubechain.agents.ports.model import Reply, TokenCount, ToolOffer
from kubechain.errors import ProviderError, Terminal, Transient
from kubechain.providers.models.router import Models
from tests.unit.models.world import ECHO, Server, completion, delta, endpoint, sse, user

pytestmark = pytest.mark.timeout(60)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def as_json(body: Any) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return web.Response(body=content, content_type="application/json")

    return answer


def as_stream(*events: Any, done: bool = True) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return sse(*events, done=done)

    return answer


def anthropic(*content: dict[str, Any], stop: str | None = "end_turn", **rest: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(content), "stop_reason": stop, **rest}


def blocks(*content: tuple[dict[str, Any], list[dict[str, Any]]], stop: str | None, ended: bool = True) -> Handler:
    """A stream of Anthropic's events: each block with its deltas."""
    listed: list[dict[str, Any]] = [{"type": "message_start", "message": anthropic(stop=None)}]
    for index, (block, deltas) in enumerate(content):
        listed.append({"type": "content_block_start", "index": index, "content_block": block})
        listed += [{"type": "content_block_delta", "index": index, "delta": one} for one in deltas]
    if stop is not None:
        listed.append({"type": "message_delta", "delta": {"stop_reason": stop}})
    return as_stream(*listed, *([{"type": "message_stop"}] if ended else []), done=False)


async def ask(models: Models, handler: Handler, *, provider: str = "openai", **parameters: Any) -> Reply:
    async with Server(handler) as server:
        return await models.ask(endpoint(server.url, provider=provider, **parameters), [user("x")], [ECHO])


async def fault(models: Models, handler: Handler, **parameters: Any) -> Transient | Terminal:
    with pytest.raises(ProviderError) as caught:
        await ask(models, handler, **parameters)
    assert isinstance(caught.value, Transient | Terminal)
    return caught.value


def asked(reply: Reply) -> list[tuple[str, str]]:
    return [(call.function.name, call.function.arguments) for call in reply.message.tool_calls]


def called(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def piece(arguments: Any = None, name: str | None = None, **rest: Any) -> dict[str, Any]:
    function = {} if arguments is None else {"arguments": arguments}
    return {**rest, "function": {**function, **({} if name is None else {"name": name})}}


NONE_AT_ALL = ["null", None, "", "  ", " null "]


@pytest.mark.parametrize("arguments", NONE_AT_ALL)
async def test_no_arguments_are_an_empty_object_in_a_whole_reply(models: Models, arguments: str | None) -> None:
    one = {"id": "a", "function": {"name": "t", "arguments": arguments}}
    assert asked(await ask(models, as_json(completion(called(one), "tool_calls")))) == [("t", "{}")]
    streamed = as_stream(delta({"tool_calls": [{"index": 0, **one}]}), delta({}, "tool_calls"))
    assert asked(await ask(models, streamed, stream=True)) == [("t", "{}")]
    use = {"type": "tool_use", "id": "a", "name": "t", "input": None}
    assert asked(await ask(models, as_json(anthropic(use, stop="tool_use")), provider="anthropic")) == [
        ("t", "{}")
    ]


@pytest.mark.parametrize("arguments", NONE_AT_ALL)
async def test_no_arguments_stay_none_where_the_reply_was_cut_off(models: Models, arguments: str | None) -> None:
    one = {"id": "a", "function": {"name": "t", "arguments": arguments}}
    for handler, stream in (
        (as_json(completion(called(one), "length")), False),
        (as_stream(delta({"tool_calls": [{"index": 0, **one}]}), delta({}, "length")), True),
    ):
        reply = await ask(models, handler, stream=stream)
        assert (asked(reply), reply.ending) == ([("t", "")], "TokenLimit")
    use = {"type": "tool_use", "id": "a", "name": "t", "input": {}}
    for handler, stream in (
        (as_json(anthropic(use, stop="max_tokens")), False),
        (blocks((use, [{"type": "input_json_delta", "partial_json": ""}]), stop="max_tokens"), True),
    ):
        reply = await ask(models, handler, provider="anthropic", stream=stream)
        assert (asked(reply), reply.ending) == ([("t", "")], "TokenLimit")


ONE, TWO = '{"x": "one"}', '{"x": "two"}'
HARD_TO_TELL = {
    "index 0, ids of their own": (
        [piece(ONE, "t", index=0, id="a"), piece(TWO, "t", index=0, id="b")],
        [ONE, TWO],
    ),
    "index 0, empty ids": ([piece(ONE, "t", index=0, id=""), piece(TWO, "t", index=0, id="")], [ONE, TWO]),
    "index 0, no ids": ([piece(ONE, "t", index=0), piece(TWO, "t", index=0)], [ONE, TWO]),
    "no index, no ids": ([piece(ONE, "t"), piece(TWO, "t")], [ONE, TWO]),
    "no index, ids": ([piece(ONE, "t", id="a"), piece(TWO, "t", id="b")], [ONE, TWO]),
    "a new id in each piece": (
        [piece('{"x": ', "t", index=0, id="1"), piece('"one', index=0, id="2"), piece('"}', index=0, id="3")],
        [ONE],
    ),
    "name and id in each piece": (
        [piece('{"x": ', "t", id="1"), piece('"one', "t", id="1"), piece('"}', "t", id="1")],
        [ONE],
    ),
    "name in each piece, no id": (
        [piece('{"x": ', "t", index=0), piece('"one', "t", index=0), piece('"}', "t", index=0)],
        [ONE],
    ),
    "a name at the end": ([piece(ONE, "t", index=0, id="a"), piece("", "t", index=0, id="a")], [ONE]),
    "pieces in turns by id": (
        [
            piece('{"x": ', "t", id="a"),
            piece('{"x": ', "t", id="b"),
            piece('"one"}', id="a"),
            piece('"two"}', id="b"),
        ],
        [ONE, TWO],
    ),
    "indexes as text": (
        [piece(ONE, "t", index="0", id=7), piece('{"x":', "t", index="1", id=8), piece(' "two"}', index="1")],
        [ONE, TWO],
    ),
    "no arguments, ids of their own": (
        [piece("", "t", index=0, id="a"), piece("", "t", index=0, id="b")],
        ["{}", "{}"],
    ),
    "arguments as an object": ([piece({"x": "one"}, "t", index=0, id="a")], ['{"x":"one"}']),
}


@pytest.mark.parametrize("kind", HARD_TO_TELL)
async def test_parallel_calls_of_a_stream_are_told_apart(models: Models, kind: str) -> None:
    pieces, wanted = HARD_TO_TELL[kind]
    events = [delta({"tool_calls": [one]}) for one in pieces]
    reply = await ask(models, as_stream(*events, delta({}, "tool_calls")), stream=True)
    assert asked(reply) == [("t", arguments) for arguments in wanted]
    assert len({call.id for call in reply.message.tool_calls}) == len(wanted)


async def test_each_call_of_a_whole_reply_is_a_call_of_its_own(models: Models) -> None:
    for ids in (
        (7, 8),
        ("c", "c"),
        (None, None),
        ("", ""),
        ("l" * 300, "l" * 300),
        ("functions.t:0", 'a|{"b"}/ü'),
    ):
        reply = await ask(models, as_json(completion(called(*(piece("{}", "t", id=i, index=0) for i in ids)))))
        found = [call.id for call in reply.message.tool_calls]
        assert len(set(found)) == 2 and all(0 < len(one) <= 256 for one in found)
    assert found == ["functions.t:0", 'a|{"b"}/ü']


async def test_done_says_that_a_stream_without_a_finish_reason_is_whole(models: Models) -> None:
    said = [delta({"role": "assistant"}), delta({"content": "It is "}), delta({"content": "42."})]
    reply = await ask(models, as_stream(*said), stream=True)
    assert (reply.message.content, reply.ending) == ("It is 42.", "Complete")
    assert (await fault(models, as_stream(*said, done=False), stream=True)).reason == "Interrupted"


async def test_a_stream_that_breaks_inside_a_call_is_no_reply(models: Models) -> None:
    for arguments in ('{"path": "/', '{"path": "/tmp"'):
        said = delta({"tool_calls": [piece(arguments, "t", index=0, id="a")]})
        for done in (False, True):
            assert (await fault(models, as_stream(said, done=done), stream=True)).reason == "Interrupted"
        use = (
            {"type": "tool_use", "id": "a", "name": "t"},
            [{"type": "input_json_delta", "partial_json": arguments}],
        )
        for ended in (False, True):
            cut = await fault(models, blocks(use, stop=None, ended=ended), provider="anthropic", stream=True)
            assert cut.reason == "Interrupted"
    empty = as_stream(delta({"tool_calls": [piece("", "t", index=0, id="a")]}), done=False)
    assert (await fault(models, empty, stream=True)).reason == "Interrupted"


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_stream_without_a_word_says_so(models: Models, provider: str) -> None:
    unread = await fault(models, as_stream(done=False), provider=provider, stream=True)
    assert (unread.reason, "a stream without a word" in str(unread)) == ("UnreadableReply", True)


BEHIND = {"code": 502, "message": "the model behind it went away"}


async def test_an_error_beside_half_a_text_is_the_error(models: Models) -> None:
    for text in ("Transfer 500 to", ""):
        half = completion({"role": "assistant", "content": text}, "error")
        half["choices"][0]["error"] = BEHIND
        last: dict[str, Any] = {"choices": [{"delta": {}, "finish_reason": "error", "error": BEHIND}]}
        for handler, stream in ((as_json(half), False), (as_stream(delta({"content": text}), last), True)):
            broken = await fault(models, handler, stream=stream)
            assert (type(broken), broken.reason, "went away" in str(broken)) == (Transient, "Unavailable", True)


async def test_errors_inside_a_success_are_read_in_every_form(models: Models) -> None:
    for body in (
        {"object": "error", "message": "no room", "code": 503},
        {"error": "no room"},
        {"message": "no room"},
        {"detail": "no room"},
    ):
        assert "no room" in str(await fault(models, as_stream(delta({"content": "half"}), body), stream=True))
        assert "no room" in str(await fault(models, as_json(body)))
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "no room"}}
    assert "no room" in str(await fault(models, as_json(error), provider="anthropic"))


@pytest.mark.parametrize(
    ("provider", "word", "ending"),
    [
        ("openai", "length", "TokenLimit"),
        ("openai", "content_filter", "Filtered"),
        ("openai", "error", "Unfinished"),
        ("openai", "eos", "Complete"),
        ("anthropic", "max_tokens", "TokenLimit"),
        ("anthropic", "content_filter", "Filtered"),
        ("anthropic", "refusal", "Refused"),
        ("anthropic", "pause_turn", "Unfinished"),
        ("anthropic", "something_new", "Complete"),
    ],
)
async def test_every_reason_to_stop_means_one_ending(
    models: Models, provider: str, word: str, ending: str
) -> None:
    text = {"type": "text", "text": "Transfer 500 to"}
    whole = (
        completion({"content": "Transfer 500 to"}, word) if provider == "openai" else anthropic(text, stop=word)
    )
    streamed = (
        as_stream(delta({"content": "Transfer 500 to"}), delta({}, word))
        if provider == "openai"
        else blocks(({"type": "text", "text": ""}, [{"type": "text_delta", "text": "Transfer 500 to"}]), stop=word)
    )
    for handler, stream in ((as_json(whole), False), (streamed, True)):
        reply = await ask(models, handler, provider=provider, stream=stream)
        assert (reply.message.content, reply.ending) == ("Transfer 500 to", ending)
        assert reply.finish in (word, "stop")


async def test_a_refusal_is_its_own_ending(models: Models) -> None:
    for handler, stream in (
        (as_json(completion({"content": None, "refusal": "I will not."})), False),
        (as_stream(delta({"refusal": "I will "}), delta({"refusal": "not."}), delta({}, "stop")), True),
    ):
        reply = await ask(models, handler, stream=stream)
        assert (reply.message.content, reply.finish, reply.ending) == ("I will not.", "refusal", "Refused")
    reply = await ask(models, as_json(anthropic(stop="refusal")), provider="anthropic")
    assert (reply.message.content, reply.ending) == (None, "Refused")


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_whole_for_a_stream_and_a_stream_for_whole_are_both_read(models: Models, provider: str) -> None:
    text = {"type": "text", "text": "hi"}
    whole = completion({"content": "hi"}) if provider == "openai" else anthropic(text)
    streamed = (
        as_stream(delta({"content": "hi"}), delta({}, "stop"))
        if provider == "openai"
        else blocks(({"type": "text", "text": "hi"}, []), stop="end_turn")
    )
    for handler, stream in ((as_json(whole), True), (streamed, False)):
        assert (await ask(models, handler, provider=provider, stream=stream)).message.content == "hi"


async def test_usage_that_nobody_told_is_unknown(models: Models) -> None:
    said = [delta({"content": "hi"}), delta({}, "stop")]
    assert (await ask(models, as_stream(*said), stream=True)).usage == TokenCount(None, None, None)
    told = {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 2}}
    assert (await ask(models, as_stream(*said, told), stream=True)).usage == TokenCount(0, 2, None)
    text = {"type": "text", "text": "hi"}
    assert (await ask(models, as_json(anthropic(text)), provider="anthropic")).usage == TokenCount()
    used = anthropic(text, usage={"input_tokens": 9, "output_tokens": 4, "cache_read_input_tokens": 5})
    assert (await ask(models, as_json(used), provider="anthropic")).usage == TokenCount(14, 4, 5)


HALF = b"\\ud83d"


async def test_half_an_emoji_is_replaced_and_two_halves_are_one(models: Models) -> None:
    whole = b'{"choices":[{"message":{"content":"half %b"},"finish_reason":"stop"}]}' % HALF
    assert (await ask(models, as_json(whole))).message.content == "half \ufffd"
    call = (
        b'{"choices":[{"message":{"content":null,"tool_calls":[{"id":"a%b","function":{"name":"t","arguments":'
        b'"{\\"x\\": \\"half %b\\"}"}}]},"finish_reason":"tool_calls"}]}' % (HALF, HALF)
    )
    assert asked(await ask(models, as_json(call))) == [("t", '{"x": "half \ufffd"}')]
    escaped = completion(called(piece('{"x": "half \\ud83d", "y": "\\ud83d\\ude00"}', "t", id="a")))
    assert asked(await ask(models, as_json(escaped))) == [("t", '{"x": "half \\ufffd", "y": "\\ud83d\\ude00"}')]
    pieces = [
        b'{"choices":[{"delta":{"content":"smile %b"}}]}' % half for half in (b"\\ud83d", b"\\ude00 \\ude00")
    ]
    stream = as_stream(*pieces, delta({}, "stop"))
    assert (await ask(models, stream, stream=True)).message.content == "smile \ufffdsmile \ufffd \ufffd"
    joined = [b'{"choices":[{"delta":{"content":"%b"}}]}' % half for half in (b"smile \\ud83d", b"\\ude00!")]
    assert (await ask(models, as_stream(*joined, delta({}, "stop")), stream=True)).message.content == "smile 😀!"
    message = b'{"type":"message","content":[{"type":"text","text":"half %b"}],"stop_reason":"end_turn"}' % HALF
    assert (await ask(models, as_json(message), provider="anthropic")).message.content == "half \ufffd"
    broken = '{"choices":[{"message":{"content":"café"},"finish_reason":"stop"}]}'.encode().replace(b"\xa9", b"")
    assert (await ask(models, as_json(broken))).message.content == "caf\ufffd"


async def test_arguments_that_nest_without_end_are_kept_as_text(models: Models) -> None:
    deep = '{"x":' * 3000 + "1" + "}" * 3000
    body = msgspec.json.encode(completion(called(piece("@@", "t", id="a")))).replace(b'"@@"', deep.encode())
    assert asked(await ask(models, as_json(body))) == [("t", deep)]
    use = {"type": "tool_use", "id": "a", "name": "t", "input": "@@"}
    body = msgspec.json.encode(anthropic(use, stop="tool_use")).replace(b'"@@"', deep.encode())
    assert asked(await ask(models, as_json(body), provider="anthropic")) == [("t", deep)]
    body = msgspec.json.encode(completion({"content": "hi"})).replace(b'"hi"', b"[" * 3000 + b"]" * 3000)
    assert (await fault(models, as_json(body))).reason == "UnreadableReply"


async def test_comments_and_empty_pieces_for_ever_are_no_sign_of_life(models: Models) -> None:
    empty = b'data: {"choices":[{"delta":{},"finish_reason":null}]}\n\n'
    ping = b'event: ping\ndata: {"type":"ping"}\n\n'
    for provider, noise in (("openai", b": keep-alive\n\n"), ("openai", empty), ("anthropic", ping)):

        async def drip(request: web.Request, noise: bytes = noise) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            gone = asyncio.create_task(asyncio.Event().wait())
            try:
                while True:  # until the client goes, and the handler is cancelled
                    await response.write(noise)
                    await asyncio.wait([gone], timeout=0.02)
            finally:
                gone.cancel()

        late = await fault(models, drip, provider=provider, stream=True, timeout="200ms")
        assert late.reason == "Timeout"


async def test_a_stream_keeps_its_connection_though_its_end_comes_in_a_second_piece(models: Models) -> None:
    said = b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(said)
        await response.write_eof()
        return response

    async with Server(answer) as server:
        for _ in range(5):
            assert (await models.ask(endpoint(server.url, stream=True), [user("x")], [])).message.content == "hi"
        assert len({h.transport.get_extra_info("peername") if h.transport else None for h in server.heads}) == 1


async def test_a_schema_without_properties_gets_them_and_others_go_as_they_are(models: Models) -> None:
    given = [
        b'{"type":"object"}',
        b'{"type":"object","additionalProperties":false}',
        b'{"type": "object", "properties": {"b": {}}}',
        b'{"anyOf": []}',
        b"",
    ]
    async with Server(completion({"content": "hi"})) as server:
        tools = [ToolOffer(f"t{i}", "", Raw(schema)) for i, schema in enumerate(given)]
        await models.ask(endpoint(server.url), [user("x")], tools)
        sent = [tool["function"]["parameters"] for tool in server.sent["tools"]]
        assert given[2] in server.bodies[0]
    assert sent == [
        {"type": "object", "properties": {}},
        {"type": "object", "additionalProperties": False, "properties": {}},
        {"type": "object", "properties": {"b": {}}},
        {"type": "object", "anyOf": [], "properties": {}},
        {"type": "object", "properties": {}},
    ]


REFUSED_TOOLS = [
    {"message": "Invalid schema for function 'simple-echo-tool': array schema missing items."},
    {"message": "Invalid 'tools[0].function.parameters'", "param": "tools[0].function.parameters"},
    {"message": "tools.0.custom.input_schema: JSON schema is invalid"},
]


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_refusal_that_is_about_a_tool_names_it(models: Models, provider: str) -> None:
    def refuse(error: dict[str, str]) -> Handler:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.json_response({"error": error}, status=400)

        return answer

    for error in REFUSED_TOOLS:
        refused = await fault(models, refuse(error), provider=provider)
        assert (refused.reason, "tool simple-echo-tool" in str(refused)) == ("ToolRefused", True)
        assert "spec.parameters" not in str(refused)
    long = {"message": "Invalid 'tools': array too long. Expected maximum length 128, but got 200."}
    many = await fault(models, refuse(long), provider=provider)
    assert (many.reason, "from simple-echo-tool" in str(many)) == ("ToolRefused", True)
    other = {"message": "Unsupported parameter: top_k"}
    assert (await fault(models, refuse(other), provider=provider)).reason == "InvalidRequest"


async def test_the_name_of_the_token_limit_can_be_chosen(models: Models) -> None:
    async with Server(completion({"content": "hi"})) as server:
        for provider, chosen, name in (
            ("openai", None, "max_completion_tokens"),
            ("openai", "MaxTokens", "max_tokens"),
            ("mistral", "Auto", "max_tokens"),
            ("openai-compatible", None, "max_tokens"),
            ("openai-compatible", "MaxCompletionTokens", "max_completion_tokens"),
        ):
            field: dict[str, Any] = {} if chosen is None else {"maxTokensField": chosen}
            await models.ask(endpoint(server.url, provider=provider, maxTokens=9, **field), [user("x")], [])
            assert {key for key in server.sent if key.startswith("max")} == {name}


async def test_a_model_that_is_not_listed_is_named(models: Models) -> None:
    async with Server({"data": [{"id": "served"}, {"id": "llama3:latest"}]}) as server:
        for model, said in (("served", False), ("llama3", False), ("nosuch", True)):
            detail = await models.check(endpoint(server.url, model=model))
            assert ("does not list model nosuch, but llama3:latest, served" in detail) == said
        server.answer = {"data": [{"id": "served"}], "has_more": True}
        assert "does not list" not in await models.check(endpoint(server.url, model="nosuch"))


async def test_blocks_that_all_have_one_index_are_blocks_of_their_own(models: Models) -> None:
    start = {"type": "content_block_start", "index": 0}
    events = [
        {**start, "content_block": {"type": "text", "text": "So: "}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "now"}},
    ]
    for id_, text in (("a", ONE), ("b", TWO)):
        events.append({**start, "content_block": {"type": "tool_use", "id": id_, "name": "t", "input": {}}})
        for part in (text[:5], text[5:]):
            extra = {"type": "input_json_delta", "partial_json": part}
            events.append({"type": "content_block_delta", "index": 0, "delta": extra})
    events.append({"type": "message_delta", "delta": {"stop_reason": "tool_use"}})
    reply = await ask(models, as_stream(*events, done=False), provider="anthropic", stream=True)
    assert (reply.message.content, asked(reply)) == ("So: now", [("t", ONE), ("t", TWO)])


async def test_a_byte_order_mark_in_front_is_no_part_of_a_reply(models: Models) -> None:
    mark = b"\xef\xbb\xbf"
    body = mark + msgspec.json.encode(completion({"content": "hi"}))
    assert (await ask(models, as_json(body))).message.content == "hi"

    async def answer(_: web.Request) -> web.StreamResponse:
        said = mark + b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n'
        return web.Response(body=said, content_type="text/event-stream")

    assert (await ask(models, answer, stream=True)).message.content == "hi"
