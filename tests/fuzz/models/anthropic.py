"""An intent on Anthropic's wire, as some server or other would send it. Pure."""

from __future__ import annotations

import json
from random import Random

from tests.fuzz.models.intent import Intent, Value, pieces

STOP = {"length": "max_tokens", "filter": "content_filter", "odd": "because"}
Object = dict[str, Value]
USAGES: tuple[Value, ...] = (
    {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 1},
    None,
    {},
    7,
    "?",
)


def whole(rng: Random, intent: Intent) -> bytes:
    blocks: list[Value] = []
    if intent.thought:
        blocks.append({"type": "thinking", "thinking": intent.thought, "signature": "s=="})
    if intent.text:
        blocks.append({"type": "text", "text": intent.text})
    blocks += [_use(rng, number, name, json.loads(text)) for number, (name, text) in enumerate(intent.calls)]
    if rng.random() < 0.1:
        blocks.insert(
            rng.randrange(len(blocks) + 1), {"type": "server_tool_use", "id": "x", "name": "web", "input": {}}
        )
    body: Object = {"type": "message", "content": blocks, "stop_reason": _stop(rng, intent), "usage": _usage(rng)}
    return json.dumps(body, ensure_ascii=rng.random() < 0.5).encode()


def _use(rng: Random, number: int, name: str, given: Value) -> Object:
    return {"type": "tool_use", "id": _id(rng, number), "name": name, "input": given}


def _id(rng: Random, number: int) -> Value:
    return rng.choice((f"toolu_{number}", f"toolu_{number}", "same", "", None, number, "é|{}"))


def _stop(rng: Random, intent: Intent) -> Value:
    if intent.ending != "stop":
        return STOP[intent.ending]
    return "tool_use" if intent.calls and rng.random() < 0.8 else rng.choice(("end_turn", "stop_sequence", None))


def _usage(rng: Random) -> Value:
    return rng.choice(USAGES)


def stream(rng: Random, intent: Intent) -> tuple[list[bytes], int]:
    """The data of each event, and the number of events after which nothing of the reply is missing."""
    start: Object = {"type": "message_start", "message": {"type": "message", "content": [], "usage": _usage(rng)}}
    made: list[Object] = [start] if rng.random() < 0.9 else []
    number, step = 0, rng.choice((1, 1, 1, 0))  # 0: every block has the same index
    if intent.thought:
        deltas: list[Object] = [{"type": "thinking_delta", "thinking": p} for p in pieces(rng, intent.thought)]
        made += _block(
            rng,
            number,
            {"type": "thinking", "thinking": ""},
            [*deltas, {"type": "signature_delta", "signature": "s=="}],
        )
        number += step
    if intent.text:
        made += _block(
            rng,
            number,
            {"type": "text", "text": ""},
            [{"type": "text_delta", "text": p} for p in pieces(rng, intent.text)],
        )
        number += step
    for place, (name, arguments) in enumerate(intent.calls):
        at_once = rng.random() < 0.1
        use = _use(rng, place, name, json.loads(arguments) if at_once else {})
        parts: list[Object] = [{"type": "input_json_delta", "partial_json": p} for p in pieces(rng, arguments)]
        made += _block(rng, number, use, [] if at_once else parts)
        number += step
    for _ in range(rng.randrange(3)):
        made.insert(rng.randrange(len(made) + 1), {"type": rng.choice(("ping", "something_new"))})
    complete, stop = len(made) + 1, _stop(rng, intent)
    if stop is not None or rng.random() < 0.5:
        made.append({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": _usage(rng)})
    if stop is None or rng.random() < 0.8:
        made.append({"type": "message_stop"})
        complete = len(made) if stop is None else complete
    return [json.dumps(event, ensure_ascii=rng.random() < 0.5).encode() for event in made], complete


def _block(rng: Random, index: int, block: Object, deltas: list[Object]) -> list[Object]:
    made: list[Object] = [{"type": "content_block_start", "index": index, "content_block": block}]
    made += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    return [*made, {"type": "content_block_stop", "index": index}] if rng.random() < 0.9 else made
