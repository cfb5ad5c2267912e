"""What the controller manager of a cluster does: creates the ServiceAccount `default` in every namespace, and
updates the rules of ClusterRoles that aggregate others.

`embedded` runs it beside the control loops. A loop that fails logs the error and starts again after a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

from msgspec import json

from kubechain.app.roles import gather
from kubechain.errors import ApiError, Forbidden, NotFound
from kubechain.logs import Logger
from kubechain.resources.builtin import CLUSTER_ROLES, NAMESPACES, SERVICE_ACCOUNTS
from kubechain.runtime.api import ALL_NAMESPACES, Api, Change, WatchOptions
from kubechain.runtime.selectors import parse_fields

log = Logger(__name__)
DEFAULT = "default"
PAUSE = 1.0
"""Seconds after which a failed loop starts again."""
_NAMED_DEFAULT = parse_fields(f"metadata.name={DEFAULT}")


@asynccontextmanager
async def housekeeping(api: Api) -> AsyncIterator[None]:
    """Runs the loops while the context is open."""
    async with asyncio.TaskGroup() as group:
        loops = (give_accounts, give_back_accounts, gather_rules)
        tasks = [group.create_task(_kept_going(loop, api)) for loop in loops]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def give_accounts(api: Api) -> None:
    """Creates the ServiceAccount `default` in every namespace, existing or new."""
    async with aclosing(api.watch(NAMESPACES.raw, options=WatchOptions(since="0"))) as changes:
        async for change in changes:
            if isinstance(change, Change) and change.type == "ADDED":
                await _give(api, change.key.name)


async def give_back_accounts(api: Api) -> None:
    """Creates it again after it is deleted."""
    options = WatchOptions(since="0", fields=_NAMED_DEFAULT)
    async with aclosing(api.watch(SERVICE_ACCOUNTS.raw, ALL_NAMESPACES, options)) as changes:
        async for change in changes:
            if isinstance(change, Change) and change.type == "DELETED":
                await _give(api, change.key.namespace)


async def gather_rules(api: Api) -> None:
    """Updates the aggregated rules after every change of a ClusterRole."""
    since = (await api.list(CLUSTER_ROLES.raw)).resource_version
    await gather(api)
    async with aclosing(api.watch(CLUSTER_ROLES.raw, options=WatchOptions(since=since))) as changes:
        async for change in changes:
            if isinstance(change, Change):
                await gather(api)


async def _give(api: Api, namespace: str) -> None:
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": DEFAULT, "namespace": namespace},
    }
    try:
        await api.ensure(SERVICE_ACCOUNTS.raw, json.encode(account))
    except (NotFound, Forbidden):
        return  # the namespace is terminating or deleted


async def _kept_going(loop: Callable[[Api], Awaitable[None]], api: Api) -> None:
    while True:
        try:
            await loop(api)
        except ApiError as error:
            log.warning("housekeeping will be tried again", loop=loop.__name__, error=str(error))
        await asyncio.sleep(PAUSE)
