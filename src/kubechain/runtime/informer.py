"""Keeps a `Cache` of one kind current: lists once, then watches. There is one for each kind, and workers share it.

Flow: paged list -> `synced` -> watch from the version of the list -> when the stream ends, watch again from the
last version seen -> on Gone, list again; the difference is reported as changes and deletions. Guarantees: those of
`Cache`; no change is lost over reconnects (several changes of one object may be seen as one). It never writes, and
never gives up: errors of the API are logged once per message and retried with backoff.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from contextlib import aclosing
from typing import TypeVar, assert_never

import msgspec

from kubechain.errors import ApiError, Forbidden, Gone
from kubechain.logs import Logger
from kubechain.resources.kind import Kind
from kubechain.resources.model import Resource
from kubechain.runtime.api import ALL_NAMESPACES, Api, Bookmark, Change, Key, ListOptions, WatchOptions, key_of
from kubechain.runtime.backoff import Chance, full_jitter, not_before
from kubechain.runtime.cache import Cache
from kubechain.runtime.selectors import FieldSelector, LabelSelector

R = TypeVar("R", bound=Resource)
log = Logger(__name__)

RECONNECT_CAP = 30.0
PAGE = 500


def _nobody(error: ApiError | None) -> None:
    """Ignores how lists end."""


class Informer(Cache[R]):
    """The cache of `kind`, in one namespace or all, of what `fields` and `labels` select.

    Handlers and indices are best set before `run`. `answered` is called with None whenever a list is in the cache,
    and with the error when a list failed.
    """

    def __init__(
        self,
        api: Api,
        kind: Kind[R],
        namespace: str = ALL_NAMESPACES,
        *,
        fields: FieldSelector | None = None,
        labels: LabelSelector | None = None,
        chance: Chance = random.random,
        page: int = PAGE,
        answered: Callable[[ApiError | None], None] = _nobody,
    ) -> None:
        super().__init__(kind)
        self.kind = kind
        self.synced = asyncio.Event()
        """Set once the first list is in the cache."""
        self._answered = answered
        self._api = api
        self._namespace = namespace
        self._fields = fields or FieldSelector()
        self._labels = labels or LabelSelector()
        self._chance = chance
        self._page = page
        self._since = ""
        self._failures = 0
        self._complaint = ""

    def remember(self, obj: R) -> None:
        if self._namespace in (ALL_NAMESPACES, obj.metadata.namespace):
            super().remember(obj)

    def forget(self) -> None:
        """Empties the cache. The next list fills it again."""
        self._since = ""
        self.retain((), sys.maxsize)

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            opened, asked = loop.time(), 0.0
            try:
                if not self._since:
                    await self._list()
                await self._watch()
            except Gone:
                self._since = ""
            except msgspec.MsgspecError as error:
                # An object that does not fit its model: the list is whole again once someone has put it right.
                self._since = ""
                self._complain(error)
            except ApiError as error:
                if not self._since:
                    self._answered(error)
                elif isinstance(error, Forbidden):  # to watch; whether to list as well is asked again
                    self._since = ""
                self._complain(error)
                asked = not_before(error.details.retry_after, self._chance)
            except OSError as error:
                self._complain(error)
            # A stream that was silent for long and then ended is the server's habit, not trouble.
            self._failures = 1 if loop.time() - opened > RECONNECT_CAP else self._failures + 1
            await asyncio.sleep(max(asked, self._delay()))

    def _delay(self) -> float:
        """Seconds before the next try: 0 for the first reconnect, unless the server asked for a pause; then
        backoff."""
        return full_jitter(self._failures - 1, self._chance, cap=RECONNECT_CAP) if self._failures > 1 else 0.0

    def _complain(self, error: Exception) -> None:
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.warning("watch interrupted, retrying", kind=self.kind.kind, error=self._complaint)

    async def _list(self) -> None:
        present: set[Key] = set()
        token = ""
        while True:
            options = ListOptions(self._labels, self._fields, limit=self._page, continue_token=token)
            page = await self._api.list(self.kind.raw, self._namespace, options)
            for document in page.items:
                if (key := self._take(document)) is not None:
                    present.add(key)
            if not (token := page.continue_token):
                break
        self.retain(present, int(page.resource_version))
        self._reached(page.resource_version)
        self.synced.set()
        self._answered(None)

    async def _watch(self) -> None:
        options = WatchOptions(self._labels, self._fields, since=self._since, bookmarks=True)
        async with aclosing(self._api.watch(self.kind.raw, self._namespace, options)) as stream:
            async for event in stream:
                self._failures, self._complaint = 0, ""
                match event:
                    case Change(type="DELETED"):
                        self.drop(event.key, int(event.resource_version))
                    case Change():
                        if not self.knows(event.key, int(event.resource_version)):
                            self._take(event.object)
                    case Bookmark():
                        pass
                    case _:
                        assert_never(event)
                self._reached(event.resource_version)

    def _take(self, document: bytes) -> Key | None:
        """Puts an object into the cache. An object that does not match its model is left out."""
        try:
            obj = self.kind.decode(document)
        except msgspec.ValidationError as error:
            log.error("object left out: it does not fit its kind", kind=self.kind.kind, error=str(error))
            return None
        obj.metadata.managed_fields = []  # as large as many an object, and nobody here asks who set which field
        self.put(obj)
        return key_of(obj)

    def _reached(self, version: str) -> None:
        self._since = version
        self.delivered(int(version))
