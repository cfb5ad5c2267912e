"""What controllers need. Created by `assembly`; each group of controllers takes what it uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from kubechain.agents.ports.model import Endpoint, ModelProvider
from kubechain.agents.ports.tool import ToolRunner
from kubechain.controllers.caches import Caches
from kubechain.controllers.calls.executions import Executions
from kubechain.resources.model import Clock
from kubechain.runtime.api import Api
from kubechain.runtime.recorder import EventRecorder
from kubechain.runtime.replicas.share import Share


class Parts(Struct, frozen=True):
    """`base_urls` (by provider): see `endpoint_of`. `share`: which part of the work this replica does."""

    api: Api
    caches: Caches
    models: ModelProvider
    tools: Sequence[ToolRunner]
    base_urls: Mapping[str, str]
    line: Callable[[Endpoint], str]
    executions: Executions
    events: EventRecorder
    clock: Clock
    share: Share
