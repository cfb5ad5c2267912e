"""The composition root: settings -> Api, providers, controllers -> one running program.

It knows which implementation stands behind which port, and so does operating.py, its half for a cluster. Called by
the CLI and by tests.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from msgspec import Struct, json
from msgspec.structs import replace

from kubechain.controllers.assembly import Outside, workers
from kubechain.controllers.caches import Caches, caches
from kubechain.controllers.measured import Measured
from kubechain.controllers.metrics import Metrics
from kubechain.providers.models.router import Models
from kubechain.providers.tools.function import Functions
from kubechain.providers.tools.mcp import MCP
from kubechain.resources.registry import OURS
from kubechain.runtime.api import ALL_NAMESPACES, Api
from kubechain.runtime.clock import now
from kubechain.runtime.recorder import CONTROLLER, EventRecorder
from kubechain.runtime.replicas.share import Share, alone
from kubechain.runtime.worker import Worker
from kubechain.samples import manifests
from kubechain.server.http import serve
from kubechain.server.settings import ADMIN, ServerSettings
from kubechain.server.tls import ensure, kubeconfig, write_private
from kubechain.store.engine import Store

FIRST_CALL = "kubechain.providers.models.chat"
"""What the first model call would import otherwise, while it waits."""


class Settings(Struct, frozen=True):
    """What `kubechain up` or `kubechain operator` was told.

    `state` is the folder that holds everything (`up` alone); `port` 0 picks a free one; `model` "scripted" answers
    LLMs that name no baseURL; `model_delay` in seconds per scripted reply; `functions` are folders with users'
    functions. `listen`: where `kubechain operator` answers for its health and metrics.
    """

    state: Path
    host: str = "127.0.0.1"
    port: int = 0
    model: str = ""
    model_delay: float = 0.0
    bare: bool = False
    functions: tuple[Path, ...] = ()
    base_urls: Mapping[str, str] = {}
    listen: tuple[str, int] | None = None


class Running(Struct, frozen=True):
    """A program that answers: where, how to point kubectl at it, and who answers for models."""

    url: str
    kubeconfig: Path
    model_line: str
    port: int


class Controlling(Struct, frozen=True):
    """The running control loops; for tests and benchmarks to look into."""

    caches: Caches
    workers: tuple[Worker[Any], ...]
    events: EventRecorder
    metrics: Metrics


class Program(Struct, frozen=True):
    """A running program from the inside: what tests and benchmarks hold on to."""

    running: Running
    api: Api
    current: Callable[[], Controlling]

    @property
    def loops(self) -> Controlling:
        """Those of this moment: a replica that was cut off begins anew with others."""
        return self.current()


async def run(program: AbstractAsyncContextManager[Program], ready: Callable[[Running], None]) -> None:
    """Serves until cancelled; `ready` is called once everything answers."""
    async with program as running:
        ready(running.running)
        await asyncio.to_thread(import_module, FIRST_CALL)
        await asyncio.get_running_loop().create_future()


@asynccontextmanager
async def embedded(settings: Settings) -> AsyncIterator[Program]:
    """The whole program over a store in `settings.state`, while the context is open."""
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = settings.state / "store.db"
    fresh = not database.exists()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store.open(database, clock=now))
        base_urls, model_line = await answering(settings, stack)
        scripted = settings.model == "scripted"
        loops = await stack.enter_async_context(controlling(store, settings, base_urls, one_wire=scripted))
        if fresh and not settings.bare:
            await _install_samples(store)
        running = await _serve(store, settings, stack, model_line)
        yield Program(running, store, lambda: loops)


async def answering(settings: Settings, stack: AsyncExitStack) -> tuple[Mapping[str, str], str]:
    """Where LLMs without a baseURL are answered, and the sentence that says so."""
    if settings.model == "scripted":
        from kubechain.providers.models.scripted.server import ScriptedModel

        model = await stack.enter_async_context(ScriptedModel(delay=settings.model_delay))
        urls = dict.fromkeys(("openai", "anthropic", "mistral", "ollama", "openai-compatible"), model.base_url)
        return urls, f"LLMs without a baseURL are answered by the scripted model at {model.base_url}"
    if url := settings.base_urls.get("openai"):
        return settings.base_urls, f"openai LLMs without a baseURL are answered at {url} (OPENAI_BASE_URL)"
    return settings.base_urls, "LLMs are answered by their own providers"


async def _install_samples(api: Api) -> None:
    """The ready-made tools that a fresh store gets."""
    kinds = {kind.kind: kind.raw for kind in OURS}
    for manifest in manifests():
        await api.ensure(kinds[str(manifest["kind"])], json.encode(manifest))


async def _serve(api: Api, settings: Settings, stack: AsyncExitStack, model_line: str) -> Running:
    files = ensure(settings.state / "tls", now)
    token = _kept(settings.state / "token")
    server = await stack.enter_async_context(
        serve(
            api,
            ServerSettings(
                host=settings.host,
                port=settings.port,
                certificate=files.certificate,
                private_key=files.private_key,
                tokens={token: ADMIN},
                signing_key=_kept(settings.state / "signing-key").encode(),
                clock=now,
            ),
        )
    )
    url = f"https://{settings.host}:{server.port}"
    config = settings.state / "kubeconfig"
    write_private(config, kubeconfig(url, files.ca_pem, token).encode())
    return Running(url, config, model_line, server.port)


def _kept(path: Path) -> str:
    """A random secret that stays the same from start to start."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode())
    return path.read_text()


@asynccontextmanager
async def controlling(
    api: Api,
    settings: Settings,
    base_urls: Mapping[str, str],
    *,
    one_wire: bool = False,
    namespace: str = ALL_NAMESPACES,
    share: Share | None = None,
) -> AsyncIterator[Controlling]:
    """The controllers over any `Api`, running while the context is open. Leaving it is a crash they survive."""
    models, functions, sessions = Models(one_wire=one_wire), Functions(settings.functions), MCP()
    try:
        async with looping(api, Outside(models, functions, sessions, base_urls), namespace, share) as loops:
            yield loops
    finally:
        await asyncio.gather(models.close(), functions.close(), sessions.close())


@asynccontextmanager
async def looping(
    api: Api, outside: Outside, namespace: str = ALL_NAMESPACES, share: Share | None = None
) -> AsyncIterator[Controlling]:
    """The control loops over any `Api` and whoever is outside, without closing what is outside.

    `share`: what of the work is this replica's; by default all of it.
    """
    share = share or alone()
    events = EventRecorder(api, CONTROLLER, now, instance=share.holder)
    world = caches(api, namespace)
    measured = Measured(outside.models)
    loops = workers(api, world, replace(outside, models=measured), events, now, share)
    metrics = Metrics(world, loops, events, measured)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(i.run()) for i in world.all()]
        tasks += [group.create_task(events.run())]
        tasks += [group.create_task(w.run()) for w in loops]
        try:
            yield Controlling(world, loops, events, metrics)
        finally:
            for task in tasks:
                task.cancel()
