"""Lists of tools and results of calls in every form that servers give them; no process is started."""

import json

import msgspec
import pytest

from kubechain.providers.tools.mcp.results import MAX_DEPTH, answer_of, effect_of, greeting, tool_of
from kubechain.providers.tools.mcp.server import DiscoveredTool, InputRequired, LeftOut, ToolAnswer
from kubechain.resources.json import JsonObject, JsonValue

TEXT: JsonValue = {"type": "text", "text": "hello"}
SCHEMA: JsonValue = {"type": "object", "properties": {"x": {"type": "string"}}}


def nested(depth: int) -> JsonValue:
    schema: JsonValue = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"x": schema}}
    return schema


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ("tool", "it has no name"),
        (None, "it has no name"),
        ({"inputSchema": SCHEMA}, "it has no name"),
        ({"name": 3}, "it has no name"),
        ({"name": " "}, "it has no name"),
        ({"name": "a\ud83d"}, "its name is not valid Unicode"),
        ({"name": "taken"}, "it is listed twice"),
        ({"name": "a", "inputSchema": "{}"}, "its inputSchema is not a JSON object"),
        ({"name": "a", "inputSchema": {"type": "string"}}, "its inputSchema is of type string, not object"),
        ({"name": "a", "inputSchema": nested(60)}, "its inputSchema is nested more than 64 levels deep"),
    ],
)
def test_a_tool_that_cannot_be_offered_is_left_out_with_the_reason(item: JsonValue, why: str) -> None:
    found = tool_of(item, {"taken"})
    assert isinstance(found, LeftOut) and found.why == why
    msgspec.json.encode(found)  # it is written into a status


@pytest.mark.parametrize(
    "item",
    [
        {"name": "a"},
        {"name": "a", "inputSchema": None, "description": None, "annotations": "?"},
        {"name": "a", "inputSchema": {}, "outputSchema": "?", "annotations": {"readOnlyHint": "yes"}},
        {"name": "a", "inputSchema": {"type": ["object", "null"]}, "title": 3, "icons": 3},
    ],
)
def test_what_a_tool_leaves_out_or_gives_in_vain_costs_nothing(item: JsonValue) -> None:
    found = tool_of(item, set())
    assert isinstance(found, DiscoveredTool)
    assert (found.name, found.description, found.effect) == ("a", "", "NonIdempotent")
    assert json.loads(bytes(found.input_schema)) == {"type": "object"}


def test_a_tool_keeps_what_it_says_and_halves_of_characters_are_replaced() -> None:
    found = tool_of({"name": "a b/c", "title": "A\ud83d", "inputSchema": SCHEMA}, set())
    assert isinstance(found, DiscoveredTool)
    assert (found.name, found.description) == ("a b/c", "A\ufffd")
    assert json.loads(bytes(found.input_schema)) == SCHEMA
    strange = tool_of({"name": "a", "inputSchema": {"default": float("nan"), "k\ud83d": ["\ud83d"]}}, set())
    assert isinstance(strange, DiscoveredTool)
    assert json.loads(bytes(strange.input_schema)) == {"type": "object", "default": None, "k\ufffd": ["\ufffd"]}
    assert isinstance(tool_of({"name": "a", "inputSchema": nested(MAX_DEPTH // 2 - 1)}, set()), DiscoveredTool)


def test_hints_become_effects() -> None:
    assert effect_of({"readOnlyHint": True}) == "ReadOnly"
    assert effect_of({"idempotentHint": True, "readOnlyHint": False}) == "Idempotent"
    assert effect_of({}) == effect_of(None) == effect_of({"readOnlyHint": 1}) == "NonIdempotent"


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"content": [TEXT]}, "hello"),
        ({"content": [TEXT, TEXT]}, "hello\nhello"),
        ({"content": TEXT}, "hello"),
        ({"content": "hello"}, "hello"),
        ({"content": ["hello"]}, "hello"),
        ("hello", "hello"),
        ({"toolResult": "hello"}, "hello"),
        ({"toolResult": {"a": 1}}, '{"a":1}'),
        ({"answer": 42, "_meta": {}}, '{"answer":42}'),
        ([1, 2], "[1,2]"),
        (None, ""),
        ({}, ""),
        ({"content": None}, ""),
        ({"content": []}, ""),
        ({"content": [], "structuredContent": {"a": [1, {"b": None}]}}, '{"a":[1,{"b":null}]}'),
        ({"structuredContent": {"a": 1}}, '{"a":1}'),
        ({"content": [TEXT], "structuredContent": "breaks its schema"}, "hello"),
        (
            {"content": [{"type": "hologram", "x": 1}, TEXT]},
            "[content of type hologram, which is not text]\nhello",
        ),
        ({"content": [{"type": "hologram", "text": "inside"}]}, "inside"),
        ({"content": [{"type": "text"}]}, "[content of type text, which is not text]"),
        ({"content": [{"type": "image", "mimeType": "image/png"}]}, "[image image/png]"),
        ({"content": [{"type": "image", "data": "AAAA", "mimeType": "image/png"}]}, "[image image/png, 3 bytes]"),
        ({"content": [{"type": "audio", "data": 3}]}, "[audio ]"),
        ({"content": [{"type": "resource_link", "uri": "file:///b", "name": "b"}]}, "[resource file:///b: b]"),
        ({"content": [{"type": "resource", "resource": {"uri": "u", "text": "inside"}}]}, "inside"),
        ({"content": [{"type": "resource", "resource": {"uri": "u", "blob": "AAAA"}}]}, "[resource u, 3 bytes]"),
        ({"content": [{"type": "resource", "resource": "?"}]}, "[content of type resource, which is not text]"),
    ],
)
def test_every_form_of_result_is_the_result_of_work_that_was_done(result: JsonValue, text: str) -> None:
    answer = answer_of(result)
    assert isinstance(answer, ToolAnswer)
    assert (answer.text, answer.failed) == (text, False)


def test_a_result_that_says_so_is_a_failure() -> None:
    assert answer_of({"content": [TEXT], "isError": True}) == ToolAnswer("hello", failed=True)
    assert answer_of({"content": [TEXT], "isError": "false"}) == ToolAnswer("hello")


def test_what_a_server_wants_to_know_is_kept_with_its_state() -> None:
    asks: JsonObject = {"q": {"method": "elicitation/create", "params": {"message": "How many?"}}}
    said: JsonObject = {"resultType": "input_required", "inputRequests": asks, "requestState": "opaque"}
    assert answer_of(said) == InputRequired(asks, "opaque")
    assert answer_of({"resultType": "input_required"}) == InputRequired({})


def test_a_greeting_is_put_into_the_form_of_the_protocol() -> None:
    known = ("2024-11-05", "2025-11-25")
    assert greeting({"protocolVersion": "2025-11-25", "serverInfo": {"name": "a", "version": 2}}, known) == {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "serverInfo": {"name": "a", "version": ""},
    }
    odd: list[JsonValue] = [None, {}, "hello", {"protocolVersion": "1.0", "capabilities": {"tools": True}}]
    for strange in odd:
        assert greeting(strange, known)["protocolVersion"] == "2024-11-05"


def test_images_audio_and_embedded_resources_are_files_with_names_of_their_own() -> None:
    content: JsonValue = [
        {"type": "image", "data": "AAEC", "mimeType": "image/png"},
        {"type": "audio", "data": "AAEC", "mimeType": "audio/wav; rate=1"},
        {
            "type": "resource",
            "resource": {"uri": "demo://files/a%20b.zip", "mimeType": "application/zip", "blob": "AA=="},
        },
        {
            "type": "resource",
            "resource": {"uri": "demo://other/a%20b.zip", "mimeType": "application/zip", "blob": "AA=="},
        },
        {"type": "resource", "resource": {"uri": "demo://text", "text": "words"}},
        {"type": "image", "data": "not base64!", "mimeType": "image/png"},
    ]
    answer = answer_of({"content": content})
    assert isinstance(answer, ToolAnswer)
    assert [(f.name, f.media_type, f.content) for f in answer.files] == [
        ("image-1.png", "image/png", b"\0\1\2"),
        ("audio-2.bin", "application/octet-stream", b"\0\1\2"),
        ("a-20b.zip", "application/zip", b"\0"),
        ("4-a-20b.zip", "application/zip", b"\0"),
    ]
