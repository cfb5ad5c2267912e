"""Saves statuses. Controllers write a status only through this module.

`put_status` writes once, for what another pass can repeat. `save_status` is for what must not be lost, such as a
reply that was paid for: it goes `through_trouble`, so it waits for an API that is busy or fails, and it writes
over changes of others if the caller's rule allows that. Both put the written object into the informer, so that the
next pass sees it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from kubechain.errors import Conflict, InternalError, NotFound, Timeout, TooManyRequests
from kubechain.logs import Logger
from kubechain.resources.kind import R
from kubechain.runtime.api import Api, key_of
from kubechain.runtime.backoff import Chance, full_jitter, not_before
from kubechain.runtime.informer import Informer
from kubechain.runtime.queue import wrote

TRIES = 5
"""Versions of an object that are written over before the write is left to another pass."""
T = TypeVar("T")
CAP = 30.0
"""Seconds, the longest wait between two tries that nobody asked for."""
log = Logger(__name__)


async def put_status(api: Api, informer: Informer[R], obj: R) -> R:
    """Writes the object's status, once. Raises Conflict, NotFound and whatever else the API answers."""
    return remembered(informer, await api.put_status(informer.kind, obj))


def remembered(informer: Informer[R], written: R) -> R:
    """Passes the written object to the informer and to the current pass."""
    wrote(written)
    informer.remember(written)
    return written


def always(newest: object) -> bool:
    """A rule: write the status, whatever changed meanwhile."""
    return True


async def save_status(
    api: Api,
    informer: Informer[R],
    obj: R,
    status: object,
    *,
    over: Callable[[R], bool] = always,
    put: Callable[[R], Awaitable[R]] | None = None,
) -> R | None:
    """Writes `status`; the written object, or None where `obj` is gone, or another took its name.

    `over` says whether it may be written over a version newer than `obj`; where it says no, Conflict is raised.
    An API may answer a read from the past, so that only a version newer than `obj` says anything about it.
    `put` stands in for `put_status` where more is written along with the status.
    """
    put = put or partial(put_status, api, informer)
    for _ in range(TRIES):
        wanted = replace(obj, status=status)
        try:
            return await through_trouble(partial(put, wanted))
        except NotFound:
            return None
        except Conflict:
            newest = await _newest(api, informer, obj)
            if newest is None:
                continue
            if newest.metadata.uid != obj.metadata.uid:
                return None
            if newest == replace(newest, status=status):
                return newest  # an earlier try was taken, and its answer lost
            if not over(newest):
                raise
            obj = newest
    raise Conflict(f"{informer.kind.kind} {key_of(obj)} changes too often to save its status")


async def _newest(api: Api, informer: Informer[R], obj: R) -> R | None:
    """What the API has under the name of `obj`, where that is newer; it may be another object."""
    meta = obj.metadata
    try:
        found = await through_trouble(partial(api.get, informer.kind, meta.name, meta.namespace))
    except NotFound:
        return None
    if int(found.metadata.resource_version) <= int(meta.resource_version):
        return None
    informer.remember(found)
    return found


async def through_trouble(effect: Callable[[], Awaitable[T]], chance: Chance = random.random) -> T:
    """Repeats `effect` until the API accepts it. It must be safe to repeat, like a put of one version."""
    failures = 0
    while True:
        try:
            return await effect()
        except (TooManyRequests, InternalError, Timeout) as error:
            failures += 1
            if failures == 1:
                log.warning("the API does not take a result, retrying", error=str(error))
            asked = not_before(error.details.retry_after, chance)
            await asyncio.sleep(max(asked, full_jitter(failures, chance, cap=CAP)))
