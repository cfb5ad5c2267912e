"""`kubechain reload`: checks Tools and MCPServers again after their code or program has changed.

A command of `main`. Writes an annotation and nothing else; the controllers do the rest.
"""

from __future__ import annotations

import click

from kubechain.cli import options
from kubechain.cli.client import MERGE_PATCH, connect
from kubechain.cli.discover import Discovery
from kubechain.cli.exits import CommandError
from kubechain.cli.objects import text
from kubechain.cli.wanted import Wanted, each, resolve
from kubechain.resources.json import JsonObject
from kubechain.runtime.clock import now

ANNOTATION = "kubechain.humanlayer.dev/reload"
_KINDS = ("Tool", "MCPServer")


@click.command("reload")
@click.argument("words", nargs=-1, metavar="[tool/NAME | mcpserver/NAME...]")
@options.connection
def reload(words: tuple[str, ...], kubeconfig: str | None, namespace: str) -> None:
    """Check Tools and MCPServers again, after their code or program has changed.

    For the next call, functions are imported again and MCP servers are started again. Calls in progress are not
    affected. Without names: all Tools and MCPServers of the namespace.

    \b
    kubechain reload
    kubechain reload tool/dice mcpserver/sample-mcp
    kubechain wait tool,mcpserver --all --for=condition=Ready
    """
    client = connect(kubeconfig, namespace)
    known = Discovery.of(client)
    if words:
        wanted = resolve(words, known, client.namespace)
    else:
        wanted = [Wanted(known.find(kind), client.namespace) for kind in _KINDS]
    if stray := [one for one in wanted if one.resource.kind not in _KINDS]:
        raise CommandError(f"{stray[0].resource.singular} cannot be reloaded: name a tool or an mcpserver")
    patch: JsonObject = {"metadata": {"annotations": {ANNOTATION: now().isoformat()}}}
    targets = each(client, wanted)
    for one in targets:
        written = client.send("PATCH", one.path, body=patch, content_type=MERGE_PATCH)
        click.echo(f"{one.resource.title}/{text(written, 'metadata.name')} reloading")
    if not targets:
        options.complain(f"No tools or MCP servers found in {client.namespace} namespace.")
