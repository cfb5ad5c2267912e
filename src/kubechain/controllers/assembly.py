"""Creates all controllers. `app` calls it once; each group defines which changes wake its controllers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from kubechain.agents.ports.model import Endpoint, ModelProvider
from kubechain.agents.ports.tool import ToolRunner
from kubechain.controllers.caches import Caches
from kubechain.controllers.calls.delegation import DelegationRunner
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
    """The providers that the controllers use besides the API. `base_urls` (by provider): see `endpoint_of`.

    `line`: describes the place of a request that waits to be sent to an LLM.
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
    """One worker per kind, not running yet.

    `share`: which part of the work this replica does; by default, all of it.
    """
    parts = Parts(
        api,
        caches,
        outside.models,
        (*outside.tools, DelegationRunner(api, caches, clock)),
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
