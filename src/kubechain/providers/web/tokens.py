"""`Tokens`: access tokens by OAuth 2.0 client credentials (RFC 6749, section 4.4).

`http`, `openapi` and MCP over HTTP ask it before a request, and `drop` a token that a server refused. All callers
of one client share one token, kept until shortly before it ends, and one request for it. A token is kept in memory
only, and is in no message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from urllib.parse import quote_plus, urlencode

import msgspec
from msgspec import Struct
from yarl import URL

from kubechain.errors import Terminal, Transient
from kubechain.providers.web.credentials import Client, basic
from kubechain.providers.web.requests import Limits, Request, origin
from kubechain.providers.web.web import Web

UNSAID = 300.0
"""Seconds a token is kept where the server does not say how long it holds."""
MARGIN = 30.0
"""Seconds before its end at which a token is replaced; at most a tenth of its life."""
PATIENCE = 30.0
_LARGEST = 64 * 1024


class _Reply(Struct):
    access_token: str
    expires_in: float | str | None = None


class _Refusal(Struct):
    error: str = ""


class Token(Struct, frozen=True):
    """`until`: the moment of the loop's clock at which it is replaced."""

    value: str
    until: float

    def __repr__(self) -> str:
        return "Token()"


class Tokens:
    """Tokens by client. `now` is a monotonic clock in seconds."""

    def __init__(self, web: Web, now: Callable[[], float]) -> None:
        self._web = web
        self._now = now
        self._kept: dict[tuple[Client, bool], Token] = {}
        self._asked: dict[tuple[Client, bool], asyncio.Task[Token]] = {}

    async def of(self, client: Client, limits: Limits) -> str:
        """A token that holds for a while. Raises Terminal (TokenRefused, AddressRefused, ...) or Transient."""
        key = (client, limits.allow_private)
        kept = self._kept.get(key)
        if kept is not None and self._now() < kept.until:
            return kept.value
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._ask(client, limits))
            task.add_done_callback(partial(self._answered, key))
        return (await asyncio.shield(task)).value

    def drop(self, client: Client, limits: Limits, refused: str) -> None:
        """Forgets a token that a server refused, but no newer one."""
        key = (client, limits.allow_private)
        kept = self._kept.get(key)
        if kept is not None and kept.value == refused:
            del self._kept[key]

    async def close(self) -> None:
        """Ends requests in progress."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _answered(self, key: tuple[Client, bool], task: asyncio.Task[Token]) -> None:
        del self._asked[key]
        if not task.cancelled() and task.exception() is None:
            now = self._now()
            self._kept = {client: token for client, token in self._kept.items() if now < token.until}
            self._kept[key] = task.result()

    async def _ask(self, client: Client, limits: Limits) -> Token:
        """Credentials go into the header, as every server has to accept; then into the body, as some insist on."""
        limits = Limits(limits.field, limits.allow_private, PATIENCE, redirects=0)
        form = {"grant_type": "client_credentials"}
        if client.scopes:
            form["scope"] = " ".join(client.scopes)
        user, password = quote_plus(client.id), quote_plus(client.secret)
        status, body = await self._post(client, form, {"authorization": basic(user, password)}, limits)
        if status in (400, 401) and _error(body) in ("invalid_client", "invalid_request", ""):
            form |= {"client_id": client.id, "client_secret": client.secret}
            status, body = await self._post(client, form, {}, limits)
        return self._read(client, status, body)

    async def _post(
        self, client: Client, form: dict[str, str], headers: dict[str, str], limits: Limits
    ) -> tuple[int, bytes]:
        request = Request(
            "POST",
            URL(client.token_url),
            {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"},
            headers,
            urlencode(form).encode(),
        )
        async with self._web.send(request, limits) as answer:
            return answer.status, await answer.whole(_LARGEST)

    def _read(self, client: Client, status: int, body: bytes) -> Token:
        where = origin(URL(client.token_url))
        if status == 429 or status >= 500:
            raise Transient(f"the token server {where} answered {status}", reason="ServerError")
        if status != 200:
            error = _error(body)
            said = f"{status} {error}" if error else str(status)
            raise Terminal(
                f"the token server {where} gave no token ({said}); check the client's id, secret and scopes",
                reason="TokenRefused",
            )
        try:
            reply = msgspec.json.decode(body, type=_Reply)
            life = UNSAID if reply.expires_in is None else float(reply.expires_in)
        except (msgspec.MsgspecError, ValueError):
            reply, life = _Reply(""), 0.0
        if not reply.access_token or not reply.access_token.isascii() or not reply.access_token.isprintable():
            raise Terminal(f"the token server {where} sent no access_token; check tokenURL", reason="TokenRefused")
        return Token(reply.access_token, self._now() + max(0.0, life - min(MARGIN, life / 10)))


def _error(body: bytes) -> str:
    """The error code of RFC 6749, which is one of a few words; anything else is not shown."""
    try:
        said = msgspec.json.decode(body, type=_Refusal).error
    except msgspec.MsgspecError:
        return ""
    return said if said.replace("_", "").isalpha() and len(said) <= 40 else ""
