"""Which keys failed, how often, and what may cut short their waiting: the memory of a worker. It only decides.

A status written by a failing pass must not wake its own retry, nor may the status of another object: a wait that
somebody asked for is kept. A new spec ends it, and so does a change of what the object uses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import inf

from msgspec import Struct

from kubechain.runtime.api import Key
from kubechain.runtime.backoff import Chance
from kubechain.runtime.failure import Verdict, judge


class _Failing(Struct, frozen=True):
    """Failures in a row, what was said about them, and the time before which a status change wakes nobody."""

    attempts: int
    message: str
    firm_until: float


class Retries:
    """`now` is the time of the event loop."""

    def __init__(self, now: Callable[[], float], chance: Chance) -> None:
        self.failures: Counter[str] = Counter()
        """Failures so far, by reason; lost races among them."""
        self._now = now
        self._chance = chance
        self._failing: dict[Key, _Failing] = {}
        self._urgent: set[Key] = set()
        """Keys woken, since their last pass began, because something else is asked of them or of what they use."""
        self._nudged: set[Key] = set()
        """Keys woken since then by the status of another object, which ends no wait but one without end."""

    def __len__(self) -> int:
        return len(self._failing)

    def woken(self, key: Key, *, urgent: bool) -> None:
        """Something that the key depends on changed: `urgent` when it was more than a status."""
        (self._urgent if urgent else self._nudged).add(key)

    def begun(self, key: Key) -> None:
        """A pass over the key begins: it sees all that the key was woken for."""
        self._urgent.discard(key)
        self._nudged.discard(key)

    def wait(self, key: Key) -> float:
        """Seconds before the next try is due; 0 where nothing is in its way, `inf` until something changes."""
        failing = self._failing.get(key)
        if failing is None or key in self._urgent or (key in self._nudged and failing.firm_until == inf):
            return 0.0
        return max(0.0, failing.firm_until - self._now())

    def succeeded(self, key: Key) -> None:
        """A successful pass forgets all failures."""
        self._failing.pop(key, None)

    def failed(self, key: Key, error: BaseException) -> tuple[Verdict, bool]:
        """What follows, and whether people have heard the like of it already."""
        before = self._failing.get(key)
        attempts = 1 if before is None else before.attempts + 1
        verdict = judge(error, attempts, self._chance)
        self.failures[verdict.reason] += 1
        heard = before.message if before is not None else ""
        message = heard if verdict.audience == "nobody" else f"{verdict.reason}: {error}"
        until = self._now() + verdict.wait if verdict.firm else 0.0
        self._failing[key] = _Failing(attempts, message, until)
        return verdict, message == heard

    def forget(self, key: Key) -> None:
        """The key is gone, at rest, or somebody else's."""
        self._failing.pop(key, None)
        self.begun(key)
