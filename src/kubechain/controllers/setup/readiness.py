"""How something gets ready, the same for every kind: what it needs is there -> it is checked outside -> a verdict.

A controller looks at what its object refers to, and says Pending while something is missing. What has to be looked
at outside is checked once for each spec, each version of the Secrets in use and each `reload` annotation, and once
more after a restart. An Error is checked again after a while, at most a minute later: a module, a package or a
command that was missing may be there by then, and nothing tells. A status that did not change is not written.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from msgspec import Struct, json
from msgspec.structs import replace

from kubechain.agents.ports.tool import ToolError
from kubechain.agents.toolbox import Assessment
from kubechain.controllers.saving import save_status
from kubechain.errors import Terminal, Transient
from kubechain.resources.kind import GROUP, R
from kubechain.resources.model import Clock, Condition, Resource, timestamp, with_condition
from kubechain.resources.readiness import ReadyStatus, settled
from kubechain.runtime.api import Api, Key, key_of
from kubechain.runtime.backoff import not_before
from kubechain.runtime.controller import After, Done, Next
from kubechain.runtime.informer import Informer

RELOAD = f"{GROUP}/reload"
"""An annotation: another value of it has the object checked anew."""
SOON, LATER = 2.0, 45.0
"""Seconds between two checks of what is in Error: the first wait, doubled each time, and the longest."""
S = TypeVar("S", bound=ReadyStatus)


class Found(Struct, Generic[S], frozen=True):
    """What a check found out: the assessment, and the status with everything else in it."""

    assessment: Assessment
    status: S


class _Checked(Struct):
    """What this process checked an object against last (None: nothing), and how often in a row in vain."""

    against: str | None = None
    reload: str = ""
    errors: int = 0


class Readiness(Generic[R]):
    """The judging of one kind's objects. What it remembers of them concerns this process alone."""

    def __init__(self, api: Api, informer: Informer[R], clock: Clock) -> None:
        self._api = api
        self._informer = informer
        self._clock = clock
        self._checked: dict[Key, _Checked] = {}

    async def say(self, obj: R, old: S, new: S, assessment: Assessment) -> Next:
        """Writes the assessment, along with what else is in `new`. `old` is the object's status."""
        status = judged(new, assessment, obj.metadata.generation, self._clock)
        if not same(old, status):
            await save_status(self._api, self._informer, obj, status)
        return Done()

    async def check(
        self,
        obj: R,
        old: S,
        against: str,
        look: Callable[[bool], Awaitable[Found[S]]],
        *,
        known: str | None = None,
        unreachable: str = "",
    ) -> Next:
        """Has `look` check the object outside, where that is due; it is told whether to begin anew with it.

        `against`: a fingerprint of what it is checked with; `known`: the one it was checked with last, where the
        object says so itself. `unreachable`: the reason under which a Transient failure is Pending, not an Error.
        """
        checked = self._checked.setdefault(key_of(obj), _Checked())
        last = checked.against if known is None else known
        if settled(old, obj.metadata.generation) and last == against:
            return Done()
        anew = checked.against is not None and checked.reload != reload_of(obj)
        checked.against, checked.reload = against, reload_of(obj)
        try:
            found = await look(anew)
        except (Terminal, ToolError) as error:
            await self.say(obj, old, old, Assessment("Error", reason_of(error), str(error)))
            return After(_wait(checked))
        except Transient as error:
            if unreachable:
                await self.say(obj, old, old, Assessment("Pending", unreachable, str(error)))
                raise
            await self.say(obj, old, old, Assessment("Error", error.reason, str(error)))
            raise Transient(str(error), reason=error.reason, wait=_wait(checked)) from error
        checked.errors = 0
        return await self.say(obj, old, found.status, found.assessment)

    def forget(self, key: Key) -> None:
        """The object is gone, or has to be checked again whatever it was checked against."""
        self._checked.pop(key, None)


def fingerprint(obj: Resource, secrets: str) -> str:
    """What a check depends on beside the spec: versions of Secrets, and the `reload` annotation."""
    return f"{secrets} {reload_of(obj)}".rstrip()


def reload_of(obj: Resource) -> str:
    """What somebody who wants it checked again wrote last."""
    return obj.metadata.annotations.get(RELOAD, "")


def reason_of(error: Terminal | ToolError) -> str:
    """The condition's reason: a tool that says no of itself has none."""
    return error.reason if isinstance(error, Terminal) else "Refused"


def _wait(checked: _Checked) -> float:
    """Counts an Error; seconds until the next check."""
    checked.errors += 1
    return not_before(min(LATER, SOON * 2.0 ** min(checked.errors - 1, 10)), random.random)


def same(old: ReadyStatus, new: ReadyStatus) -> bool:
    """Whether both say the same: an API server may give JSON back with its keys in another order."""
    return old == new or json.decode(json.encode(old)) == json.decode(json.encode(new))


def judged(status: S, assessment: Assessment, generation: int, clock: Clock) -> S:
    """The status with the assessment as its condition Ready and the summary derived from it."""
    ready = assessment.status == "Ready"
    condition = Condition(
        type="Ready",
        status="True" if ready else "False",
        reason=assessment.reason,
        message=assessment.detail,
        last_transition_time=timestamp(clock()),
        observed_generation=generation,
    )
    return replace(
        status,
        ready=ready,
        status=assessment.status,
        status_detail=assessment.detail,
        observed_generation=generation,
        conditions=with_condition(status.conditions, condition),
    )
