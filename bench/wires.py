"""Replies on the wire: one turn of the job as chat completions and as Anthropic's messages, whole or in pieces.

model.py calls it. Pure.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bench.job import Shape

_encode = msgspec.json.encode
_PIECE = 8
"""Characters of a call's arguments in one piece of a stream."""
_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
Block = dict[str, Any]


def chat(model: str, shape: Shape, run: str, n: int, tool: str, *, stream: bool) -> bytes:
    """The body of a chat completion for turn `n`: a call of `tool`, or the answer."""
    message = _message(shape, run, n, tool)
    return _chat_stream(model, message) if stream else _chat_whole(model, message)


def _message(shape: Shape, run: str, n: int, tool: str) -> Block:
    if n >= shape.turns - 1:
        return {"role": "assistant", "content": f"done after {n} results"}
    arguments = _encode({"run": run, "n": n, "size": shape.size}).decode()
    call = {"id": f"call_{n}", "type": "function", "function": {"name": tool, "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _chat_whole(model: str, message: Block) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": _finish(message)}
    head = {"id": "c", "object": "chat.completion", "created": 0, "model": model}
    return _encode({**head, "choices": [choice], "usage": _USAGE})


def _finish(message: Block) -> str:
    return "tool_calls" if "tool_calls" in message else "stop"


def _chat_stream(model: str, message: Block) -> bytes:
    """As providers send it: text by the word, arguments by a few characters."""
    deltas: list[Block] = [{"role": "assistant", "content": ""}]
    if calls := message.get("tool_calls"):
        function = calls[0]["function"]
        deltas.append({"tool_calls": [{**calls[0], "index": 0, "function": {**function, "arguments": ""}}]})
        pieces = _pieces(function["arguments"])
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
    else:
        deltas += [{"content": piece} for piece in _pieces(message["content"])]
    head = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": model}
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": _finish(message)}]})
    chunks.append({**head, "choices": [], "usage": _USAGE})
    return b"".join(b"data: " + _encode(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def _pieces(text: str) -> list[str]:
    return [text[i : i + _PIECE] for i in range(0, len(text), _PIECE)]


def anthropic(model: str, shape: Shape, run: str, n: int, tool: str, *, stream: bool) -> bytes:
    """The body of an Anthropic message for turn `n`."""
    block: Block = {"type": "text", "text": f"done after {n} results"}
    if n < shape.turns - 1:
        block = {
            "type": "tool_use",
            "id": f"call_{n}",
            "name": tool,
            "input": {"run": run, "n": n, "size": shape.size},
        }
    reason = "end_turn" if block["type"] == "text" else "tool_use"
    usage = {"input_tokens": 10, "output_tokens": 5}
    message = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": model,
        "stop_sequence": None,
        "usage": usage,
    }
    if stream:
        return _anthropic_stream(message, block, reason)
    return _encode({**message, "content": [block], "stop_reason": reason})


def _anthropic_stream(message: Block, block: Block, reason: str) -> bytes:
    if block["type"] == "text":
        empty: Block = {"type": "text", "text": ""}
        deltas: list[Block] = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
    else:
        empty = {**block, "input": {}}
        arguments = _encode(block["input"]).decode()
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in _pieces(arguments)]
    ending = {"stop_reason": reason, "stop_sequence": None}
    events: list[Block] = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ending, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]
    return b"".join(b"event: " + e["type"].encode() + b"\ndata: " + _encode(e) + b"\n\n" for e in events)
