"""Writes Events in the background: controllers and the worker tell, nobody waits for the telling.

Guarantees: telling never blocks and never raises; eventTime strictly increases, so the story of an object reads in
order whatever order the writes arrive in; the same reason and note about the same object are not written again for
a while. Caveats: events are dropped, and counted, when the API is slower than the story, and lost on a crash.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, TypeVar

import structlog

from kubechain.errors import ApiError
from kubechain.resources.builtin import EVENTS, Event, ObjectReference
from kubechain.resources.kind import GROUP, Kind
from kubechain.resources.model import Clock, ObjectMeta, Resource
from kubechain.runtime.api import Api

R = TypeVar("R", bound=Resource)
log = structlog.get_logger(__name__)

NOTE_BYTES = 1024
REMEMBERED = 512
"""Events told lately that are not told again."""
_NAME_LENGTH = 253
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class EventRecorder:
    """`name` is who reports (`kubechain.humanlayer.dev/NAME`), `instance` which of its replicas.

    `pause` (seconds) is how long an event waits for others to be written with it, `batch` how many at the most.
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
        self._controller = f"{GROUP}/{name}"
        self._instance = (instance or name)[:128]
        self._clock = clock
        self._batch = batch
        self._pause = pause
        self._queue: asyncio.Queue[Event] = asyncio.Queue(capacity)
        self._told: OrderedDict[tuple[str, str, str], datetime] = OrderedDict()
        self._memory = min(capacity, REMEMBERED)
        self._forget_after = forget_after
        self._last = 0
        self._complaint = ""

    def normal(self, kind: Kind[R], obj: R, reason: str, note: str, *, action: str = "Reconcile") -> None:
        """Something went as it should."""
        self._tell("Normal", kind, obj, reason, note, action)

    def warning(self, kind: Kind[R], obj: R, reason: str, note: str, *, action: str = "Reconcile") -> None:
        """Something did not; the note says what and the next move."""
        self._tell("Warning", kind, obj, reason, note, action)

    async def run(self) -> None:
        """Writes until cancelled: a moment after the first event, everything told by then at once."""
        while True:
            batch = [await self._queue.get()]
            if self._queue.empty():
                await asyncio.sleep(self._pause)
            while len(batch) < self._batch and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await asyncio.gather(*map(self._write, batch))

    async def flush(self) -> None:
        """Returns when everything told so far is written or lost; needs `run` running."""
        await self._queue.join()

    def _tell(
        self, type_: Literal["Normal", "Warning"], kind: Kind[R], obj: R, reason: str, note: str, action: str
    ) -> None:
        note = _capped(note)
        now = self._clock()
        what = (obj.metadata.uid, reason, note)
        if self._told_lately(what, now):
            return
        if self._queue.full():
            self.dropped += 1
            return
        micros = self._last = max((now - _EPOCH) // _MICROSECOND, self._last + 1)
        regarding = ObjectReference(
            api_version=kind.api_version,
            kind=kind.kind,
            namespace=obj.metadata.namespace,
            name=obj.metadata.name,
            uid=obj.metadata.uid,
        )
        event = Event(
            metadata=ObjectMeta(
                name=_event_name(obj.metadata.name, micros), namespace=obj.metadata.namespace or "default"
            ),
            event_time=_written(micros),
            reporting_controller=self._controller,
            reporting_instance=self._instance,
            action=action,
            reason=reason,
            regarding=regarding,
            note=note,
            type=type_,
        )
        self._queue.put_nowait(event)
        self._keep_in_mind(what, now)

    def _told_lately(self, what: tuple[str, str, str], now: datetime) -> bool:
        before = self._told.get(what)
        return before is not None and now - before < self._forget_after

    def _keep_in_mind(self, what: tuple[str, str, str], now: datetime) -> None:
        self._told[what] = now
        self._told.move_to_end(what)
        if len(self._told) > self._memory:
            self._told.popitem(last=False)

    async def _write(self, event: Event) -> None:
        try:
            await self._api.create(EVENTS, event)
        except (ApiError, OSError) as error:
            self._lose(error)
        finally:
            self._queue.task_done()

    def _lose(self, error: Exception) -> None:
        self.lost += 1
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.warning("event lost", reporter=self._controller, error=self._complaint)


def _capped(note: str) -> str:
    """The note in at most 1,024 bytes of UTF-8, an ellipsis showing the cut."""
    encoded = note.encode()
    return note if len(encoded) <= NOTE_BYTES else encoded[: NOTE_BYTES - 3].decode(errors="ignore") + "…"


def _written(micros: int) -> str:
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
