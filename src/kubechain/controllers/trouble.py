"""Saves what was paid for: a write that the API is too busy or too ill to take is tried until it takes it.

The run and the tool call controllers use it for a model's reply and a tool's result, which a new pass of the
worker could only get by asking again. Cancelling ends it; whatever else the API answers is up to the caller.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kubechain.errors import InternalError, Timeout, TooManyRequests
from kubechain.logs import Logger
from kubechain.runtime.backoff import Chance, full_jitter, not_before

T = TypeVar("T")
CAP = 30.0
"""Seconds, the longest wait between two tries that nobody asked for."""
log = Logger(__name__)


async def through_trouble(effect: Callable[[], Awaitable[T]], chance: Chance = random.random) -> T:
    """What `effect` gives once the API takes it; doing it twice must do no harm, as with a put of one version."""
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
