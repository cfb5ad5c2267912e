"""KubeChain's end of one tool process of functions. The process starts when the object is created.

`Functions` has one for each environment, and asks it many things at the same time. Does not interpret the answers.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from kubechain.agents.ports.tool import Held
from kubechain.errors import Transient
from kubechain.providers.tools.environment import secrets
from kubechain.providers.tools.function.frames import (
    Cancel,
    Inspect,
    Invoke,
    Printed,
    Replies,
    Reply,
    Request,
    frame,
)
from kubechain.providers.tools.limits import Bounds, about_memory
from kubechain.providers.tools.output import Output
from kubechain.providers.tools.starting import PYTHON, Command, Starter, ending

CANCEL_SECONDS = 0.5
IDLE_SECONDS = 600.0

_numbers = itertools.count(1)


def next_id() -> int:
    """A number for the next request; unique in this program."""
    return next(_numbers)


class FunctionProcess:
    """One tool process. When `task` is done, the process and everything that it started have ended.

    A plain function that runs too long cannot be stopped by itself. Its process is then retired: it takes no new
    calls, its other calls continue, and it is killed when the last of them has ended. A process that is not used
    for ten minutes is killed as well, because its environment may not be needed any more.
    """

    def __init__(self, env: Mapping[str, str], bounds: Bounds, folders: Sequence[Path], start: Starter) -> None:
        self.suspect = False
        self._retired = False
        self._stopping = False
        self._env = dict(env)
        self._bounds = bounds
        self.held: Held | None = None
        """Who holds it to its bounds, if it has any; known once it has answered."""
        self._folders = folders
        self._start = start
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._about: dict[int, Mapping[str, str]] = {}
        """What the log says about each request that prints."""
        self._words: dict[int, Output] = {}
        """What each request printed; most print nothing."""
        self._hidden = secrets(env)
        self._output = Output("tool process", self._hidden)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._unsent: list[bytes] = []
        self._used = self._loop.time()
        self._idle = self._loop.call_later(IDLE_SECONDS, self._look)
        self._end = "was ended"
        self.task = self._loop.create_task(self._live(), name="tool process")
        self.task.add_done_callback(self._fail)

    @property
    def usable(self) -> bool:
        """Whether it should get new calls."""
        return not (self.suspect or self._retired or self.task.done())

    def retire(self) -> None:
        """Takes no new calls, and stops when the current ones have ended."""
        self._retired = True
        if not self._pending:
            self.stop()

    def stop(self) -> None:
        """Kills the process; `task` is done when it has ended."""
        if not self._stopping:  # a second cancellation would cut the first one's clean-up short
            self._stopping = True
            self.task.cancel()

    async def ask(self, request: Inspect | Invoke, timeout: float, about: Mapping[str, str]) -> Reply:
        """The answer of the process. Raises TimeoutError, or Transient if the process dies first.

        `about` identifies in the log the call that printed something.
        """
        answer: asyncio.Future[Reply] = self._loop.create_future()
        self._pending[request.id] = answer
        self._about[request.id] = {"function": request.entrypoint, **about}
        expiry = self._loop.call_later(timeout, _expire, answer)
        try:
            self._send(request)
            return await answer
        except TimeoutError:
            await self._cancel(request.id)
            raise
        except asyncio.CancelledError:
            self._send(Cancel(request.id))
            self._retired = True
            raise
        finally:
            expiry.cancel()
            del self._pending[request.id], self._about[request.id]
            self._words.pop(request.id, None)
            self._used = self._loop.time()
            if self._retired:
                self.retire()

    async def _cancel(self, number: int) -> None:
        """Asks the process to stop one call, and retires the process if it does not confirm that quickly."""
        self.suspect = True
        stopped = self._pending[number] = self._loop.create_future()
        self._send(Cancel(number))
        await asyncio.wait({stopped}, timeout=CANCEL_SECONDS)
        if stopped.done() and stopped.exception() is None:
            self.suspect = False
        else:
            self._retired = True

    def _send(self, message: Request) -> None:
        """Sends a message, or keeps it until the process listens."""
        if self._transport is None:
            self._unsent.append(frame(message))
        else:
            self._transport.write(frame(message))

    def _look(self) -> None:
        """Retires a process that was not used for long; otherwise checks again later."""
        left = self._used + IDLE_SECONDS - self._loop.time()
        if not self._pending and left <= 0:
            self.retire()
        else:
            self._idle = self._loop.call_later(max(left, 1.0), self._look)

    async def _live(self) -> None:
        try:
            self._end = await self._converse()
        except OSError as error:
            self._end = f"could not be started ({error.strerror})"

    async def _converse(self) -> str:
        """Starts the process and hands out its answers until it ends; how it ended."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = await self._start(self._command(), theirs)
            theirs.close()
            self.held = process.held
            async with asyncio.TaskGroup() as group:
                readers = [group.create_task(self._output.pump(s)) for s in (process.stdout, process.stderr)]
                try:
                    await self._hand_out(ours)
                finally:
                    await process.finish(readers)
            field = "spec.function.resources.limits.memory"
            words = self._output.tail
            return ending(process) + about_memory(self._bounds, process.held, process.over_memory, words, field)

    def _command(self) -> Command:
        module = "kubechain.providers.tools.function.function_server"
        folders = (str(folder) for folder in self._folders)
        return Command(PYTHON, ("-I", "-u", "-m", module, *folders), self._env, locale=True, bounds=self._bounds)

    async def _hand_out(self, ours: socket.socket) -> None:
        """Hands out replies until the process closes the socket."""
        transport, replies = await self._loop.create_connection(lambda: Replies(self._answered), sock=ours)
        try:
            transport.write(b"".join(self._unsent))
            self._unsent.clear()
            self._transport = transport
            await replies.ended.wait()
        finally:
            self._retired = True
            transport.close()

    def _answered(self, reply: Reply) -> None:
        if isinstance(reply, Printed):
            self._output_of(reply.id).take(reply.line.encode("utf-8", "replace"))
            return
        answer = self._pending.get(reply.id)
        if answer is not None and not answer.done():
            answer.set_result(reply)

    def _output_of(self, number: int) -> Output:
        """That of an open request; that of the process, if the request has ended."""
        if number not in self._about:
            return self._output
        if number not in self._words:
            self._words[number] = Output("tool process", self._hidden, **self._about[number])
        return self._words[number]

    def _fail(self, _: asyncio.Task[None]) -> None:
        """Fails all open requests, each with what was printed last for it.

        It also runs when the task was cancelled before it began.
        """
        self._idle.cancel()
        for number, answer in self._pending.items():
            if not answer.done():
                words = self._words.get(number)
                printed = f"; it printed last: {words.tail}" if words is not None and words.tail else ""
                text = f"the tool process {self._end} before it answered{printed}"
                answer.set_exception(Transient(text, reason="WorkerDied"))


def _expire(answer: asyncio.Future[Reply]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())
