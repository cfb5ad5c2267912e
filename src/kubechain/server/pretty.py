"""Indents JSON for people, in the same cases as a real server.

Called by `http` for every answer and by `lists`. Never changes the content.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from kubechain.server.status import JSON


def wanted(request: Request) -> bool:
    """Whether a person reads the answer: `?pretty`, or a browser or curl that does not say."""
    asked = request.query_params.get("pretty")
    if asked is not None:
        return asked.lower() not in ("false", "0")
    return request.headers.get("user-agent", "").startswith(("curl", "Wget", "Mozilla/5.0"))


def indented(document: bytes) -> bytes:
    return msgspec.json.format(document, indent=2)


def indent(answer: Response) -> None:
    """Indents the JSON of an answer that is whole."""
    if answer.body and answer.headers.get("content-type") == JSON:
        answer.body = indented(bytes(answer.body))
        answer.headers["content-length"] = str(len(answer.body))
