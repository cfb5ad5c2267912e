"""What people and models see of an answer: no value of a Secret, and not more than is kept. Pure.

Sessions call it with every answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from kubechain.agents.call.redaction import redacted
from kubechain.agents.ports.tool import ToolError
from kubechain.providers.tools.mcp.server import CallAnswer, RemoteTask, ToolAnswer
from kubechain.providers.tools.result import limited


def shown(answer: CallAnswer, what: str, hidden: Sequence[str], secret: Sequence[str]) -> CallAnswer:
    """The answer. No error shows a value of `hidden`, no result one of `secret`. Raises ToolError."""
    match answer:
        case ToolAnswer(text, failed=True):
            why = text if text.strip() else f"tool {what} failed and did not say why"
            raise ToolError(limited(redacted(why, hidden)))
        case ToolAnswer(text):
            return replace(answer, text=limited(redacted(text, secret)))
        case RemoteTask(message=message):
            return replace(answer, message=redacted(message, hidden))
        case _:
            return answer
