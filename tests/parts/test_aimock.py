"""The model server answers our fixtures on both wires; what story tests build on."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.parts.aimock import Aimock
from tests.parts.cache import PartMissing

ECHO = {"role": "user", "content": "Say hello to the world using the echo tool"}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "Echo: Hello, World!"}


@pytest.fixture
async def model() -> AsyncIterator[Aimock]:
    try:
        running = await Aimock(keys=["right"]).__aenter__()
    except PartMissing as error:
        pytest.skip(str(error))
    try:
        yield running
    finally:
        await running.__aexit__(None, None, None)


async def call(model: Aimock, path: str, body: dict[str, Any] | None = None, key: str = "right") -> Any:
    """(status, headers, body) of one request."""
    headers = {"Authorization": f"Bearer {key}", "x-api-key": key, "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(model.base_url + path, data, headers)  # noqa: S310

    def send() -> tuple[int, dict[str, str], Any]:
        try:
            answer = urllib.request.urlopen(request, timeout=10)  # noqa: S310
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, dict(answer.headers), answer.read().decode()

    return await asyncio.to_thread(send)


async def chat(model: Aimock, *messages: dict[str, Any]) -> Any:
    status, headers, body = await call(model, "/v1/chat/completions", {"model": "m", "messages": messages})
    return status, headers, json.loads(body)


async def test_the_echo_story_is_a_text_with_a_tool_call_and_then_an_answer(model: Aimock) -> None:
    _, _, first = await chat(model, ECHO)
    message = first["choices"][0]["message"]
    assert message["content"] == "I'll help you say hello to the world using the echo tool."
    assert message["tool_calls"][0]["function"] == {
        "name": "simple-echo-tool",
        "arguments": '{"message":"Hello, World!"}',
    }
    _, _, last = await chat(model, ECHO, message, RESULT)
    assert last["choices"][0]["message"]["content"] == (
        'I\'ve used the echo tool to say hello to the world. The response was "Echo: Hello, World!"'
    )
    assert [entry["response"]["status"] for entry in await model.journal()] == [200, 200]


async def test_two_tool_calls_come_in_one_turn(model: Aimock) -> None:
    _, _, body = await chat(model, {"role": "user", "content": "Echo one and two at once"})
    calls = body["choices"][0]["message"]["tool_calls"]
    assert [one["function"]["arguments"] for one in calls] == ['{"message":"one"}', '{"message":"two"}']


async def test_a_refusal_says_when_to_come_back(model: Aimock) -> None:
    status, headers, _ = await chat(model, {"role": "user", "content": "Too many requests"})
    assert (status, headers["Retry-After"]) == (429, "2")
    assert (await chat(model, {"role": "user", "content": "The server breaks"}))[0] == 500
    limited = {"role": "user", "content": "Rate limited once"}
    assert [(await chat(model, limited))[0], (await chat(model, limited))[0]] == [429, 200]


async def test_the_anthropic_wire_streams_the_same_story(model: Aimock) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [ECHO], "stream": True}
    status, headers, text = await call(model, "/v1/messages", body)
    assert (status, headers["Content-Type"]) == (200, "text/event-stream")
    assert '"type":"tool_use"' in text
    assert text.rstrip().endswith('{"type":"message_stop"}')


async def test_a_wrong_key_is_refused(model: Aimock) -> None:
    assert (await call(model, "/v1/models"))[0] == 200
    assert (await call(model, "/v1/models", key="wrong"))[0] == 401
