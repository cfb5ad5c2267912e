"""Writes a status and then the children that it asks for, one request after the other.

Called by implementations of the port `Api` that cannot write both in one transaction, and by tests that count
writes. Never creates a child before the status that asks for it is saved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kubechain.errors import ApiError
from kubechain.resources.kind import Kind, R, T
from kubechain.runtime.api import Api


async def one_by_one(
    api: Api, kind: Kind[T], obj: T, child_kind: Kind[R], children: Sequence[R]
) -> tuple[T, list[R]]:
    """`Api.checkpoint` by a put of the status and, once that is saved, a create for each child."""
    written = await api.put_status(kind, obj)
    made = await asyncio.gather(*(_made(api, child_kind, child) for child in children))
    return written, [child for child in made if child is not None]


async def _made(api: Api, kind: Kind[R], child: R) -> R | None:
    try:
        return await api.ensure(kind, child)
    except ApiError:
        return None
