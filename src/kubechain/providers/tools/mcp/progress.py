"""What a server says about how far a call is: one notification -> a few words. Pure.

The exchange calls it for the request that the notification names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from kubechain.providers.tools.mcp.messages import RequestId
from kubechain.resources.json import JsonObject, JsonValue

Told: TypeAlias = Callable[[str], None]
LONGEST = 200


def heard(waiting: Mapping[RequestId, Told], params: JsonObject) -> None:
    """Passes a notification on to the request whose number is its token."""
    token = params.get("progressToken")
    if isinstance(token, str) and token not in waiting and token.isdecimal():
        token = int(token)
    told = waiting.get(token) if isinstance(token, int | str) and not isinstance(token, bool) else None
    if told is not None and (text := words(params)):
        told(text)


def words(params: JsonObject) -> str:
    """As in `3 of 10: copying`; "" where it says nothing."""
    done, total, message = _number(params.get("progress")), _number(params.get("total")), params.get("message")
    count = f"{done} of {total}" if done and total else done
    said = " ".join(message.split())[:LONGEST] if isinstance(message, str) else ""
    return f"{count}: {said}" if count and said else count or said


def _number(value: JsonValue) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else ""
