"""The scripted model, asked through our own adapter over real HTTP."""

import asyncio
from typing import Any

import aiohttp
import pytest
from msgspec import Raw

from kubechain.agents.ports.model import TokenCount, ToolOffer
from kubechain.errors import Terminal, Transient
from kubechain.providers.models.router import Models
from kubechain.providers.models.scripted import ScriptedModel, load
from kubechain.resources.yamltext import NotYaml
from tests.unit.models.world import ECHO, HELLO, calls, endpoint, result, user

pytestmark = pytest.mark.timeout(30)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_echo_story_goes_as_the_mission_tells_it(models: Models, stream: bool) -> None:
    async with ScriptedModel() as scripted:
        llm = endpoint(scripted.base_url, stream=stream)
        first = await models.ask(llm, [user(HELLO)], [ECHO])
        assert first.message == calls(
            ("call_01", "simple-echo-tool", '{"message":"Hello, World!"}'),
            content="I'll help you say hello to the world using the echo tool.",
        )
        assert first.finish == "tool_calls"
        told = [user(HELLO), first.message, result("call_01", "Echo: Hello, World!")]
        last = await models.ask(llm, told, [ECHO])
        assert last.message.content == (
            'I\'ve used the echo tool to say hello to the world. The response was "Echo: Hello, World!"'
        )
        assert (last.message.tool_calls, last.finish) == ([], "stop")
        assert (last.usage.input or 0) > (first.usage.input or 0) > 0


async def test_a_restarted_server_gives_the_same_answer(models: Models) -> None:
    replies = []
    for _ in range(2):
        async with ScriptedModel() as scripted:
            replies.append(await models.ask(endpoint(scripted.base_url), [user(HELLO)], [ECHO]))
    assert replies[0] == replies[1]


async def test_tool_call_ids_count_on_through_the_conversation(models: Models) -> None:
    async with ScriptedModel() as scripted:
        told = [user(HELLO), calls(("call_01", "simple-echo-tool", "{}")), result("call_01", "x"), user(HELLO)]
        reply = await models.ask(endpoint(scripted.base_url), told, [ECHO])
        assert [call.id for call in reply.message.tool_calls] == ["call_02"]


async def test_two_quoted_texts_become_two_calls(models: Models) -> None:
    async with ScriptedModel() as scripted:
        asked = user('Echo "one" and "two" using the echo tool')
        reply = await models.ask(endpoint(scripted.base_url), [asked], [ECHO])
        assert [call.function.arguments for call in reply.message.tool_calls] == [
            '{"message":"one"}',
            '{"message":"two"}',
        ]
        told = [asked, reply.message, result("call_01", "1"), result("call_02", "2")]
        final = await models.ask(endpoint(scripted.base_url), told, [ECHO])
        assert (final.message.content or "").endswith('The responses were "1" and "2"')


@pytest.mark.parametrize(
    ("text", "schema", "arguments"),
    [
        ("Add 2 and 3 using the add tool", '"a":{"type":"integer"},"b":{"type":"number"}', '{"a":2,"b":3.0}'),
        ("Use the add tool to say hello to Bob", '"a":{"type":"string"}', '{"a":"Hello, Bob!"}'),
        (
            "Turn it to low with the add tool",
            '"a":{"enum":["high","low"]},"b":{"type":"boolean"}',
            '{"a":"low","b":true}',
        ),
    ],
)
async def test_arguments_are_taken_from_the_message_by_the_schema(
    models: Models, text: str, schema: str, arguments: str
) -> None:
    names = [name for name in ("a", "b") if f'"{name}"' in schema]
    required = ",".join(f'"{name}"' for name in names)
    parameters = Raw(f'{{"type":"object","properties":{{{schema}}},"required":[{required}]}}'.encode())
    offered = [ECHO, ToolOffer("math__add", "", parameters)]
    async with ScriptedModel() as scripted:
        reply = await models.ask(endpoint(scripted.base_url), [user(text)], offered)
    assert [(call.function.name, call.function.arguments) for call in reply.message.tool_calls] == [
        ("math__add", arguments)
    ]


async def test_anything_else_gets_a_text_that_says_what_it_is(models: Models) -> None:
    async with ScriptedModel() as scripted:
        reply = await models.ask(endpoint(scripted.base_url), [user("What is the meaning of life?")], [ECHO])
    assert "scripted model" in (reply.message.content or "")
    assert "Secret" in (reply.message.content or "")
    assert reply.message.tool_calls == []


RULES = """
- match: {userMessage: weather, hasToolResult: false, tools: [weather]}
  reply:
    toolCalls: [{name: weather, arguments: {city: Oslo}}]
    usage: {input: 7, output: 3, cached: 2}
- match: {userMessage: weather, turn: 1}
  reply: {content: "It is {result}.", finish: length}
- match: {userMessage: "^busy"}
  reply: {error: {status: 429, message: slow down, retryAfter: 1.5}}
"""


async def test_rules_match_on_message_turn_tools_and_result(models: Models) -> None:
    weather = ToolOffer("weather", "", Raw(b"{}"))
    async with ScriptedModel(load(RULES)) as scripted:
        llm = endpoint(scripted.base_url)
        first = await models.ask(llm, [user("The Weather?")], [weather])
        assert first.message.tool_calls[0].function.arguments == '{"city":"Oslo"}'
        assert first.usage == TokenCount(7, 3, 2)
        told = [user("The weather?"), first.message, result("call_01", "cold")]
        last = await models.ask(llm, told, [weather])
        assert (last.message.content, last.finish) == ("It is cold.", "length")
        with pytest.raises(Transient, match="slow down") as limited:
            await models.ask(llm, [user("busy?")], [])
        assert limited.value.retry_after == 1.5
        with pytest.raises(Terminal, match="No rule of the script"):
            await models.ask(llm, [user("The weather?")], [])


def test_a_typo_in_a_script_is_an_error() -> None:
    with pytest.raises(ValueError, match="mach"):
        load("- mach: {userMessage: x}\n  reply: {content: y}")
    with pytest.raises(NotYaml):
        load("- [")


async def test_it_speaks_json_everywhere_and_keeps_a_bounded_journal(models: Models) -> None:
    async with ScriptedModel() as scripted, aiohttp.ClientSession() as session:
        async with session.get(f"{scripted.base_url}/nothing") as answer:
            body: dict[str, Any] = await answer.json()
            assert (answer.status, body["error"]["code"]) == (404, "not_found")
        async with session.post(f"{scripted.base_url}/chat/completions", data=b"{") as answer:
            body = await answer.json()
            assert (answer.status, body["error"]["type"]) == (400, "invalid_request_error")
        await models.ask(endpoint(scripted.base_url, temperature="0.5"), [user("hi")], [])
        assert [request["temperature"] for request in scripted.requests] == [0.5]
        assert scripted.requests.maxlen is not None


async def test_a_delay_holds_every_answer_back_without_holding_the_others(models: Models) -> None:
    loop = asyncio.get_running_loop()
    async with ScriptedModel(delay=0.2) as scripted:
        start = loop.time()
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(models.ask(endpoint(scripted.base_url), [user("hi")], []))
        assert 0.2 <= loop.time() - start < 2


async def test_on_one_wire_it_answers_for_every_provider_that_names_no_address() -> None:
    models = Models(one_wire=True)
    async with ScriptedModel() as scripted:
        for provider in ("openai", "anthropic", "mistral"):
            llm = endpoint(scripted.base_url, provider=provider)
            reply = await models.ask(llm, [user(HELLO)], [ECHO])
            assert reply.message.tool_calls[0].function.name == "simple-echo-tool"
        assert await models.check(llm) == "Mistral API key validated successfully"
    await models.close()
