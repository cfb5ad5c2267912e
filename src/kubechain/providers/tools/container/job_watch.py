"""The Jobs of container tools and their pods, as the cluster has them: one watch for all Jobs, one for all pods.

`jobs` owns one. Nothing is watched before `ready` is called, so that an operator without container tools needs no
rights for them. It writes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from kubechain.errors import ApiError, Forbidden, Terminal, Transient
from kubechain.providers.tools.container import work
from kubechain.resources.model import Resource
from kubechain.resources.workloads import JOBS, PODS, Job, Pod
from kubechain.runtime.api import Api, Key
from kubechain.runtime.informer import Informer
from kubechain.runtime.selectors import parse_labels

SECONDS = 10.0
JOB_NAME = "batch.kubernetes.io/job-name"
"""The label that a cluster gives the pods of a Job."""


class Cluster(Api, Protocol):
    """A real API server."""

    async def log(self, namespace: str, pod: str, most: int, tail: int = 0) -> bytes:
        """What the one container of a pod printed: the first bytes, or those of the last `tail` lines."""
        ...


class JobWatch:
    """`told` is called with the uid of a ToolCall when its Job or its pod has changed."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.told: Callable[[str], None] = lambda uid: None
        self._refusals: dict[str, ApiError | None] = {}
        self._answered = asyncio.Event()
        ours = parse_labels(work.UID_LABEL)
        self._jobs: Informer[Job] = Informer(
            api, JOBS, namespace, labels=ours, answered=lambda error: self._answer("jobs", error)
        )
        self._pods: Informer[Pod] = Informer(
            api, PODS, namespace, labels=ours, answered=lambda error: self._answer("pods", error)
        )
        self._pods.index("call", lambda pod: [pod.metadata.labels.get(work.UID_LABEL, "")])
        self._jobs.on_change(self._changed)
        self._pods.on_change(self._changed)
        self._tasks: list[asyncio.Task[None]] = []

    async def ready(self, namespace: str) -> None:
        """Returns once both are known. Raises Terminal (they may not be watched) or Transient."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(informer.run()) for informer in (self._jobs, self._pods)]
        try:
            async with asyncio.timeout(SECONDS):
                while len(self._refusals) < 2:
                    self._answered.clear()
                    await self._answered.wait()
        except TimeoutError:
            raise Transient("the cluster does not say which Jobs there are", reason="Unreachable") from None
        for error in self._refusals.values():
            if isinstance(error, Forbidden):
                raise Terminal(_not_allowed(namespace, error), reason="JobsForbidden")
            if error is not None:
                raise Transient(str(error), reason="Unreachable")

    def job(self, key: Key) -> Job | None:
        """The Job as last seen."""
        return self._jobs.get(key)

    def pod(self, uid: str, job: str) -> Pod | None:
        """The pod of the Job; there is at most one, since none is tried again."""
        pods = (pod for pod in self._pods.by("call", uid) if pod.metadata.labels.get(JOB_NAME) == job)
        return next(pods, None)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _answer(self, which: str, error: ApiError | None) -> None:
        self._refusals[which] = error
        self._answered.set()

    def _changed(self, old: Resource | None, new: Resource | None) -> None:
        changed = new or old
        if changed is not None and (uid := changed.metadata.labels.get(work.UID_LABEL)):
            self.told(uid)


def _not_allowed(namespace: str, error: Forbidden) -> str:
    return (
        f'container tools in namespace "{namespace}" need rights that the operator does not have ({error}); to '
        "grant them, add --containers to your options of `kubechain install` and apply what it prints (with Helm: "
        "--set containers.enabled=true)"
    )
