"""The built-in rules of the scripted model: it calls the tool that the user names.

script.py calls it. Pure. It understands "... using the echo tool" and no more; everything else gets a short text
that says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from kubechain.providers.models.scripted.dialogue import ChatRequest, Dialogue, OfferedFunction
from kubechain.resources.json import JsonObject, JsonValue

_ASKS = re.compile(
    r"\b(?:using|use|with|via|through|call)\s+(?:the\s+|my\s+|your\s+)?(?P<tool>[\w.-]+(?:\s+[\w.-]+)??)\s+tools?\b",
    re.IGNORECASE,
)
_GREETING = re.compile(r"^say\s+(?P<what>.+?)\s+to\s+(?:the\s+)?(?P<whom>.+)$", re.IGNORECASE | re.DOTALL)
_SAYING = re.compile(
    r"^(?:please\s+)?(?:say|echo|repeat|tell|print|send)\s+(?P<what>.+)$", re.IGNORECASE | re.DOTALL
)
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|(?<!\w)'([^']+)'(?!\w)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
INTRODUCTION = (
    "I am KubeChain's scripted model: I think nothing up, but I can call a tool for you. Ask me for something "
    "\"using the echo tool\"{tools}. For real answers, put a provider's API key into the LLM's Secret and start "
    "KubeChain without the scripted model."
)


class ToolUse(msgspec.Struct, frozen=True):
    name: str
    arguments: JsonObject


class Answer(msgspec.Struct, frozen=True):
    content: str
    calls: list[ToolUse] = []


def answer(request: ChatRequest, dialogue: Dialogue) -> Answer:
    """Calls the tool that the user asks for; with its result there, reports the result."""
    user = dialogue.user.strip()
    phrase, wanted = _request_in(user)
    if dialogue.results:
        return Answer(_report(phrase, wanted or " and ".join(dialogue.called), dialogue.results))
    functions = [tool.function for tool in request.tools]
    chosen = _fitting(wanted or user, functions)
    if chosen is None:
        return Answer(_introduction(functions))
    calls = [ToolUse(chosen.name, arguments) for arguments in _arguments(chosen, phrase)]
    return Answer(f"I'll help you {_lowered(user.rstrip('.!? '))}.", calls)


def _request_in(user: str) -> tuple[str, str]:
    """("Say hello to the world", "echo") of "Say hello to the world using the echo tool"."""
    found = _ASKS.search(user)
    if found is None:
        return user.rstrip(".!? "), ""
    rest = user[: found.start()].strip() or user[found.end() :].strip()
    return re.sub(r"^to\s+", "", rest, flags=re.IGNORECASE).strip(" ,;:."), found["tool"]


def _report(phrase: str, tool: str, results: list[str]) -> str:
    done = f"I've used the {tool} tool to {_lowered(phrase)}." if tool and phrase else "I've called the tool."
    quoted = " and ".join(f'"{result}"' for result in results)
    return f"{done} The {'response was' if len(results) == 1 else 'responses were'} {quoted}"


def _introduction(functions: list[OfferedFunction]) -> str:
    names = ", ".join(function.name for function in functions[:10])
    return INTRODUCTION.format(tools=f" (I was offered: {names})" if names else " (I was offered no tool)")


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())


def _fitting(wanted: str, functions: list[OfferedFunction]) -> OfferedFunction | None:
    """The tool whose whole name is in the text, else the one whose name shares most words with it."""
    words = set(_words(wanted)) - {"tool", "the", "a", "and", "to", "get", "simple"}
    best: OfferedFunction | None = None
    most = 0.0
    for function in functions:
        if function.name.lower() in wanted.lower():
            return function
        own = _words(function.name)
        shared = len(words.intersection(own))
        score = shared + shared / len(own) if own else 0.0
        if score > most:
            best, most = function, score
    return best


def _arguments(function: OfferedFunction, phrase: str) -> Iterator[JsonObject]:
    """One set of arguments; several where several texts are quoted and the tool takes one text."""
    document: JsonObject = msgspec.json.decode(function.parameters)
    properties = document.get("properties")
    schemas = properties if isinstance(properties, dict) else {}
    required = document.get("required")
    names = [name for name in (required if isinstance(required, list) else []) if isinstance(name, str)]
    names = names or list(schemas)[:1]
    quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(phrase)]
    texts = quoted or [_saying(phrase)]
    numbers = _NUMBER.findall(phrase)
    if len(names) == 1 and len(quoted) > 1 and _type(schemas.get(names[0])) == "string":
        for text in quoted:
            yield {names[0]: text}
        return
    yield {name: _value(schemas.get(name), texts, numbers, phrase) for name in names}


def _type(schema: JsonValue) -> JsonValue:
    kind = schema.get("type", "string") if isinstance(schema, dict) else "string"
    return kind[0] if isinstance(kind, list) and kind else kind


def _value(schema: JsonValue, texts: list[str], numbers: list[str], phrase: str) -> JsonValue:
    """A value of the schema's type; texts and numbers are used up in order, the last one is used again."""
    choices = schema.get("enum") if isinstance(schema, dict) else None
    if isinstance(choices, list) and choices:
        return next((one for one in choices if str(one).lower() in phrase.lower()), choices[0])
    match _type(schema):
        case "integer":
            return int(float(_next(numbers))) if numbers else 0
        case "number":
            return float(_next(numbers)) if numbers else 0
        case "boolean":
            return True
        case "array":
            items = schema.get("items") if isinstance(schema, dict) else None
            return [_value(items, texts, numbers, phrase)]
        case "object":
            return {}
        case _:
            return _next(texts)


def _next(values: list[str]) -> str:
    return values.pop(0) if len(values) > 1 else values[0]


def _saying(phrase: str) -> str:
    """What is to be said: "Hello, World!" for "Say hello to the world", else the words themselves."""
    if greeting := _GREETING.match(phrase):
        return f"{greeting['what'].strip().capitalize()}, {greeting['whom'].strip().title()}!"
    if saying := _SAYING.match(phrase):
        return saying["what"].strip()
    return phrase
