"""What a server wants to know from a person before a call goes on: as a sentence, and as what is kept. Pure.

`runner` calls it. The call fails with the sentence; what is kept lets a later version go on with the call.
"""

from __future__ import annotations

import msgspec

from kubechain.providers.tools.mcp.server import InputRequired
from kubechain.resources.json import JsonValue
from kubechain.resources.toolcall import ExternalWork

MOST_BYTES = 64 * 1024
"""Of what is kept in the ToolCall."""
ID = "input_required"
_SHOWN = 500


def question(asked: InputRequired) -> tuple[str, ExternalWork]:
    """What the model is told, and what is kept."""
    texts = [text for ask in asked.asks.values() if (text := _text(ask))]
    said = f": {'; '.join(texts)[:_SHOWN]}" if texts else ""
    kept = {
        "inputRequests": asked.asks,
        "requestState": asked.state,
        "session": asked.session,
    }
    document = msgspec.json.encode({name: value for name, value in kept.items() if value})
    state = document.decode() if len(document) <= MOST_BYTES else ""
    lost = "" if state else "; its question is too long to be kept"
    text = f"the tool asks for input from a person, which KubeChain cannot pass on yet{said}{lost}"
    return text, ExternalWork(id=asked.task or ID, state=state)


def _text(ask: JsonValue) -> str:
    params = ask.get("params") if isinstance(ask, dict) else None
    message = params.get("message") if isinstance(params, dict) else None
    return " ".join(message.split()) if isinstance(message, str) else ""
