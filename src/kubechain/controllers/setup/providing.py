"""What provides tools, a Tool or an MCPServer: can it be used, and what does it offer?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import Generic, TypeVar

from msgspec.structs import replace

from kubechain.agents.ports.tool import Described, Environment, ToolRunner
from kubechain.agents.toolbox import Assessment
from kubechain.controllers.caches import provider_secrets
from kubechain.controllers.calls.ending import end_elsewhere
from kubechain.controllers.parts import Parts
from kubechain.controllers.secrets import Missing, provider_values, versions
from kubechain.controllers.setup.describing import config_version, described_by, limits_in
from kubechain.controllers.setup.readiness import Found, Readiness, fingerprint
from kubechain.errors import Terminal
from kubechain.resources.kind import Kind
from kubechain.resources.mcpserver import MCPServer, MCPServerStatus
from kubechain.resources.tool import Tool, ToolStatus
from kubechain.runtime.api import Key, key_of
from kubechain.runtime.controller import Next
from kubechain.runtime.informer import Informer

P = TypeVar("P", Tool, MCPServer)
S = TypeVar("S", ToolStatus, MCPServerStatus)


class ProviderController(ABC, Generic[P, S]):
    """A subclass defines what its status shows."""

    kind: Kind[P]

    def __init__(self, parts: Parts, informer: Informer[P]) -> None:
        self._parts = parts
        self._readiness: Readiness[P] = Readiness(parts.api, informer, parts.clock)

    @abstractmethod
    def status_of(self, provider: P) -> S:
        """Its status, with what is known before it is described."""

    def unreachable(self, provider: P) -> str:
        """The reason for which it is Pending, not in Error, while it cannot be reached; "" for an Error."""
        return ""

    @abstractmethod
    def told(self, provider: P, described: Described) -> S:
        """The status with what it offers."""

    def waits_for(self, provider: P) -> Assessment | None:
        """Why it cannot be described yet, because of another object; None where it can."""
        return None

    def depends_on(self, provider: P) -> str:
        """What it is described anew for, beside its spec and its Secrets."""
        return ""

    async def reconcile(self, provider: P) -> Next:
        namespace, secrets, old = provider.metadata.namespace, self._parts.caches.secrets, self.status_of(provider)
        env = await provider_values(provider, self._parts.caches)
        if isinstance(env, Missing):
            return await self._readiness.say(provider, old, old, Assessment("Pending", env.reason, env.detail))
        if (waits := self.waits_for(provider)) is not None:
            return await self._readiness.say(provider, old, old, waits)
        known = versions(namespace, provider_secrets(provider), secrets) + self.depends_on(provider)
        against = fingerprint(provider, known + config_version(env))
        describe, away = partial(self._describe, provider, env), self.unreachable(provider)
        return await self._readiness.check(provider, old, against, describe, unreachable=away)

    async def _describe(self, provider: P, env: Environment, anew: bool) -> Found[S]:
        runner = self._runner(provider)
        if anew:
            await runner.forget(provider)
        described = await described_by(runner, provider, env)
        status = self.told(provider, described)
        now, generation = self._parts.clock(), provider.metadata.generation
        conditions = limits_in(status.conditions, described.held, generation, now)
        return Found(
            Assessment("Ready", described.reason, described.detail), replace(status, conditions=conditions)
        )

    async def gone(self, last: P) -> None:
        """Interrupts running calls of its tools, and ends what was kept for it."""
        key = key_of(last)
        self._readiness.forget(key)
        why = f'{self.kind.kind} "{key.name}" was deleted'
        for call in self._parts.caches.calls.by("origin", f"{self.kind.kind}/{key}"):
            self._parts.executions.interrupt(call, why)
            end_elsewhere(self._parts.executions, self._runner(last), call, last, why)
        await self._runner(last).forget(last)

    def check_again(self, key: Key) -> None:
        """Called when it reports that its tools have changed."""
        self._readiness.forget(key)

    def _runner(self, provider: P) -> ToolRunner:
        runner = next((r for r in self._parts.tools if r.serves(provider)), None)
        if runner is None:
            raise Terminal("this version of KubeChain cannot run tools of its kind", reason="UnknownKind")
        return runner
