"""Which runs wait for a model that did not answer, and when each tries again. The TaskRun controller calls it.

In memory, and no more than a matter of pace: what one run has learnt (the model answers again) lets the others try
at once, a few for each reply, instead of each at its own time. A restart asks each run anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from kubechain.agents.ports.model import Endpoint
from kubechain.errors import Transient
from kubechain.runtime.api import Key
from kubechain.runtime.backoff import CAP, Chance, full_jitter, not_before

AT_ONCE = 8
"""Runs that each reply lets try: twice and thrice as many follow when those are answered too."""
ATTENTIVE = 30.0
"""Seconds, the longest wait between two tries while few wait."""
CROWD = 10
"""Waiting runs for each of which the longest wait grows by itself: some of them try every few seconds anyway."""


def _nobody(key: Key) -> None:
    """Nobody listens yet."""


class Outages:
    """`wake` has a run looked at at once."""

    def __init__(self, wake: Callable[[Key], None] = _nobody, chance: Chance = random.random) -> None:
        self._wake = wake
        self._chance = chance
        self._waiting: dict[str, dict[Key, None]] = {}
        self._place: dict[Key, str] = {}

    def failed(self, key: Key, endpoint: Endpoint, error: Transient, attempts: int) -> float:
        """A run was not answered, `attempts` times in a row: how many seconds it waits now."""
        self.left(key)
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
    """What has to work again: the way to a server, or one model there for one account."""
    llm = endpoint.llm
    server = endpoint.base_url or llm.spec.parameters.base_url or llm.spec.provider
    if reason == "Unreachable":
        return server
    return f"{server} {llm.model_name} {hash(endpoint.api_key)}"
