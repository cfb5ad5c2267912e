"""Which controllers there are. Called once, by `app`; each group says which changes wake its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from kubechain.agents.ports.model import Endpoint, ModelProvider
from kubechain.agents.ports.tool import ToolRunner
from kubechain.controllers.caches import Caches
from kubechain.controllers.calls.executions import Executions
from kubechain.controllers.calls.work import calls_worker
from kubechain.controllers.parts import Parts
from kubechain.controllers.runs.asking import no_line
from kubechain.controllers.runs.work import runs_worker
from kubechain.controllers.setup.work import setup_workers
from kubechain.resources.model import Clock
from kubechain.runtime.api import Api
from kubechain.runtime.recorder import EventRecorder
from kubechain.runtime.replicas.share import Share, alone
from kubechain.runtime.worker import Worker


class Outside(Struct, frozen=True):
    """Everyone the controllers talk to beyond the API. `base_urls` (by provider): see `endpoint_of`.

    `line`: what people are told of requests to an LLM that may wait for their turn.
    """

    models: ModelProvider
    tools: Sequence[ToolRunner]
    base_urls: Mapping[str, str]
    line: Callable[[Endpoint], str] = no_line


def workers(
    api: Api,
    caches: Caches,
    outside: Outside,
    executions: Executions,
    events: EventRecorder,
    clock: Clock,
    share: Share | None = None,
) -> tuple[Worker[Any], ...]:
    """One worker per kind, not running yet. `share`: what of the work is this replica's; by default all of it."""
    parts = Parts(
        api,
        caches,
        outside.models,
        outside.tools,
        outside.base_urls,
        outside.line,
        executions,
        events,
        clock,
        share or alone(),
    )
    made = (*setup_workers(parts), runs_worker(parts), calls_worker(parts))
    for one in made:
        parts.share.on_change(one.look_again)
    return made
