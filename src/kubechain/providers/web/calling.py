"""`Calling`: one call of a tool as one request, with its credentials, and what came of it.

The runners of `http` and `openapi` share one. A token that the server refuses is replaced once, and the request
repeated: the server did not do it. Nothing else is repeated here; a failure says whether it may pass, for the
`retries` of the tool. Values of Secrets are cut out of whatever the model is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from kubechain.agents.call.outcome import Done
from kubechain.agents.call.redaction import redacted
from kubechain.agents.ports.tool import ToolError
from kubechain.errors import Transient
from kubechain.providers.web.credentials import Client
from kubechain.providers.web.reading import failure_of, result_of
from kubechain.providers.web.requests import Limits, Request, origin
from kubechain.providers.web.tokens import Tokens
from kubechain.providers.web.web import Answer, Web
from kubechain.resources.effect import Trouble

LONGEST = 8 * 1024 * 1024
"""Bytes of an answer that are read; a file in it is kept, of text the tool's resultLimit."""


class Call(Struct, frozen=True):
    """`client`: whose token is needed, if any. `hidden`: values of Secrets. `repeatable`: whether a repeated call
    is harmless."""

    request: Request
    limits: Limits
    client: Client | None = None
    hidden: Sequence[str] = ()
    select: str | None = None
    repeatable: bool = False

    @property
    def subject(self) -> str:
        """Method and address as they may be shown."""
        url = self.request.url
        return f"{self.request.method} {origin(url)}{url.path}"


class Calling:
    """Requests and tokens of all tools over HTTP."""

    def __init__(self, web: Web | None = None) -> None:
        self.web = web or Web()
        self.tokens = Tokens(self.web, lambda: asyncio.get_running_loop().time())

    async def call(self, call: Call) -> Done:
        """The result. Raises ToolError, Terminal; Transient where it is not known whether it was done."""
        try:
            answer, body = await self._answered(call)
            if not 200 <= answer.status < 300:
                raise failure_of(call.subject, answer, body, repeatable=call.repeatable)
            done = result_of(answer, body, call.select)
        except ToolError as error:
            raise _cleaned(error, call.hidden) from None
        except Transient as error:
            raise _outcome(error, call) from error
        return replace(done, text=redacted(done.text, call.hidden))

    async def close(self) -> None:
        """Ends every request."""
        await self.tokens.close()
        await self.web.close()

    async def _answered(self, call: Call) -> tuple[Answer, bytes]:
        if call.client is None:
            return await self._once(call, call.request)
        token = await self.tokens.of(call.client, call.limits)
        answer, body = await self._once(call, _with(call.request, token))
        if answer.status != 401:
            return answer, body
        self.tokens.drop(call.client, call.limits, token)
        another = await self.tokens.of(call.client, call.limits)
        return (answer, body) if another == token else await self._once(call, _with(call.request, another))

    async def _once(self, call: Call, request: Request) -> tuple[Answer, bytes]:
        async with self.web.send(request, call.limits) as answer:
            return answer, await answer.whole(LONGEST)


def _with(request: Request, token: str) -> Request:
    return replace(request, private={**request.private, "authorization": f"Bearer {token}"})


def _cleaned(error: ToolError, hidden: Sequence[str]) -> ToolError:
    return ToolError(redacted(str(error), hidden), trouble=error.trouble, retry_after=error.retry_after)


def _outcome(error: Transient, call: Call) -> ToolError | Transient:
    """A failure is known where nothing was sent, or does no harm where it is repeated."""
    if error.reason == "Unreachable" or call.repeatable:
        trouble: Trouble = "Timeout" if error.reason == "Timeout" else "Transient"
        return ToolError(str(error), trouble=trouble, retry_after=error.retry_after)
    return error
