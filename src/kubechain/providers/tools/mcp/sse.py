"""The exchange with an MCP server of revision 2024-11-05 over HTTP: a stream of events, and an address for POSTs.

`far` creates one for each session (transport: sse). Everything that the server says comes over the stream; when
that ends, the session has ended.
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
from yarl import URL

from kubechain.errors import Terminal, Transient
from kubechain.providers.tools.mcp.door import Door
from kubechain.providers.tools.mcp.events import Event, Events
from kubechain.providers.tools.mcp.exchange import Exchange, Going, Unanswered, line
from kubechain.providers.tools.mcp.messages import messages
from kubechain.providers.tools.mcp.refusals import LARGEST, refusal, shown
from kubechain.providers.web.web import Answer

_JSON = {"content-type": "application/json"}
_EVENTS = {"accept": "text/event-stream"}
_MOST_POSTS = 100


class EventStream(Exchange):
    """`ended`: why the stream has ended."""

    over_http = True

    def __init__(self, door: Door, changed: Callable[[], None]) -> None:
        super().__init__(changed)
        self._door = door
        self._told: OnNotifyIntercept | None = None
        self._posts: set[asyncio.Task[None]] = set()
        self._address: asyncio.Future[URL] = asyncio.get_running_loop().create_future()

    async def carry(self, going: Going) -> None:
        address = await asyncio.shield(self._address)
        going.sent = True
        try:
            async with self._door.send("POST", {**_JSON, **going.headers}, going.body, address) as answer:
                if not 200 <= answer.status < 300:
                    body = await answer.whole(LARGEST)
                    raise refusal(answer.status, body, answer.headers.get("retry-after"), session=False)
        except (Transient, Terminal) as error:
            going.sent = error.reason != "Unreachable"
            raise Unanswered(error) from error

    def abandon(self, going: Going) -> None:
        self.tell("notifications/cancelled", {"requestId": going.number, "reason": "nobody waits any more"})

    def write(self, message: bytes) -> None:
        if not self.ended.done() and len(self._posts) < _MOST_POSTS:
            task = asyncio.create_task(self._post(message))
            self._posts.add(task)
            task.add_done_callback(self._posts.discard)

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        """In order: the next request is not sent before the server has heard it."""
        await self._post(line({"method": method, **({"params": dict(params)} if params else {})}))

    async def run(
        self,
        on_request: OnRequest,
        on_notify: OnNotify,
        on_notify_intercept: OnNotifyIntercept | None = None,
        *,
        task_status: anyio.abc.TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        """Reads the stream until it ends."""
        self._told = on_notify_intercept
        task_status.started()
        try:
            async with self._door.send("GET", _EVENTS) as answer:
                self.ended.set_result(await self._hear(answer))
        except (Transient, Terminal) as error:
            self._unopened(Unanswered(error))
            self.ended.set_result(str(error))
        finally:
            self.close()
            self._address.cancel()
            for post in self._posts:
                post.cancel()

    async def bye(self) -> None:
        """Closing the stream is all that there is to do."""

    async def _hear(self, answer: Answer) -> str:
        if answer.status != 200 or answer.content_type != "text/event-stream":
            said = f"the server answered {shown(answer.status)} and no stream of events"
            why = f"{said}; check spec.url and spec.transport"
            if answer.status == 200:
                self._unopened(Unanswered(Terminal(why, reason="NoEvents")))
            else:
                self._unopened(refusal(answer.status, await answer.whole(LARGEST), None, session=False))
            return why
        events = Events()
        try:
            async for piece in answer.content.iter_any():
                for event in events.feed(piece):
                    self._event(event)
        except OverflowError:
            return "the server sent an event that is too large"
        except (aiohttp.ClientError, OSError):
            return "the server broke off its stream of events"
        return "the server closed its stream of events"

    def _event(self, event: Event) -> None:
        match event.name:
            case "endpoint" if not self._address.done():
                self._found(event.data.decode("utf-8", "replace").strip())
            case "message":
                for message in messages(event.data):
                    self.take(message, self._told)
            case _:
                pass

    def _found(self, address: str) -> None:
        """Where messages are sent to: the same origin, so that nobody else gets the credentials."""
        with contextlib.suppress(ValueError):
            url = self._door.url.join(URL(address))
            if url.origin() == self._door.url.origin():
                self._address.set_result(url)
                return
        why = "the server names an address for messages that is not its own; it gets none"
        self._unopened(Unanswered(Terminal(why, reason="EndpointRefused")))

    def _unopened(self, error: Exception) -> None:
        if not self._address.done():
            self._address.set_exception(error)
            self._address.exception()

    async def _post(self, message: bytes) -> None:
        address = await asyncio.shield(self._address)
        with contextlib.suppress(Transient, Terminal):
            async with self._door.send("POST", _JSON, message, address):
                pass
