"""`HTTPRunner`: the tool kind `http`. A call is one request, and the answer is its result."""

from __future__ import annotations

import msgspec
from msgspec import UnsetType
from yarl import URL

from kubechain.agents.call.outcome import Done
from kubechain.agents.ports.tool import (
    Described,
    Description,
    Environment,
    Provider,
    ToolRun,
    ToolRunner,
    call_timeout,
    nature_of,
    secret_names,
)
from kubechain.errors import Terminal
from kubechain.providers.tools.http.arguments import given, parameters_of, request_of
from kubechain.providers.tools.http.template import Template, template
from kubechain.providers.web.calling import Call, Calling
from kubechain.providers.web.credentials import client_of, headers_of, spellings
from kubechain.providers.web.reading import selector
from kubechain.providers.web.requests import Limits
from kubechain.resources.tool import Tool
from kubechain.resources.tool_http import HTTPTool


class HTTPRunner(ToolRunner):
    """Requests to servers that manifests name."""

    kind = "http"

    def __init__(self, calling: Calling | None = None) -> None:
        self._calling = calling or Calling()

    def serves(self, provider: Provider | None) -> bool:
        return isinstance(provider, Tool) and provider.spec.http is not None

    async def describe(self, provider: Provider, env: Environment) -> Described:
        """Checks everything that can be checked without calling the server."""
        tool, http = _tool(provider)
        address = template(http.url)
        if http.select is not None:
            selector(http.select)
        headers_of(http.headers, http.auth, env)
        _check_names(tool, address)
        limits = _limits(tool, http)
        await self._calling.web.check(URL(address.origin), limits)
        if client := client_of(http.auth, env):
            await self._calling.web.check(URL(client.token_url), limits)
        description = Description(tool.metadata.name, f"{http.method} {http.url}", parameters_of(http))
        return Described([description], "RequestChecked", f"{http.method} {address.origin} can be called")

    async def start(self, run: ToolRun) -> Done:
        tool, http = _tool(run.provider)
        headers = headers_of(http.headers, http.auth, run.env)
        hidden = spellings(run.env[name] for name in secret_names(tool))
        call = Call(
            request_of(http, given(run.arguments), headers, run.idempotency_key),
            _limits(tool, http),
            client_of(http.auth, run.env),
            hidden,
            http.select,
            repeatable=nature_of(tool).effect != "NonIdempotent",
        )
        return await self._calling.call(call)

    async def close(self) -> None:
        await self._calling.close()


def _limits(tool: Tool, http: HTTPTool) -> Limits:
    return Limits("spec.http", http.allow_private, call_timeout(tool))


def _check_names(tool: Tool, address: Template) -> None:
    """Whether `parameters` describes each argument that the address needs."""
    if isinstance(tool.spec.parameters, UnsetType):
        return
    described = msgspec.json.decode(tool.spec.parameters).get("properties")
    missing = [name for name in address.names if isinstance(described, dict) and name not in described]
    if missing:
        raise Terminal(
            f"the url has {{{missing[0]}}}, which spec.parameters does not describe; add it to its properties",
            reason="InvalidURL",
        )


def _tool(provider: Provider | None) -> tuple[Tool, HTTPTool]:
    if isinstance(provider, Tool) and provider.spec.http is not None:
        return provider, provider.spec.http
    name = provider.metadata.name if provider is not None else ""
    raise Terminal(f'Tool "{name}" has no request to send; set spec.http', reason="NoRequest")
