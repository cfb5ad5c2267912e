"""Writes Events in the background. Controllers and the worker do not wait for it.

Guarantees: recording an Event never blocks and never raises. eventTime strictly increases, so the Events of an
object are in order even if the writes are not. The same reason and note about an object are not written again for
a while. Normal events of one reason about an object are written at most once a second, as one Event with the last
note and a count; if the reason `recurs`, the first one waits for others too. Caveats: Events are dropped, and
counted, if the API is too slow; a crash loses those not written yet.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, Literal, TypeVar

from msgspec import Struct

from kubechain.errors import ApiError
from kubechain.logs import Logger
from kubechain.resources.builtin import EVENTS, Event, EventSeries, ObjectReference
from kubechain.resources.kind import GROUP, Kind
from kubechain.resources.model import Clock, ObjectMeta, Resource
from kubechain.runtime.api import Api

R = TypeVar("R", bound=Resource)
log = Logger(__name__)

CONTROLLER = "kubechain"
"""The name under which the program reports."""
NOTE_BYTES = 1024
REMEMBERED = 512
"""Events told lately that are not told again."""
_NAME_LENGTH = 253
SERIES = 1.0
"""Seconds that a further Event of one reason about one object waits for more of its kind."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class _Told(Struct):
    """An event that waits to be written. `first`, `last`: microseconds since 1970; `due`: the loop's time."""

    kind: Kind[Any]
    meta: ObjectMeta
    type: Literal["Normal", "Warning"]
    reason: str
    action: str
    note: str
    first: int
    last: int
    due: float
    count: int = 1


class EventRecorder:
    """`name` is who reports (`kubechain.humanlayer.dev/NAME`), `instance` which of its replicas.

    `pause` (seconds) is how long an event waits for others to be written with it, `batch` how many at the most.
    Made inside the running loop.
    """

    def __init__(
        self,
        api: Api,
        name: str,
        clock: Clock,
        *,
        instance: str = "",
        capacity: int = 4096,
        batch: int = 64,
        pause: float = 0.05,
        forget_after: timedelta = timedelta(minutes=10),
    ) -> None:
        self.dropped = 0
        """Events that found the queue full."""
        self.lost = 0
        """Events that the API did not take."""
        self._api = api
        self._loop = asyncio.get_running_loop()
        self._controller = f"{GROUP}/{name}"
        self._instance = (instance or name)[:128]
        self._clock = clock
        self._batch = batch
        self._pause = pause
        self._capacity = capacity
        self._waiting: dict[tuple[str, ...], _Told] = {}
        """By object, type and reason; of warnings by note as well, for each says something else."""
        self._later: dict[str, list[_Told]] = {}
        """Those of them that are not due yet, by object."""
        self._written: OrderedDict[tuple[str, ...], float] = OrderedDict()
        """When what was written in the last second, in the loop's time."""
        self._news = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._told: OrderedDict[tuple[str, str, str], datetime] = OrderedDict()
        self._memory = min(capacity, REMEMBERED)
        self._forget_after = forget_after
        self._last = 0
        self._complaint = ""

    def normal(
        self,
        kind: Kind[R],
        obj: R,
        reason: str,
        note: str,
        *,
        action: str = "Reconcile",
        recurs: bool = False,
    ) -> None:
        """Records a Normal event. `recurs`: others of this reason are likely within a second."""
        self._hear("Normal", kind, obj, reason, note, action, recurs)

    def warning(self, kind: Kind[R], obj: R, reason: str, note: str, *, action: str = "Reconcile") -> None:
        """Records a Warning event. The note says what went wrong and what to do next."""
        self._hear("Warning", kind, obj, reason, note, action, recurs=False)

    async def run(self) -> None:
        """Writes Events until cancelled, those that are due at the same time together."""
        while True:
            await self._news.wait()
            await asyncio.sleep(self._pause)
            self._news.clear()
            while due := self._take_due():
                await asyncio.gather(*map(self._write, due))
            if not self._waiting:
                self._quiet.set()
            else:
                self._loop.call_at(min(told.due for told in self._waiting.values()), self._news.set)

    async def flush(self) -> None:
        """Returns when everything told so far is written or lost; needs `run` running."""
        await asyncio.sleep(0)  # what was told a moment ago is taken down by then
        for told in self._waiting.values():
            told.due = 0.0
        self._news.set()
        await self._quiet.wait()

    def _take_due(self) -> list[_Told]:
        now = self._loop.time()
        due = list(islice((what for what, told in self._waiting.items() if told.due <= now), self._batch))
        for what in due:
            self._written[what] = now
            self._written.move_to_end(what)
        while self._written and now - next(iter(self._written.values())) > SERIES:
            self._written.popitem(last=False)
        return [self._waiting.pop(what) for what in due]

    def _hear(
        self,
        type_: Literal["Normal", "Warning"],
        kind: Kind[R],
        obj: R,
        reason: str,
        note: str,
        action: str,
        recurs: bool,
    ) -> None:
        """Queues the Event in the next iteration of the event loop, so that the caller is not delayed."""
        self._loop.call_soon(self._tell, type_, kind, obj.metadata, reason, note, action, recurs, self._clock())

    def _tell(
        self,
        type_: Literal["Normal", "Warning"],
        kind: Kind[Any],
        meta: ObjectMeta,
        reason: str,
        note: str,
        action: str,
        recurs: bool,
        now: datetime,
    ) -> None:
        note = _capped(note)
        if self._told_lately((meta.uid, reason, note), now):
            return
        what = (meta.uid, reason) if type_ == "Normal" else (meta.uid, reason, note)
        micros = max((now - _EPOCH) // _MICROSECOND, self._last + 1)
        if (waiting := self._waiting.get(what)) is not None:
            waiting.note, waiting.last, waiting.count = note, micros, waiting.count + 1
        elif len(self._waiting) >= self._capacity:
            self.dropped += 1
            return
        else:
            self._wait(what, _Told(kind, meta, type_, reason, action, note, micros, micros, 0.0), recurs)
        self._last = micros
        self._keep_in_mind((meta.uid, reason, note), now)

    def _wait(self, what: tuple[str, ...], told: _Told, recurs: bool) -> None:
        """Queues an Event to be written soon, or later if it recurs or a similar one was just written.

        A new kind of Event about an object also sends the earlier ones that still wait.
        """
        uid = told.meta.uid
        if recurs or what in self._written:
            told.due = self._written.get(what, self._loop.time()) + SERIES
            self._later.setdefault(uid, []).append(told)
        else:
            for earlier in self._later.pop(uid, ()):
                earlier.due = 0.0
        self._waiting[what] = told
        self._quiet.clear()
        self._news.set()

    def _told_lately(self, what: tuple[str, str, str], now: datetime) -> bool:
        before = self._told.get(what)
        return before is not None and now - before < self._forget_after

    def _keep_in_mind(self, what: tuple[str, str, str], now: datetime) -> None:
        self._told[what] = now
        self._told.move_to_end(what)
        if len(self._told) > self._memory:
            self._told.popitem(last=False)

    async def _write(self, told: _Told) -> None:
        if told.due:
            self._later.pop(told.meta.uid, None)
        try:
            await self._api.create(EVENTS, self._event(told))
        except (ApiError, OSError) as error:
            self._lose(error)

    def _event(self, told: _Told) -> Event:
        kind, meta = told.kind, told.meta
        name = _event_name(meta.name, told.first)
        return Event(
            metadata=ObjectMeta(name=name, namespace=meta.namespace or "default"),
            event_time=_micro_time(told.first),
            series=EventSeries(count=told.count, last_observed_time=_micro_time(told.last))
            if told.count > 1
            else None,
            reporting_controller=self._controller,
            reporting_instance=self._instance,
            action=told.action,
            reason=told.reason,
            regarding=ObjectReference(
                api_version=kind.api_version,
                kind=kind.kind,
                namespace=meta.namespace,
                name=meta.name,
                uid=meta.uid,
            ),
            note=told.note,
            type=told.type,
        )

    def _lose(self, error: Exception) -> None:
        self.lost += 1
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.warning("event lost", reporter=self._controller, error=self._complaint)


def _capped(note: str) -> str:
    """The note in at most 1,024 bytes of UTF-8, an ellipsis showing the cut."""
    encoded = note.encode()
    return note if len(encoded) <= NOTE_BYTES else encoded[: NOTE_BYTES - 3].decode(errors="ignore") + "…"


def _micro_time(micros: int) -> str:
    """metav1.MicroTime, from microseconds since 1970."""
    second, fraction = divmod(micros, 1_000_000)
    return f"{_second(second)}.{fraction:06}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _event_name(name: str, micros: int) -> str:
    """`NAME.HEX`, the moment in nanoseconds, as Kubernetes names events; a long name is cut."""
    suffix = f".{micros * 1000:x}"
    return name[: _NAME_LENGTH - len(suffix)].rstrip("-.") + suffix
