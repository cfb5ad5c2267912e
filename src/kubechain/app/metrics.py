"""The metrics of the control loops: their families, and their readings.

Created by `app.loops`, read on a request for `/metrics`. It reads numbers that other parts keep, or that a small
handler counts here; nothing else is computed before a request. docs/metrics.md documents every family.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kubechain import __version__
from kubechain.controllers.caches import Caches
from kubechain.providers.models.limits import Limited
from kubechain.providers.models.router import Measured
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import ToolCall
from kubechain.runtime.informer import Informer
from kubechain.runtime.metrics import Family, Labels, Reading
from kubechain.runtime.recorder import EventRecorder
from kubechain.runtime.worker import Worker

BUILD = Family("kubechain_build_info", "gauge", "Always 1; the version is the label.", ("version",))
PASSES = Family("kubechain_reconciles_total", "counter", "Passes over objects that were started.", ("kind",))
FAILURES = Family(
    "kubechain_reconcile_failures_total", "counter", "Passes that failed, by reason.", ("kind", "reason")
)
DEPTH = Family("kubechain_queue_depth", "gauge", "Objects that are due and wait for a pass.", ("kind",))
RUNNING = Family("kubechain_reconciles_running", "gauge", "Passes in progress.", ("kind",))
FAILING = Family("kubechain_failing_objects", "gauge", "Objects whose last pass failed.", ("kind",))
OBJECTS = Family("kubechain_cached_objects", "gauge", "Objects that this replica sees.", ("kind",))
SYNCED = Family("kubechain_cache_synced", "gauge", "1 once the first list of the kind is there.", ("kind",))
RUNS = Family("kubechain_taskruns", "gauge", "TaskRuns by phase.", ("namespace", "phase"))
CALLS = Family("kubechain_toolcalls", "gauge", "ToolCalls by phase.", ("namespace", "phase"))
TURNS = Family(
    "kubechain_turns_total",
    "counter",
    "Replies of models that say something or call a tool.",
    ("namespace", "provider"),
)
MODEL_CALLS = Family(
    "kubechain_model_calls_total",
    "counter",
    "Requests to models, by how they ended.",
    ("namespace", "provider", "outcome"),
)
MODEL_SECONDS = Family(
    "kubechain_model_call_seconds", "histogram", "How long requests to models took.", ("provider",)
)
MODEL_WAITING = Family(
    "kubechain_model_requests_waiting",
    "gauge",
    "Requests that wait to be sent, by LLM with a maxConcurrent, or by server that is asked one at a time.",
    ("line",),
)
TOKENS = Family(
    "kubechain_model_tokens_total",
    "counter",
    "Tokens as the providers counted them.",
    ("namespace", "provider", "direction"),
)
REQUESTS = Family(
    "kubechain_api_requests_total",
    "counter",
    "Requests to the Kubernetes API, by HTTP code and reason of a refusal (Conflict: a write lost a race).",
    ("method", "code", "reason"),
)
DROPPED = Family(
    "kubechain_events_dropped_total",
    "counter",
    "Events that were not written: the queue was full, or the API refused them.",
    ("cause",),
)

FAMILIES = (
    BUILD, PASSES, FAILURES, DEPTH, RUNNING, FAILING, OBJECTS, SYNCED, RUNS, CALLS, TURNS, MODEL_CALLS,
    MODEL_SECONDS, MODEL_WAITING, TOKENS, REQUESTS, DROPPED,
)  # fmt: skip


class Metrics:
    """The readings of one set of control loops.

    Created before the informers run, so that it counts all their objects.
    """

    def __init__(
        self,
        caches: Caches,
        workers: Iterable[Worker[Any]],
        events: EventRecorder,
        models: Measured,
        limited: Limited,
    ) -> None:
        self._caches = caches
        self._workers = tuple(workers)
        self._events = events
        self._models = models
        self._limited = limited
        self._runs = _phases(caches.runs)
        self._calls = _phases(caches.calls)

    def readings(self, answered: Mapping[Labels, int] | None = None) -> Iterator[Reading]:
        """The current values of every family; `answered`: what the client of the API counted, if there is one."""
        workers, informers, models = self._workers, self._caches.all(), self._models
        yield Reading(BUILD, {(__version__,): 1})
        yield Reading(PASSES, {(w.kind,): w.passes for w in workers})
        yield Reading(FAILURES, {(w.kind, reason): n for w in workers for reason, n in w.failures.items()})
        yield Reading(DEPTH, {(w.kind,): w.depth for w in workers})
        yield Reading(RUNNING, {(w.kind,): w.running for w in workers})
        yield Reading(FAILING, {(w.kind,): w.failing for w in workers})
        yield Reading(OBJECTS, {(i.kind.kind,): len(i) for i in informers})
        yield Reading(SYNCED, {(i.kind.kind,): i.synced.is_set() for i in informers})
        yield Reading(RUNS, self._runs)
        yield Reading(CALLS, self._calls)
        yield Reading(TURNS, models.turns)
        yield Reading(MODEL_CALLS, models.calls)
        yield Reading(MODEL_SECONDS, histograms=models.seconds)
        yield Reading(MODEL_WAITING, {(line,): n for line, n in self._limited.waiting()})
        yield Reading(TOKENS, models.tokens)
        yield Reading(REQUESTS, answered or {})
        yield Reading(DROPPED, {("full",): self._events.dropped, ("refused",): self._events.lost})


def _phases(informer: Informer[TaskRun] | Informer[ToolCall]) -> Counter[Labels]:
    """The current number of objects by namespace and phase, without entries for zero."""
    counted: Counter[Labels] = Counter()

    def changed(old: TaskRun | ToolCall | None, new: TaskRun | ToolCall | None) -> None:
        if new is not None:
            counted[_place(new)] += 1
        if old is not None:
            counted[_place(old)] -= 1
            if not counted[_place(old)]:
                del counted[_place(old)]

    informer.on_change(changed)
    return counted


def _place(found: TaskRun | ToolCall) -> Labels:
    return found.metadata.namespace, found.status.phase or "Pending"
