"""The LLM controller: does the key exist, and does the provider accept it?

Checked once for each spec and version of the Secret, also after restarts. A change of the Secret wakes it. Never
asks a model for a reply.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec.structs import replace

from kubechain.agents.ports.model import Endpoint
from kubechain.agents.toolbox import Assessment
from kubechain.controllers.caches import Caches, llm_secrets
from kubechain.controllers.parts import Parts
from kubechain.controllers.secrets import Missing, endpoint_of, versions
from kubechain.controllers.setup.readiness import Found, Readiness, fingerprint
from kubechain.resources.llm import LLM, LLMS, LLMStatus
from kubechain.runtime.api import key_of
from kubechain.runtime.controller import Next
from kubechain.runtime.wakes import Wake, referred


class LLMController:
    kind = LLMS

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._readiness = Readiness(parts.api, parts.caches.llms, parts.clock)

    async def reconcile(self, llm: LLM) -> Next:
        secrets, old = self._parts.caches.secrets, llm.status
        endpoint = await endpoint_of(llm, secrets, self._parts.base_urls)
        if isinstance(endpoint, Missing):
            return await self._readiness.say(
                llm, old, old, Assessment("Pending", endpoint.reason, endpoint.detail)
            )
        against = fingerprint(llm, versions(llm.metadata.namespace, llm_secrets(llm), secrets))
        look = partial(self._look, llm, endpoint, against)
        return await self._readiness.check(
            llm, old, against, look, known=old.checked, unreachable="ProviderUnreachable"
        )

    async def gone(self, last: LLM) -> None:
        self._readiness.forget(key_of(last))

    async def _look(self, llm: LLM, endpoint: Endpoint, against: str, anew: bool) -> Found[LLMStatus]:
        detail = await self._parts.models.check(endpoint)
        return Found(Assessment("Ready", "Validated", detail), replace(llm.status, checked=against))


def wakes(caches: Caches) -> tuple[Wake[Any], ...]:
    """Its Secrets."""
    return (referred(caches.secrets, caches.llms, "secret"),)
