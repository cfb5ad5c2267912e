"""Checks with the API server whether the holder of a bearer token may read a path of this program.

The operator calls it before it shows metrics. It creates a SelfSubjectAccessReview with the caller's token. Every
authenticated user may do that, so the operator needs no right to review tokens of others (as for TokenReview and
SubjectAccessReview). The token is not stored.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec

from kubechain.cluster.connection import Request
from kubechain.cluster.credentials import Fixed, Identity
from kubechain.cluster.http import opened
from kubechain.cluster.target import Target
from kubechain.errors import Forbidden, Timeout
from kubechain.resources.json import JsonObject

PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
SECONDS = 5.0
AT_A_TIME = 4
"""Questions at a time: strangers that send made-up tokens must not keep the API server busy."""


class _Status(msgspec.Struct):
    allowed: bool = False


class _Review(msgspec.Struct):
    status: _Status


class Callers:
    """The gate before one path (`/metrics`) of a program that speaks to `target`."""

    def __init__(self, target: Target, path: str) -> None:
        self._target = target
        self._path = path
        self._turnstile = asyncio.Semaphore(AT_A_TIME)

    async def admit(self, token: str) -> None:
        """Returns where the holder may GET the path. Raises Unauthorized, Forbidden, other ApiErrors."""
        async with self._turnstile:
            try:
                async with asyncio.timeout(SECONDS):
                    allowed = await self._allowed(token)
            except TimeoutError:
                raise Timeout(f"{self._target.server} did not answer in {SECONDS:.0f} s") from None
        if not allowed:
            raise Forbidden(
                f"the holder of this token may not get {self._path}: "
                f"bind it to a ClusterRole with the nonResourceURL {self._path} and the verb get"
            )

    async def _allowed(self, token: str) -> bool:
        wanted: JsonObject = {"path": self._path, "verb": "get"}
        review: JsonObject = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"nonResourceAttributes": wanted},
        }
        # Nothing of our own identity may come along: a client certificate would count before the token.
        caller = replace(self._target, credentials=Fixed(Identity(token=token)), impersonate=())
        async with opened(caller) as connection:
            answer = await connection.send(Request("POST", PATH, {}, msgspec.json.encode(review)))
        return msgspec.json.decode(answer, type=_Review).status.allowed
