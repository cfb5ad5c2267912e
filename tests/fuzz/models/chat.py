"""An intent on the chat-completions wire, as some server or other would send it. Pure."""

from __future__ import annotations

import json
from random import Random

from tests.fuzz.models.intent import Intent, Value, pieces

FINISH = {"length": "length", "filter": "content_filter", "odd": "because"}
Object = dict[str, Value]
NOISE: tuple[Object, ...] = (
    {},
    {"error": None},
    {"x_extra": {"deep": [1]}},
    {"object": "chat.completion"},
    {"error": ""},
)
NOTHING: tuple[Object, ...] = ({}, {"content": ""}, {"content": None})
USAGES: tuple[Value, ...] = (
    {"prompt_tokens": 3, "completion_tokens": 4},
    None,
    {},
    {"prompt_tokens": "many"},
    7,
    [],
)


def whole(rng: Random, intent: Intent) -> bytes:
    message: Object = {"role": "assistant", "content": _content(rng, intent.text)}
    if intent.calls:
        message["tool_calls"] = [_call(rng, number, *call) for number, call in enumerate(intent.calls)]
    elif rng.random() < 0.3:
        message["tool_calls"] = rng.choice((None, []))
    if intent.thought:
        message[rng.choice(("reasoning_content", "reasoning"))] = intent.thought
    choice: Object = {"index": 0, "message": message, "finish_reason": _finish(rng, intent)}
    body: Object = {"id": "c1", "choices": [choice], "usage": _usage(rng), **_noise(rng)}
    return json.dumps(body, ensure_ascii=rng.random() < 0.5).encode()


def _content(rng: Random, text: str) -> Value:
    if not text:
        return rng.choice((None, "", []))
    return [{"type": "text", "text": text}] if rng.random() < 0.1 else text


def _call(rng: Random, number: int, name: str, arguments: str) -> Object:
    given: Value = json.loads(arguments) if rng.random() < 0.1 else arguments
    call: Object = {"type": "function", "function": {"name": name, "arguments": given}}
    if (
        id_ := rng.choice(
            (f"call_{number}", number, "same", None, "", "functions.x:0", "é|{}", "l" * 300, "absent")
        )
    ) != "absent":
        call["id"] = id_
    return call


def _finish(rng: Random, intent: Intent) -> Value:
    if intent.ending != "stop":
        return FINISH[intent.ending]
    return (
        rng.choice(("stop", "tool_calls", "stop", None))
        if intent.calls
        else rng.choice(("stop", "stop", None, ""))
    )


def _usage(rng: Random) -> Value:
    return rng.choice(USAGES)


def _noise(rng: Random) -> Object:
    return rng.choice(NOISE)


def stream(rng: Random, intent: Intent) -> tuple[list[bytes], int]:
    """The data of each event, and the number of events after which nothing of the reply is missing."""
    deltas: list[Object] = [{"role": "assistant"}] if rng.random() < 0.7 else []
    if intent.thought:
        field = rng.choice(("reasoning_content", "reasoning"))
        deltas += [{field: piece} for piece in pieces(rng, intent.thought)]
    deltas += [{"content": piece} for piece in pieces(rng, intent.text)]
    deltas += _calls(rng, intent)
    for _ in range(rng.randrange(3)):
        deltas.insert(rng.randrange(len(deltas) + 1), rng.choice(NOTHING))
    events = [json.dumps(_piece(delta, None), ensure_ascii=rng.random() < 0.5).encode() for delta in deltas]
    finish = _finish(rng, intent)
    if finish:
        events.append(json.dumps(_piece({}, finish)).encode())
    complete = len(events)
    if rng.random() < 0.5:
        events.append(json.dumps({"choices": [], "usage": _usage(rng)}).encode())
    if not finish or rng.random() < 0.8:
        events.append(b"[DONE]")
        complete = len(events) if not finish else complete
    return events, complete


def _piece(delta: Object, finish: Value) -> Object:
    return {"id": "c1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _calls(rng: Random, intent: Intent) -> list[Object]:
    """One style for the whole stream: how calls and pieces are numbered, named and identified."""
    style = rng.choice(("proper", "zero", "none", "text", "fresh"))
    ids = style in ("proper", "fresh", "text") or rng.random() < 0.5
    everywhere = style != "fresh" and rng.random() < 0.3
    made: list[Object] = []
    for number, (name, arguments) in enumerate(intent.calls):
        cut = pieces(rng, arguments)
        if style in ("zero", "none") and not everywhere:
            cut = [arguments]
        for place, piece in enumerate(cut):
            call: Object = {"function": {"arguments": piece}}
            if place == 0 or everywhere:
                call["function"] = {"name": name, "arguments": piece}
            index: Value = {"proper": number, "zero": 0, "none": None, "text": str(number), "fresh": number}[style]
            if index is not None or rng.random() < 0.5:
                call["index"] = index
            if style == "fresh":
                call["id"] = f"id{number}-{place}"
            elif ids and (place == 0 or everywhere):
                call["id"] = f"id{number}"
            elif rng.random() < 0.3:
                call["id"] = rng.choice((None, ""))
            made.append({"tool_calls": [call]})
    return made
