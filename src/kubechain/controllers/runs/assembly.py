"""Puts the TaskRun controller together. `work` calls it, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kubechain.agents.ports.model import Endpoint, ModelProvider
from kubechain.controllers.caches import Caches
from kubechain.controllers.runs.asking import Asking, Outages, Retrying, no_line
from kubechain.controllers.runs.checkpoints import Checkpoints, Transcripts
from kubechain.controllers.runs.taskrun import TaskRunController
from kubechain.resources.model import Clock
from kubechain.runtime.api import Api
from kubechain.runtime.recorder import EventRecorder


def controller(
    api: Api,
    caches: Caches,
    models: ModelProvider,
    base_urls: Mapping[str, str],
    events: EventRecorder,
    clock: Clock,
    line: Callable[[Endpoint], str] = no_line,
    outages: Outages | None = None,
) -> TaskRunController:
    """A new controller of runs."""
    checkpoints = Checkpoints(api, caches, Transcripts(api))
    asking, retrying = Asking(models, checkpoints, clock, line), Retrying(checkpoints, outages or Outages(), clock)
    return TaskRunController(asking, checkpoints, retrying, base_urls, events, clock)
