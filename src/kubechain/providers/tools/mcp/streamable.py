"""The exchange with an MCP server over streamable HTTP: each request is a POST, answered with JSON or with events.

`far` creates one for each session. What a server says unasked comes over a GET that is kept open, in the older
revisions; in the newer ones over the answer to `subscriptions/listen`. A stream that breaks is resumed where the
server can do that. A request is never sent twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import anyio.abc
from anyio import TASK_STATUS_IGNORED
from mcp.shared.dispatcher import CallOptions, OnNotify, OnNotifyIntercept, OnRequest
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from kubechain.errors import Terminal, Transient
from kubechain.providers.tools.mcp.door import Door
from kubechain.providers.tools.mcp.events import Event, Events
from kubechain.providers.tools.mcp.exchange import Exchange, Going, Unanswered, line
from kubechain.providers.tools.mcp.messages import messages
from kubechain.providers.tools.mcp.refusals import LARGEST, SessionLost, refusal
from kubechain.providers.web.web import Answer

SESSION, VERSION, LAST_EVENT = "mcp-session-id", "mcp-protocol-version", "last-event-id"
MAX_BYTES = 64 * 1024 * 1024
RETRY_SECONDS, LONGEST_RETRY = 1.0, 300.0
RESUMED = 3
"""How often in a row a stream is resumed that brings nothing."""
LAST_WORD_SECONDS = 0.05
"""How long a stream may stay open after the answer, so that its connection can be used again."""
_ACCEPT = {"accept": "application/json, text/event-stream"}
_POST = {**_ACCEPT, "content-type": "application/json"}
_GET = {"accept": "text/event-stream"}
_MOST_POSTS = 100


class Streamable(Exchange):
    """`session` is the id that the server gave, "" if it gave none."""

    over_http = True

    def __init__(self, door: Door, changed: Callable[[], None]) -> None:
        super().__init__(changed)
        self._door = door
        self._version = ""
        self._told: OnNotifyIntercept | None = None
        self._posts: set[asyncio.Task[None]] = set()
        self._greeted = asyncio.Event()

    async def carry(self, going: Going) -> None:
        headers = self._headers(going.headers)
        if going.method == "initialize":
            self._version = ""
            headers.pop(VERSION, None)
        going.sent = True
        try:
            async with self._door.send("POST", {**_POST, **headers}, going.body) as answer:
                await self._read(going, answer, named=SESSION in headers)
        except (Transient, Terminal) as error:
            going.sent = False  # nobody there, or nobody who would still listen
            raise Unanswered(error) from error
        except MCPError:
            going.sent = False
            raise
        self.heard.set()

    def abandon(self, going: Going) -> None:
        """Closing the stream was enough for newer servers; older ones are told."""
        if self._version and self._version not in MODERN_PROTOCOL_VERSIONS:
            self.tell("notifications/cancelled", {"requestId": going.number, "reason": "nobody waits any more"})

    def write(self, message: bytes) -> None:
        if not self.ended.done() and len(self._posts) < _MOST_POSTS:
            task = asyncio.create_task(self._post(message))
            self._posts.add(task)
            task.add_done_callback(self._posts.discard)

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        """In order: the next request is not sent before the server has heard it."""
        self._headers((opts or {}).get("headers") or {})
        await self._post(line({"method": method, **({"params": dict(params)} if params else {})}))
        if method == "notifications/initialized":
            self._greeted.set()

    async def run(
        self,
        on_request: OnRequest,
        on_notify: OnNotify,
        on_notify_intercept: OnNotifyIntercept | None = None,
        *,
        task_status: anyio.abc.TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        """Listens to what the server says unasked, until it is cancelled."""
        self._told = on_notify_intercept
        task_status.started()
        try:
            await self._greeted.wait()
            if self.session:
                await self._overhear()
            await asyncio.get_running_loop().create_future()
        finally:
            self.close()
            for post in self._posts:
                post.cancel()

    async def bye(self) -> None:
        """Ends the session, as far as the server lets us; with it, older servers end the session's tasks."""
        if self.session and not self.outlasting:
            with contextlib.suppress(Transient, Terminal):
                async with self._door.send("DELETE", self._headers({})):
                    pass

    def _headers(self, given: Mapping[str, str]) -> dict[str, str]:
        """Those of the protocol. The version is the one last sent."""
        found = {name.lower(): value for name, value in given.items()}
        self._version = found.get(VERSION, self._version)
        if self._version:
            found[VERSION] = self._version
        if self.session:
            found.setdefault(SESSION, self.session)
        return found

    async def _read(self, going: Going, answer: Answer, *, named: bool) -> None:
        """Until the answer to the request is there, or the server has put it off."""
        if not 200 <= answer.status < 300:
            body = await answer.whole(LARGEST)
            raise refusal(answer.status, body, answer.headers.get("retry-after"), session=named)
        if going.method == "initialize":
            self.session = answer.headers.get(SESSION, "")
        if answer.content_type == "text/event-stream":
            await self._follow(going, answer)
        elif answer.status != 202:
            for message in messages(await answer.whole(MAX_BYTES)):
                self.take(message, self._told)
            if not going.answer.done():
                raise Transient("the server answered with something that is no MCP message", reason="Interrupted")

    async def _follow(self, going: Going, answer: Answer) -> None:
        """Reads events until the answer is there; a stream that ends before is resumed."""
        events, idle = Events(), 0
        retry, count = await self._events(going, answer, events, RETRY_SECONDS)
        while not going.answer.done():
            idle = 0 if count else idle + 1
            if not events.last_id or idle > RESUMED:
                raise Transient(
                    "the server closed the stream before its answer was complete", reason="Interrupted"
                )
            await asyncio.wait({going.answer}, timeout=retry)
            if going.answer.done():
                return
            headers = {**_GET, **self._headers({LAST_EVENT: events.last_id})}
            async with self._door.send("GET", headers) as more:
                if more.status != 200:
                    body = await more.whole(LARGEST)
                    raise refusal(more.status, body, None, session=False)
                events = Events(events.last_id)
                retry, count = await self._events(going, more, events, retry)

    async def _events(
        self, going: Going | None, answer: Answer, events: Events, retry: float
    ) -> tuple[float, int]:
        """Until the stream ends, or has brought the answer. The wait before it is resumed, and how many came."""
        count = 0
        try:
            async for piece in answer.content.iter_any():
                for event in events.feed(piece):
                    retry = retry if event.retry is None else event.retry
                    count += self._event(event)
                if going is not None and going.answer.done():
                    await _last_word(answer)
                    break
        except OverflowError as error:
            raise Transient("the server sent an event that is too large", reason="Interrupted") from error
        except (aiohttp.ClientError, OSError):
            pass  # as if it had been closed
        return retry, count

    def _event(self, event: Event) -> int:
        found = messages(event.data) if event.data and event.name == "message" else []
        for message in found:
            self.take(message, self._told)
        return len(found)

    async def _overhear(self) -> None:
        """The older revisions' stream of what the server says unasked, opened again whenever it ends."""
        events, wait, opened = Events(), RETRY_SECONDS, False
        while True:
            last = {LAST_EVENT: events.last_id} if events.last_id else {}
            try:
                async with self._door.send("GET", {**_GET, **self._headers(last)}) as answer:
                    if answer.status in (400, 404) and opened:
                        self.ended.set_result(str(SessionLost()))
                        return
                    if answer.status != 200 or answer.content_type != "text/event-stream":
                        return  # it says nothing unasked
                    opened, events = True, Events(events.last_id)
                    retry, count = await self._events(None, answer, events, RETRY_SECONDS)
                wait = retry if count else min(wait * 2, LONGEST_RETRY)
                await asyncio.sleep(wait)
            except (Transient, Terminal):
                await self.again()

    async def _post(self, message: bytes) -> None:
        with contextlib.suppress(Transient, Terminal):
            async with self._door.send("POST", {**_POST, **self._headers({})}, message):
                pass


async def _last_word(answer: Answer) -> None:
    """Reads to the end of a stream that has brought its answer, if it ends soon."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORD_SECONDS):
            async for _ in answer.content.iter_any():
                pass
