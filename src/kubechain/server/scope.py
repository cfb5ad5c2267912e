"""One request, as the handlers see it.

Made by `http`, handed to `read`, `watch`, `write` and `reviews`. Holds no state of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import ParamSpec, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from kubechain.errors import Details, NotFound, Timeout, TooLarge
from kubechain.resources.json import JsonObject
from kubechain.runtime.api import Api
from kubechain.server.paths import RequestInfo
from kubechain.server.settings import ServerSettings, User
from kubechain.server.status import JSON, YAML, as_yaml

MAX_BODY = 3 * 1024 * 1024
BODY_SECONDS = 60.0
"""Seconds in which the body must arrive. A real API server allows as long for the whole request."""
QUICK = 64 * 1024
"""Bytes of a body that is read on the event loop. Larger ones are read in a thread."""
MAX_WARNINGS = 4096
"""Characters that all warnings of an answer may have, and 256 each once they have more: as on a real server."""
_YAML_WEIGHT = 20
"""How much more work it is to write YAML than to read JSON."""
P = ParamSpec("P")
R = TypeVar("R")


class RequestScope(msgspec.Struct, frozen=True):
    """A request, who sent it, what it names, and what is needed to answer it."""

    api: Api
    settings: ServerSettings
    stopping: asyncio.Event
    request: Request
    user: User
    target: RequestInfo
    aside: Executor
    """Threads for what takes long; the event loop answers others meanwhile."""
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
        """The whole body, at most 3 MiB. Raises TooLarge, Timeout."""
        said = self.request.headers.get("content-length", "")
        if said.isdecimal() and (len(said) > 15 or int(said) > MAX_BODY):
            raise _too_large()
        parts, size = [], 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in self.request.stream():
                    size += len(part)
                    if size > MAX_BODY:
                        raise _too_large()
                    parts.append(part)
        except TimeoutError:
            raise Timeout(f"the body of the request did not come within {BODY_SECONDS:.0f} seconds") from None
        return b"".join(parts)

    async def work(self, size: int, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of a pure function of so many bytes, on the event loop only where they are few."""
        if size <= QUICK:
            return function(*args, **kwargs)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.aside, partial(function, *args, **kwargs))

    def answer(self, document: bytes | JsonObject, code: int = 200) -> Response:
        """An answer in JSON, with the warnings that came up on the way."""
        body = document if isinstance(document, bytes) else msgspec.json.encode(document)
        return self.warned(Response(body, code, media_type=JSON))

    async def shown(self, document: bytes, code: int = 200, *, yaml: bool = False) -> Response:
        """An object in JSON or YAML; YAML takes long to write."""
        if not yaml:
            return self.answer(document, code)
        text = await self.work(len(document) * _YAML_WEIGHT, _as_yaml, document)
        return self.warned(Response(text, code, media_type=YAML))

    def warned(self, response: Response) -> Response:
        """The answer with the warnings in its headers."""
        for warning in _bounded(self.warnings):
            response.headers.append("warning", f"299 - {_quoted(warning)}")
        return response

    def not_found(self, name: str) -> NotFound:
        """The refusal of an object that is not there."""
        kind = self.target.served.kind
        return NotFound(
            f'{kind.qualified} "{name}" not found', Details(name=name, group=kind.group, kind=kind.plural)
        )


def _as_yaml(document: bytes) -> str:
    return as_yaml(msgspec.json.decode(document))


def _too_large() -> TooLarge:
    return TooLarge(f"Request entity too large: limit is {MAX_BODY}")


def _bounded(warnings: list[str]) -> list[str]:
    """The warnings, each once; shortened where they are too much for a header."""
    each = list(dict.fromkeys(warnings))
    if sum(map(len, each)) <= MAX_WARNINGS:
        return each
    return [warning[:256] for warning in each][: MAX_WARNINGS // 256]


def _quoted(text: str) -> str:
    """A quoted-string of a header: printable ASCII only, quotes and backslashes escaped."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
