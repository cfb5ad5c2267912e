"""Sends a run's request to its model, and tries again at a suitable time if no usable reply comes.

The TaskRun controller calls it; what follows from a reply is decided elsewhere. A request shows in the run after a
second; a shorter one is not worth a write. Requests without a usable reply are counted in the run, so that a
restart does not reset the count. `Outages` keeps in memory which runs wait, only to pace them: once one run gets a
reply, the others try at once, a few for each reply, instead of each at its own time. After a restart, each run
tries again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from datetime import timedelta
from types import TracebackType
from typing import Any, Generic, TypeVar

from msgspec import Struct, field

from kubechain.agents.builtin.table import offers
from kubechain.agents.ports.model import PAUSED, Endpoint, ModelProvider, Reply, TokenCount, ToolOffer
from kubechain.agents.run import checkpoint, tries
from kubechain.agents.run.scene import Ask
from kubechain.agents.run.transcript import mended
from kubechain.controllers.runs.checkpoints import Checkpoints
from kubechain.errors import ApiError, Transient
from kubechain.resources.model import Clock, Resource, timestamp
from kubechain.resources.taskrun import TaskRun
from kubechain.runtime.api import Key, key_of
from kubechain.runtime.backoff import CAP, Chance, full_jitter, not_before

R = TypeVar("R", bound=Resource)
NOTHING = TokenCount()
AT_ONCE = 8
"""Runs that each reply lets try: twice and thrice as many follow when those are answered too."""
ATTENTIVE = 30.0
"""Seconds, the longest wait between two tries while few wait."""
CROWD = 10
"""Waiting runs for each of which the longest wait grows by itself: some of them try every few seconds anyway."""
VISIBLE_AFTER = 1.0
"""Seconds after which a request shows in its run."""


def no_line(endpoint: Endpoint) -> str:
    """No request waits in a line."""
    return ""


class Lasting:
    """Requests in progress, the oldest first: one timer for all of them, none if there are none."""

    def __init__(self, after: float = VISIBLE_AFTER) -> None:
        self._after = after
        self._begun: dict[Progress[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, progress: Progress[Any]) -> None:
        loop = self._loop = self._loop or asyncio.get_running_loop()
        now = self._begun[progress] = loop.time()
        if self._timer is None:
            self._look_at(loop, now + self._after)

    def end(self, progress: Progress[Any]) -> None:
        self._begun.pop(progress, None)

    def _look_at(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self._timer = loop.call_at(when, self._look, loop, when)

    def _look(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self._timer = None
        now = max(loop.time(), when)  # a loop may be a shade early
        while self._begun:
            progress, begun = next(iter(self._begun.items()))
            if begun + self._after > now:
                self._look_at(loop, begun + self._after)
                return
            del self._begun[progress]
            progress.show(loop)


class Progress(Generic[R]):
    """`async with Progress(lasting, write) as p: await ask()`: then `p.shown` is what `write` wrote, or None.

    `write` runs during the request, at most once. If it fails (for example with a conflict), the request
    continues.
    """

    def __init__(self, lasting: Lasting, write: Callable[[], Awaitable[R]]) -> None:
        self.shown: R | None = None
        self._lasting, self._write = lasting, write
        self._task: asyncio.Task[None] | None = None
        self._context = copy_context()
        """That of the pass, to which the write belongs: the timer is shared, and has another one."""

    async def __aenter__(self) -> Progress[R]:
        self._lasting.begin(self)
        return self

    def show(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called when the request has lasted."""
        self._task = loop.create_task(self._run(), context=self._context)

    async def _run(self) -> None:
        try:
            self.shown = await self._write()
        except ApiError:
            return

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lasting.end(self)
        if self._task is None:
            return
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Asking(Struct, frozen=True):
    """`models` answers; a request that takes over a second shows in the run, with its place in the `line`."""

    models: ModelProvider
    checkpoints: Checkpoints
    clock: Clock
    line: Callable[[Endpoint], str] = no_line
    _lasting: Lasting = field(default_factory=Lasting)

    async def reply(self, run: TaskRun, ask: Ask, endpoint: Endpoint) -> tuple[TaskRun, Reply]:
        """One reply, and the current state of the run. Raises Transient and Terminal."""

        async def show() -> TaskRun:
            waiting_on = f"llm:{ask.llm.metadata.name}{self.line(endpoint)}"
            status = checkpoint.running(run, ask.agent.metadata.name, waiting_on, self.clock())
            return await self.checkpoints.put(run, status)

        earlier = await self.checkpoints.transcripts.before_window(run)
        messages = [*earlier, *run.status.messages, *ask.unsaved]
        if ask.mended:
            messages = mended(messages)
        tools = [ToolOffer(t.name, t.description, t.parameters) for t in ask.tools]
        tools += offers(run, ask.stored, [tool.name for tool in tools])
        async with Progress(self._lasting, show) as progress:
            reply = await self.models.ask(endpoint, messages, tools)
        return progress.shown or run, reply


class Retrying(Struct, frozen=True):
    """Over the runs that `outages` paces."""

    checkpoints: Checkpoints
    outages: Outages
    clock: Clock

    async def in_vain(
        self, run: TaskRun, ask: Ask, endpoint: Endpoint, error: Transient, used: TokenCount = NOTHING
    ) -> checkpoint.Checkpoint:
        """The failed run, if it was asked often enough; otherwise raises Transient with the time of the next
        try."""
        key = key_of(run)
        run = self.checkpoints.caches.runs.get(key) or run
        retry = tries.counted(run.status.retry, error.reason)
        if times := tries.spent(retry):
            self.outages.left(key)
            said = f"{error} (asked {times} times in a row)"
            return checkpoint.failed(run, ask, error.reason, said, self.clock())
        wait = self.outages.failed(key, endpoint, error, retry.attempts)
        retry.next_time = timestamp(self.clock() + timedelta(seconds=wait))
        # Nothing that goes wrong in the telling may hide when the model wants to be asked again.
        with suppress(ApiError):
            await self.checkpoints.save(run, checkpoint.in_vain(run, ask, retry, str(error), used))
        raise Transient(str(error), reason=error.reason, wait=wait) from error

    def answered(self, run: TaskRun, endpoint: Endpoint) -> None:
        """The model answered: others that wait for it try at once."""
        self.outages.answered(key_of(run), endpoint)

    def left(self, run: TaskRun) -> None:
        """The run waits no longer."""
        self.outages.left(key_of(run))


def _nobody(key: Key) -> None:
    """Ignores runs to wake."""


class Outages:
    """`wake` starts a pass over a run at once."""

    def __init__(self, wake: Callable[[Key], None] = _nobody, chance: Chance = random.random) -> None:
        self._wake = wake
        self._chance = chance
        self._waiting: dict[str, dict[Key, None]] = {}
        self._place: dict[Key, str] = {}

    def failed(self, key: Key, endpoint: Endpoint, error: Transient, attempts: int) -> float:
        """A run was not answered, `attempts` times in a row: how many seconds it waits now."""
        self.left(key)
        if error.reason == PAUSED and error.retry_after is not None:
            return not_before(error.retry_after, self._chance)
        if error.retry_after is not None and error.reason != "QuotaExceeded":  # a time that is kept to
            return max(not_before(error.retry_after, self._chance), full_jitter(attempts, self._chance))
        place = _place(endpoint, error.reason)
        waiting = self._waiting.setdefault(place, {})
        waiting[key] = None
        self._place[key] = place
        if error.retry_after is not None:
            return not_before(error.retry_after, self._chance)
        cap = min(CAP, ATTENTIVE * (1 + len(waiting) // CROWD))
        return full_jitter(attempts, self._chance, cap=cap)

    def answered(self, key: Key, endpoint: Endpoint) -> None:
        """A run got a reply: the next few that wait for the same model try at once."""
        if not self._place:
            return
        self.left(key)
        for place in (_place(endpoint, "Unreachable"), _place(endpoint, "")):
            for other in list(self._waiting.get(place, ()))[:AT_ONCE]:
                self.left(other)
                self._wake(other)

    def left(self, key: Key) -> None:
        """A run waits no longer: it is asked, finished or gone."""
        place = self._place.pop(key, None)
        if place is None:
            return
        waiting = self._waiting[place]
        waiting.pop(key, None)
        if not waiting:
            del self._waiting[place]


def _place(endpoint: Endpoint, reason: str) -> str:
    """What must work again: the connection to a server, or one model there for one account."""
    llm = endpoint.llm
    server = endpoint.base_url or llm.spec.parameters.base_url or llm.spec.provider
    if reason == "Unreachable":
        return server
    return f"{server} {llm.model_name} {hash(endpoint.api_key)}"
