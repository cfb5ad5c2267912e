"""The end of a namespace: marked Terminating first, then emptied, then gone.

A worker of the store, woken when a namespace is marked and when something in it goes. `default` and `kube-system`
are made at the start; the decisions refuse to delete them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubechain.resources.builtin import NAMESPACES
from kubechain.resources.kind import Kind
from kubechain.resources.model import ObjectMeta
from kubechain.runtime.api import DeleteOptions
from kubechain.store import database
from kubechain.store.decisions import IMMORTAL, finalized
from kubechain.store.document import Document
from kubechain.store.ledger import Landed, Ledger
from kubechain.store.record import DELETED, Entry
from kubechain.store.writes import Writes

_AT_ONCE = 200
_GRACE = 2.0
"""Seconds before the contents go: `kubectl delete -f` deletes a namespace and then, one by one, what is in it."""


class Namespaces:
    """The namespaces that are being emptied, and the worker that does it."""

    def __init__(self, ledger: Ledger, writes: Writes, kinds: Mapping[int, Kind[Any]]) -> None:
        self._ledger = ledger
        self._writes = writes
        self._kinds = kinds
        self._number = writes.number(NAMESPACES)
        found = database.contents(ledger.reader, self._number, "", limit=-1)
        self._terminating = {at.name for at, deleting in found if deleting}
        self._missing = IMMORTAL - {at.name for at, _ in found}
        self._due = set(self._terminating)
        self._wake = asyncio.Event()
        self._wake.set()

    def ensure_immortal(self) -> None:
        """Makes the namespaces that are always there."""
        for name in sorted(self._missing):
            self._writes.create(NAMESPACES, Document(ObjectMeta(name=name), {}))

    def notice(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.at.resource == self._number:
                self._notice_namespace(entry)
            elif self._terminating and entry.at.namespace in self._terminating:
                self._due.add(entry.at.namespace)
        if self._due:
            self._wake.set()

    def _notice_namespace(self, entry: Entry) -> None:
        name = entry.at.name
        if entry.type == DELETED:
            self._terminating.discard(name)
            self._due.discard(name)
        elif entry.meta.deletion_timestamp and name not in self._terminating:
            asyncio.get_running_loop().call_later(_GRACE, self._begin, name)

    def _begin(self, name: str) -> None:
        self._terminating.add(name)
        self._due.add(name)
        self._wake.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._due:
                landings = [landed for landed in self._empty(self._due.pop()) if landed]
                if landings:
                    await asyncio.wait(landings)
                await asyncio.sleep(0)

    def _empty(self, namespace: str) -> Iterator[Landed | None]:
        """Deletes some of what is left, or the namespace itself when nothing is."""
        at = self._writes.address(NAMESPACES, "", namespace)
        stored = self._ledger.stored(at)
        if stored is None or not stored.deleting:  # it went meanwhile, and may be there again as another
            self._terminating.discard(namespace)
            return
        is_empty = True
        for number, kind in self._kinds.items():
            if not kind.namespaced:
                continue
            found = database.contents(self._ledger.reader, number, namespace, _AT_ONCE)
            is_empty = is_empty and not found
            for content, deleting in found:
                if not deleting:
                    yield self._writes.remove(content, DeleteOptions("Background"))
        if is_empty:
            yield self._writes.amend(at, finalized)
