"""The LLM controller: is the key there, and does the provider accept it?

Checked once per spec and Secret version; a change of the Secret wakes it. Never calls a model.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from kubechain.agents.ports.model import Endpoint, ModelProvider
from kubechain.agents.toolbox import Verdict
from kubechain.controllers.caches import Caches, llm_secrets
from kubechain.controllers.saving import save_status
from kubechain.controllers.secrets import Missing, endpoint_of, versions
from kubechain.controllers.setup.readiness import judged
from kubechain.errors import Terminal, Transient
from kubechain.resources.llm import LLM, LLMS
from kubechain.resources.model import Clock
from kubechain.resources.readiness import settled
from kubechain.runtime.api import Api
from kubechain.runtime.controller import After, Done, Next

INSTALLED_AGAIN = 15.0
"""Seconds before a library that was missing is looked for again: nothing tells that it was installed."""


class LLMController(Struct):
    """`base_urls` (by provider) stand in where an LLM names none."""

    api: Api
    caches: Caches
    models: ModelProvider
    base_urls: Mapping[str, str]
    clock: Clock
    kind = LLMS

    async def reconcile(self, llm: LLM) -> Next:
        endpoint = await endpoint_of(llm, self.caches.secrets, self.base_urls)
        if isinstance(endpoint, Missing):
            await self._write(llm, Verdict("Pending", endpoint.reason, endpoint.detail))
            return Done()
        if settled(llm.status, llm.metadata.generation) and llm.status.checked == self._version(llm):
            return Done()
        return await self._check(llm, endpoint)

    async def gone(self, last: LLM) -> None:
        """Nothing was begun for it."""

    async def _check(self, llm: LLM, endpoint: Endpoint) -> Next:
        try:
            detail = await self.models.check(endpoint)
        except Terminal as error:
            await self._write(llm, Verdict("Error", error.reason, str(error)))
            return After(INSTALLED_AGAIN) if error.reason == "ProviderNotInstalled" else Done()
        except Transient as error:
            await self._write(llm, Verdict("Pending", "ProviderUnreachable", str(error)))
            raise
        else:
            await self._write(llm, Verdict("Ready", "Validated", detail))
            return Done()

    async def _write(self, llm: LLM, verdict: Verdict) -> None:
        checked = self._version(llm) if verdict.status != "Pending" else ""
        status = replace(judged(llm.status, verdict, llm.metadata.generation, self.clock), checked=checked)
        if status != llm.status:
            await save_status(self.api, self.caches.llms, llm, status)

    def _version(self, llm: LLM) -> str:
        return versions(llm.metadata.namespace, llm_secrets(llm), self.caches.secrets)
