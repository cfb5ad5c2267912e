"""Puts the worker of TaskRuns together."""

from __future__ import annotations

from kubechain.controllers.parts import Parts
from kubechain.controllers.runs.asking import Outages
from kubechain.controllers.runs.assembly import controller
from kubechain.controllers.runs.dependencies import at_rest, shard_of, wakes
from kubechain.resources.taskrun import TaskRun
from kubechain.runtime.api import Key
from kubechain.runtime.replicas.share import Sharded
from kubechain.runtime.worker import Worker


def runs_worker(parts: Parts) -> Worker[TaskRun]:
    """Not running yet."""
    p = parts

    def wake(key: Key) -> None:
        worker.wake(key)

    worker = Worker(
        controller(p.api, p.caches, p.models, p.base_urls, p.events, p.clock, p.line, Outages(wake)),
        p.caches.runs,
        wakes(p.caches),
        events=p.events,
        at_rest=at_rest,
        sharing=Sharded(p.share, shard_of),
    )
    return worker
