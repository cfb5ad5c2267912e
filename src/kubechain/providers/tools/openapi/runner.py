"""`OpenAPIRunner`: the tool kind `openapi`. Each operation of the document is a tool; a call is one request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from yarl import URL

from kubechain.agents.call.outcome import Done
from kubechain.agents.ports.tool import (
    Described,
    Description,
    Environment,
    Provider,
    ToolError,
    ToolRun,
    ToolRunner,
    call_timeout,
    nature_of,
    secret_names,
)
from kubechain.errors import Terminal
from kubechain.providers.tools.http.template import template
from kubechain.providers.tools.openapi.catalog import Catalog, Contents
from kubechain.providers.tools.openapi.security import check, credentials_of, unmet
from kubechain.providers.tools.openapi.writing import request_of
from kubechain.providers.web.calling import Call, Calling
from kubechain.providers.web.credentials import spellings
from kubechain.providers.web.requests import Limits
from kubechain.resources.tool import Tool
from kubechain.resources.tool_openapi import OpenAPITool

LARGEST = 900_000
"""Bytes of schemas and descriptions that a Tool's status can hold."""
_NAMED = 5


class OpenAPIRunner(ToolRunner):
    """Operations of the documents that manifests name."""

    kind = "openapi"

    def __init__(self, calling: Calling | None = None) -> None:
        self._calling = calling or Calling()
        self._catalog = Catalog(self._calling.web)
        self._refreshing: dict[str, asyncio.TimerHandle] = {}
        self._told: Callable[[str], None] = lambda _: None

    def serves(self, provider: Provider | None) -> bool:
        return isinstance(provider, Tool) and provider.spec.openapi is not None

    async def describe(self, provider: Provider, env: Environment) -> Described:
        """Reads the document and checks everything that can be checked without calling an operation."""
        tool, openapi = _tool(provider)
        contents = await self._catalog.of(tool, openapi, env)
        self._refresh_later(tool)
        check(openapi, contents.schemes, env)
        if not contents.operations:
            raise Terminal(_nothing(contents), reason="NoOperations")
        for address in dict.fromkeys(template(one.url).origin for one in contents.operations.values()):
            await self._calling.web.check(URL(address), _limits(tool, openapi))
        tools = [Description(o.name, o.description, o.parameters, o.effect) for o in contents.operations.values()]
        size = sum(len(bytes(t.parameters)) + len(t.description.encode()) + 300 for t in tools)
        if size > LARGEST:
            raise Terminal(
                f"the descriptions of its {len(tools)} operations have {size:,} bytes, and a Tool can hold "
                f"{LARGEST:,}; choose operations with spec.openapi.include",
                reason="TooManyOperations",
            )
        return Described(tools, "DocumentRead", _sentence(contents, openapi))

    async def start(self, run: ToolRun) -> Done:
        tool, openapi = _tool(run.provider)
        contents = await self._catalog.of(tool, openapi, run.env)
        operation = contents.operations.get(run.tool)
        if operation is None:
            raise ToolError(f"{contents.title} has no operation {run.tool} any more")
        credentials = credentials_of(operation, openapi, contents.schemes, run.env)
        call = Call(
            request_of(operation, run.arguments, credentials, run.idempotency_key),
            _limits(tool, openapi),
            credentials.client,
            spellings(run.env[name] for name in secret_names(tool)),
            repeatable=nature_of(tool, run.tool).effect != "NonIdempotent",
        )
        return await self._calling.call(call)

    async def forget(self, provider: Provider) -> None:
        tool, _ = _tool(provider)
        self._catalog.forget(tool)
        if timer := self._refreshing.pop(_owner(tool), None):
            timer.cancel()

    def on_change(self, told: Callable[[str], None]) -> None:
        self._told = told

    async def close(self) -> None:
        for timer in self._refreshing.values():
            timer.cancel()
        await self._calling.close()

    def _refresh_later(self, tool: Tool) -> None:
        """A document from an address says nothing when it changes: it is read again at a known time."""
        due = self._catalog.due(tool)
        if old := self._refreshing.pop(_owner(tool), None):
            old.cancel()
        if due is not None:
            loop = asyncio.get_running_loop()
            self._refreshing[_owner(tool)] = loop.call_at(due, self._told, _owner(tool))


def _sentence(contents: Contents, openapi: OpenAPITool) -> str:
    said = [f"{contents.title}: {len(contents.operations)} operations"]
    if contents.left_out:
        shown = [f"{one.name} ({one.why})" for one in contents.left_out[:_NAMED]]
        more = f" and {len(contents.left_out) - _NAMED} more" if len(contents.left_out) > _NAMED else ""
        said.append(f"{len(contents.left_out)} left out: {'; '.join(shown)}{more}")
    needing = [scheme for one in contents.operations.values() if (scheme := unmet(one, openapi.auth))]
    if needing:
        fields = ", ".join(f"spec.openapi.auth.{scheme}" for scheme in dict.fromkeys(needing))
        said.append(f"{len(needing)} need credentials: set {fields}")
    return ". ".join(said)


def _nothing(contents: Contents) -> str:
    if contents.left_out:
        first = contents.left_out[0]
        return (
            f"{contents.title} has no operation that can be called: {first.name} is left out because {first.why}"
        )
    return f"{contents.title} has no operation; correct the document, spec.openapi.include or exclude"


def _limits(tool: Tool, openapi: OpenAPITool) -> Limits:
    return Limits("spec.openapi", openapi.allow_private, call_timeout(tool))


def _owner(tool: Tool) -> str:
    return f"{tool.metadata.namespace}/{tool.metadata.name}"


def _tool(provider: Provider | None) -> tuple[Tool, OpenAPITool]:
    if isinstance(provider, Tool) and provider.spec.openapi is not None:
        return provider, provider.spec.openapi
    name = provider.metadata.name if provider is not None else ""
    raise Terminal(f'Tool "{name}" has no document; set spec.openapi', reason="NoDocument")
