"""The tools that the Tools and MCP servers of a namespace offer, as `kubechain tools` names them.

A Tool with one tool goes by its own name; those of an MCP server, or of a Tool that offers several, by
OBJECT/TOOL. Reads objects as JSON; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kubechain.cli.client import Client
from kubechain.cli.discover import Discovery
from kubechain.cli.exits import CommandError
from kubechain.cli.objects import mapping, members, text
from kubechain.resources.json import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class Offered:
    """One tool, or a provider that offers none (yet): then `tool` is {}."""

    provider: JsonObject
    tool: JsonObject
    name: str

    @property
    def kind(self) -> str:
        """`function`, `http` and so on; `mcp` for a server's."""
        return text(self.provider, "status.type") if text(self.provider, "kind") == "Tool" else "mcp"

    @property
    def ready(self) -> bool:
        return text(self.provider, "status.ready") == "true"

    @property
    def description(self) -> str:
        return text(self.tool, "description")

    @property
    def parameters(self) -> JsonObject:
        return mapping(self.tool, "inputSchema")

    @property
    def effect(self) -> str:
        return text(self.provider, "spec.effect") or text(self.tool, "effect") or "-"

    @property
    def origin(self) -> JsonObject:
        """As a ToolCall names it."""
        kind, name = text(self.provider, "kind"), text(self.provider, "metadata.name")
        within: JsonObject = {"tool": text(self.tool, "name")} if "/" in self.name else {}
        return {"kind": kind, "name": name, **within}


def offered(client: Client, known: Discovery) -> list[Offered]:
    """Every tool of the namespace: those of Tools first, then those of MCP servers."""
    found: list[Offered] = []
    for plural, kind in (("tools", "Tool"), ("mcpservers", "MCPServer")):
        for provider in members(client.get(known.find(plural).path(client.namespace)), "items"):
            found += _of({**provider, "kind": kind})
    return found


def find(client: Client, known: Discovery, name: str) -> Offered:
    """The tool of that name. Raises CommandError, which names what there is."""
    tools = offered(client, known)
    for tool in tools:
        if name in (tool.name, tool.name.replace("/", "__", 1)) and tool.tool:
            return tool
    for tool in tools:
        if tool.name == name:
            raise CommandError(
                f"{name} offers no tool: {text(tool.provider, 'status.statusDetail') or 'not checked'}"
            )
    names = ", ".join(tool.name for tool in tools if tool.tool)
    known_names = f"its tools are {names}" if names else "it has none; create one with `kubechain tools create`"
    raise CommandError(f'there is no tool "{name}" in namespace {client.namespace}: {known_names}')


def _of(provider: JsonObject) -> Iterator[Offered]:
    name, several = text(provider, "metadata.name"), members(provider, "status.tools")
    if several:
        yield from (Offered(provider, tool, f"{name}/{text(tool, 'name')}") for tool in several)
    elif text(provider, "kind") == "Tool" and text(provider, "status.ready") == "true":
        described: JsonObject = {
            "name": name,
            "description": text(provider, "status.description"),
            "inputSchema": mapping(provider, "status.parameters"),
        }
        yield Offered(provider, described, name)
    else:
        yield Offered(provider, {}, name)


def parameter_rows(schema: JsonObject) -> list[list[str]]:
    """Name, type, whether it is required, and description of each parameter."""
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    return [
        [name, _type(about), "yes" if name in needed else "no", _one_line(text(about, "description"))]
        for name, about in mapping(schema, "properties").items()
    ]


def example(schema: JsonObject) -> JsonObject:
    """Arguments to begin with: one value for each required parameter."""
    properties, required = mapping(schema, "properties"), schema.get("required")
    names = [str(name) for name in required] if isinstance(required, list) else []
    return {name: _value(properties.get(name)) for name in names}


def _type(about: JsonValue) -> str:
    if not isinstance(about, dict):
        return "any"
    kind, choices = about.get("type"), about.get("enum")
    if isinstance(choices, list):
        return "|".join(str(choice) for choice in choices)
    return "|".join(str(one) for one in kind) if isinstance(kind, list) else str(kind or "any")


def _value(about: JsonValue) -> JsonValue:
    if not isinstance(about, dict):
        return "..."
    if "default" in about:
        return about["default"]
    if isinstance(choices := about.get("enum"), list) and choices:
        return choices[0]
    samples: dict[str, JsonValue] = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
    return samples.get(str(about.get("type")), "...")


def _one_line(words: str) -> str:
    return " ".join(words.split())
