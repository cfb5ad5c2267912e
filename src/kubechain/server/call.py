"""One request, as the handlers see it.

Made by `http`, handed to `read`, `watch`, `write` and `reviews`. Holds no state of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from kubechain.errors import Details, NotFound, TooLarge
from kubechain.resources.json import JsonObject
from kubechain.runtime.api import Api
from kubechain.server.paths import Target
from kubechain.server.settings import ServerSettings, User
from kubechain.server.status import JSON, YAML, as_yaml

MAX_BODY = 3 * 1024 * 1024


class Call(msgspec.Struct, frozen=True):
    """Who wants what, and what it takes to answer."""

    api: Api
    settings: ServerSettings
    stopping: asyncio.Event
    request: Request
    user: User
    target: Target
    warnings: list[str] = []

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query_params

    @property
    def user_agent(self) -> str:
        return self.request.headers.get("user-agent", "")

    @property
    def accept(self) -> str:
        return self.request.headers.get("accept", "")

    async def body(self) -> bytes:
        """The whole body, at most 3 MiB. Raises TooLarge."""
        parts, size = [], 0
        async for part in self.request.stream():
            size += len(part)
            if size > MAX_BODY:
                raise TooLarge(f"Request entity too large: limit is {MAX_BODY}")
            parts.append(part)
        return b"".join(parts)

    def answer(self, document: bytes | JsonObject, code: int = 200, *, yaml: bool = False) -> Response:
        """An answer in JSON (or YAML), with the warnings that came up on the way."""
        body: bytes | str = document if isinstance(document, bytes) else msgspec.json.encode(document)
        if yaml:
            body = as_yaml(msgspec.json.decode(body))
        return self.warned(Response(body, code, media_type=YAML if yaml else JSON))

    def warned(self, response: Response) -> Response:
        """The answer with the warnings in its headers."""
        for warning in self.warnings:
            response.headers.append("warning", f"299 - {_quoted(warning)}")
        return response

    def not_found(self, name: str) -> NotFound:
        """The refusal of an object that is not there."""
        kind = self.target.served.kind
        return NotFound(
            f'{kind.qualified} "{name}" not found', Details(name=name, group=kind.group, kind=kind.plural)
        )


def _quoted(text: str) -> str:
    """A quoted-string of a header: printable ASCII only, quotes and backslashes escaped."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
