"""`kubechain operator`: the controllers over a real API server, as one replica among others.

`kubechain up` does not import it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgspec import Struct

from kubechain.app.loops import ControlLoops, controllers, model_endpoints
from kubechain.app.program import Program, Running
from kubechain.app.settings import ProviderSettings
from kubechain.cluster.callers import Callers
from kubechain.cluster.http import opened
from kubechain.cluster.pods import Pods
from kubechain.cluster.remote import RemoteApi, connect
from kubechain.cluster.target import ClusterSettings
from kubechain.errors import SettingsError
from kubechain.providers.tools.container.jobs import JobContainers
from kubechain.resources.registry import OURS
from kubechain.runtime.api import ALL_NAMESPACES
from kubechain.runtime.clock import now
from kubechain.runtime.replicas.lease import Group
from kubechain.runtime.replicas.lives import Lives, successive_lives
from kubechain.runtime.replicas.replica import ReplicaSettings
from kubechain.server.probes import LOOPBACK, Probes, probing


class OperatorSettings(Struct, frozen=True):
    """`kubechain operator`: which cluster, which of its namespaces, as which replica.

    `listen`: the address and port for health and metrics; None for none.
    """

    cluster: ClusterSettings
    namespace: str = ALL_NAMESPACES
    replica: ReplicaSettings | None = None
    listen: tuple[str, int] | None = None
    providers: ProviderSettings = ProviderSettings()


@asynccontextmanager
async def operator(settings: OperatorSettings) -> AsyncIterator[Program]:
    """The controllers over a real API server, while the context is open. Raises SettingsError, ApiError."""
    replica, namespace = settings.replica or ReplicaSettings(), settings.namespace
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(connect(settings.cluster))
        if missing := {kind.plural for kind in OURS} - await api.served():
            raise SettingsError(
                f"{api.target.server} does not know {', '.join(sorted(missing))}: "
                "run `kubechain install --crds | kubectl apply --server-side -f -`"
            )
        base_urls, model_line = await model_endpoints(settings.providers, stack)
        # Leases have a connection of their own, so that a burst of work cannot delay their renewal.
        leases = RemoteApi(await stack.enter_async_context(opened(api.target)), api.target)
        pods = Pods(await stack.enter_async_context(opened(api.target)))
        lives = await stack.enter_async_context(
            successive_lives(
                leases,
                Group(namespace or replica.namespace or api.target.namespace, namespace),
                replica,
                now,
                lambda share: controllers(
                    api,
                    settings.providers,
                    base_urls,
                    namespace=namespace,
                    share=share,
                    containers=[JobContainers(api, namespace)],
                    pods=pods,
                ),
            )
        )
        port = await _probe(api, lives, settings, stack)
        running = Running(api.target.server, settings.cluster.kubeconfig or Path(), model_line, port)
        yield Program(running, api, lambda: lives.loops, lives.drain)


async def _probe(
    api: RemoteApi, lives: Lives[ControlLoops], settings: OperatorSettings, stack: AsyncExitStack
) -> int:
    """Serves health and metrics over HTTP if the settings ask for it. Yields the port, or 0."""
    if settings.listen is None:
        return 0
    host, port = settings.listen
    probes = Probes(
        lambda: _waiting(lives),
        lambda: lives.loops.metrics.readings(api.answered),
        None if host in LOOPBACK else Callers(api.target, "/metrics"),
    )
    return await stack.enter_async_context(probing(probes, host, port))


def _waiting(lives: Lives[ControlLoops]) -> str:
    """Why this replica is not ready; "" if it is."""
    if not lives.acting:
        return "cut off from the Kubernetes API; it starts again when it can take its Lease"
    missing = sorted(i.kind.kind for i in lives.loops.caches.all() if not i.synced.is_set())
    return f"waiting for the first list of {', '.join(missing)}" if missing else ""
