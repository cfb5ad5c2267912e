"""`kubechain up`: the whole program in one process, over a store in one folder."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from msgspec import json

from kubechain.app.housekeeping import housekeeping
from kubechain.app.loops import ControlLoops, controllers, model_endpoints
from kubechain.app.program import Program, Running
from kubechain.app.roles import install_roles
from kubechain.app.settings import EmbeddedSettings
from kubechain.providers.tools.container.engine import Engines
from kubechain.providers.tools.container.local import LocalContainers
from kubechain.resources.registry import OURS
from kubechain.resources.toolcall import TOOL_CALLS
from kubechain.runtime.api import Api, ListOptions
from kubechain.runtime.clock import now
from kubechain.runtime.selectors import parse_fields
from kubechain.samples import manifests
from kubechain.server.http import serve
from kubechain.server.settings import ADMIN, ServerSettings
from kubechain.server.tls import ensure, kubeconfig, write_private
from kubechain.store.engine import Store


@asynccontextmanager
async def embedded(settings: EmbeddedSettings) -> AsyncIterator[Program]:
    """The whole program over a store in `settings.state`, while the context is open."""
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = settings.state / "store.db"
    fresh = not database.exists()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store.open(database, clock=now))
        base_urls, model_line = await model_endpoints(settings.providers, stack)
        containers = LocalContainers(Engines(settings.container_engine), settings.state / "containers")
        await containers.sweep(partial(_unfinished, store))
        loops = await stack.enter_async_context(
            controllers(store, settings.providers, base_urls, containers=[containers])
        )
        if fresh and not settings.bare:
            await _install_samples(store)
        await install_roles(store)
        await stack.enter_async_context(housekeeping(store))
        running = await _serve(store, loops, settings, stack, model_line)
        yield Program(running, store, lambda: loops)


async def _unfinished(api: Api) -> set[str]:
    """The uids of the ToolCalls that may have a container."""
    fields = parse_fields("status.phase!=Succeeded,status.phase!=Failed,status.phase!=OutcomeUnknown")
    calls = await api.list(TOOL_CALLS, options=ListOptions(fields=fields))
    return {call.metadata.uid for call in calls.items}


async def _install_samples(api: Api) -> None:
    """Creates the sample tools in a new store."""
    kinds = {kind.kind: kind.raw for kind in OURS}
    for manifest in manifests():
        await api.ensure(kinds[str(manifest["kind"])], json.encode(manifest))


async def _serve(
    api: Api, loops: ControlLoops, settings: EmbeddedSettings, stack: AsyncExitStack, model_line: str
) -> Running:
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
                metrics=loops.metrics.readings,
            ),
        )
    )
    url = f"https://{settings.host}:{server.port}"
    config = settings.state / "kubeconfig"
    write_private(config, kubeconfig(url, files.ca_pem, token).encode())
    return Running(url, config, model_line, server.port)


def _kept(path: Path) -> str:
    """A random secret that is kept over restarts."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode())
    return path.read_text()
