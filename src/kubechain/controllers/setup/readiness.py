"""Determines readiness, in the same way for every kind: dependencies exist -> external check -> assessment.

A controller checks what its object refers to, and sets Pending while something is missing. The external check runs
once for each spec, each version of the Secrets in use and each `reload` annotation, and again after a restart. An
Error is checked again within a minute, because a missing module, package or command may exist by then, and nothing
reports that. A status that did not change is not written.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from msgspec import Struct, json
from msgspec.structs import replace

from kubechain.agents.ports.tool import ToolError
from kubechain.agents.toolbox import Assessment
from kubechain.controllers.saving import put_status
from kubechain.errors import ApiError, NotFound, Terminal, Transient
from kubechain.resources.kind import GROUP, R
from kubechain.resources.model import Clock, Condition, Resource, settled, timestamp, with_condition
from kubechain.resources.readiness import ReadyStatus
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
    """The result of a check: the assessment, and the status with everything else."""

    assessment: Assessment
    status: S


class _Checked(Struct):
    """What this process last checked an object against (None: nothing), and the number of failures in a row."""

    against: str | None = None
    reload: str = ""
    errors: int = 0


class Readiness(Generic[R]):
    """Determines the readiness of one kind's objects. It keeps its memory only in this process."""

    def __init__(self, api: Api, informer: Informer[R], clock: Clock) -> None:
        self._api = api
        self._informer = informer
        self._clock = clock
        self._checked: dict[Key, _Checked] = {}

    async def say(self, obj: R, old: S, new: S, assessment: Assessment) -> Next:
        """Writes the assessment, along with what else is in `new`. `old` is the object's status.

        If that fails, the next pass checks the object again.
        """
        status = judged(new, assessment, obj.metadata.generation, self._clock)
        if not same(old, status):
            try:
                await put_status(self._api, self._informer, replace(obj, status=status))
            except NotFound:
                return Done()
            except ApiError:
                self._checked.pop(key_of(obj), None)
                raise
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
        """Calls `look` for the external check if it is due, with whether to start from scratch.

        `against`: a fingerprint of what it is checked with; `known`: the last one, if the object
        records it. `unreachable`: the reason under which a Transient failure is Pending, not an Error.
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
        """Forgets the object: it was deleted, or must be checked again."""
        self._checked.pop(key, None)


def fingerprint(obj: Resource, secrets: str) -> str:
    """What a check depends on beside the spec: versions of Secrets, and the `reload` annotation."""
    return f"{secrets} {reload_of(obj)}".rstrip()


def reload_of(obj: Resource) -> str:
    """The value of the `reload` annotation."""
    return obj.metadata.annotations.get(RELOAD, "")


def reason_of(error: Terminal | ToolError) -> str:
    """The reason for the condition. A ToolError has none of its own."""
    return error.reason if isinstance(error, Terminal) else "Refused"


def _wait(checked: _Checked) -> float:
    """Counts an Error; seconds until the next check."""
    checked.errors += 1
    return not_before(min(LATER, SOON * 2.0 ** min(checked.errors - 1, 10)), random.random)


def same(old: ReadyStatus, new: ReadyStatus) -> bool:
    """Whether both are equal; an API server may return JSON with its keys in another order."""
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
