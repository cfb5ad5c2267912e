"""What an HTTP answer that is no success means for an MCP request. Pure.

The exchanges over HTTP call it. A JSON-RPC error in the body is the server's own answer, whatever the status.
"""

from __future__ import annotations

from http import HTTPStatus

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_REQUEST, METHOD_NOT_FOUND

from kubechain.errors import Terminal, Transient
from kubechain.providers.tools.mcp.exchange import Unanswered
from kubechain.providers.tools.mcp.messages import Answer, Fault, messages

LARGEST = 64 * 1024
"""Bytes of such an answer that are read."""


class SessionLost(Transient):
    """The server does not know the session any more. It has not looked at the request."""

    def __init__(self) -> None:
        super().__init__("the server has forgotten the session", reason="SessionLost")


def refusal(status: int, body: bytes, retry_after: str | None, *, session: bool) -> MCPError:
    """The error to raise; `session`: whether the request named a session."""
    fault = _fault(body)
    if session and (status == 404 or (status == 400 and fault is not None and "session" in fault.message.lower())):
        return Unanswered(SessionLost())
    if status in (401, 403):
        return Unanswered(
            Terminal(f"the server refuses us ({shown(status)}){_unauthorized(status)}", reason="Unauthorized")
        )
    if fault is not None:
        return MCPError(fault.code, fault.message, fault.data)
    if status == 429:
        wait = float(retry_after) if retry_after and retry_after.isdecimal() else None
        return Unanswered(
            Transient("the server takes no more requests at present (429)", reason="RateLimited", retry_after=wait)
        )
    if status >= 500:
        return Unanswered(Transient(f"the server answered {shown(status)}", reason="ServerError"))
    code = METHOD_NOT_FOUND if status == 404 else INVALID_REQUEST
    return MCPError(code, f"the server answered {shown(status)}; check spec.url and spec.transport")


def shown(status: int) -> str:
    """As in `404 Not Found`."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _unauthorized(status: int) -> str:
    return "; set spec.auth or spec.headers" if status == 401 else "; check what its credentials allow"


def _fault(body: bytes) -> Fault | None:
    found = messages(body)
    first = found[0] if found else None
    return first.result if isinstance(first, Answer) and isinstance(first.result, Fault) else None
