"""The control loops over any `Api`, shared by both ways of running.

`controllers` creates the real providers; `control_loops` takes providers as arguments, for tests. Leaving either
context is like a crash, which runs survive.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from kubechain.agents.ports.tool import ToolRunner
from kubechain.app.metrics import Metrics
from kubechain.app.settings import ProviderSettings
from kubechain.controllers.assembly import Outside, workers
from kubechain.controllers.caches import Caches, caches
from kubechain.controllers.calls.executions import Executions, shard_of
from kubechain.providers.models.limits import Limited
from kubechain.providers.models.router import Measured, Models
from kubechain.providers.tools.beside.starter import beside
from kubechain.providers.tools.function.functions import Functions
from kubechain.providers.tools.mcp.sessions import MCP
from kubechain.providers.tools.pods.port import Pods
from kubechain.providers.tools.pods.starter import Placed, PodStarter
from kubechain.providers.tools.starting import Starter, here
from kubechain.providers.tools.table import runners
from kubechain.runtime.api import ALL_NAMESPACES, Api
from kubechain.runtime.clock import now
from kubechain.runtime.recorder import CONTROLLER, EventRecorder
from kubechain.runtime.replicas.share import Share, alone
from kubechain.runtime.worker import Worker


class ControlLoops(Struct, frozen=True):
    """The running control loops, for tests and benchmarks to inspect."""

    caches: Caches
    workers: tuple[Worker[Any], ...]
    events: EventRecorder
    metrics: Metrics
    share: Share
    executions: Executions

    def in_hand(self) -> list[str]:
        """The runs that are being worked on: `default/my-run (tool slow)`, `default/my-run (model)`."""
        tools = defaultdict[str, list[str]](list)
        for call in self.executions.at_work():
            tools[shard_of(call)].append(f"tool {call.spec.tool}")
        return [f"{run} ({', '.join(tools.get(run, ['model']))})" for run in sorted(self.share.busy)]

    async def drain(self, seconds: float) -> None:
        """Starts nothing more, and returns when all work in progress has ended. Raises TimeoutError."""
        rest = asyncio.Event()
        self.share.on_rest = rest.set
        self.share.retire()
        async with asyncio.timeout(seconds):
            while self.share.busy:
                await rest.wait()
                rest.clear()


async def model_endpoints(settings: ProviderSettings, stack: AsyncExitStack) -> tuple[Mapping[str, str], str]:
    """Base URLs for LLMs that have none, by provider, and a sentence that says who answers them."""
    if settings.scripted:
        from kubechain.providers.models.scripted.server import ScriptedModel

        model = await stack.enter_async_context(ScriptedModel(delay=settings.model_delay))
        urls = dict.fromkeys(("openai", "anthropic", "mistral", "ollama", "openai-compatible"), model.base_url)
        return urls, f"LLMs without a baseURL are answered by the scripted model at {model.base_url}"
    if url := settings.base_urls.get("openai"):
        return settings.base_urls, f"openai LLMs without a baseURL are answered at {url} (OPENAI_BASE_URL)"
    return settings.base_urls, "LLMs are answered by their own providers"


@asynccontextmanager
async def controllers(
    api: Api,
    settings: ProviderSettings,
    base_urls: Mapping[str, str],
    *,
    namespace: str = ALL_NAMESPACES,
    share: Share | None = None,
    containers: Sequence[ToolRunner] = (),
    pods: Pods | None = None,
) -> AsyncIterator[ControlLoops]:
    """The control loops with the real providers, running while the context is open.

    `containers`: what runs the containers of tools; it is closed with them. `pods`: those of the cluster, if any.
    """
    async with AsyncExitStack() as stack:
        start: Starter = here
        if settings.tool_host is not None:
            start = await stack.enter_async_context(beside(settings.tool_host))
        models = Models(one_wire=settings.scripted)
        placed = Placed(start, PodStarter(pods, share.name) if pods and share else None)
        tools = runners(Functions(settings.functions, start), MCP(start=placed), containers)
        try:
            async with control_loops(api, Outside(models, tools, base_urls), namespace, share) as loops:
                yield loops
        finally:
            await asyncio.gather(models.close(), *(runner.close() for runner in tools))


@asynccontextmanager
async def control_loops(
    api: Api, outside: Outside, namespace: str = ALL_NAMESPACES, share: Share | None = None
) -> AsyncIterator[ControlLoops]:
    """The control loops with the given providers, which are not closed with them.

    `share`: which part of the work this replica does; by default, all of it.
    """
    share = share or alone()
    events = EventRecorder(api, CONTROLLER, now, instance=share.holder)
    world = caches(api, namespace)
    measured = Measured(outside.models)
    limited = Limited(measured)
    executions = Executions(share)
    loops = workers(
        api, world, replace(outside, models=limited, line=limited.line), executions, events, now, share
    )
    metrics = Metrics(world, loops, events, measured, limited)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(i.run()) for i in world.all()]
        tasks += [group.create_task(events.run()), group.create_task(executions.run())]
        tasks += [group.create_task(w.run()) for w in loops]
        try:
            yield ControlLoops(world, loops, events, metrics, share, executions)
        finally:
            for task in tasks:
                task.cancel()
