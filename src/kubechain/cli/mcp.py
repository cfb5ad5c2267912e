"""`kubechain mcp`: adds an MCP server as people know it from other programs: a name, and a command or a URL.

A command of `main`. It makes an MCPServer or prints its manifest, and starts nothing itself.
"""

from __future__ import annotations

import click

from kubechain.cli import options, scaffold
from kubechain.cli.exits import CommandError
from kubechain.resources.json import JsonObject


@click.group("mcp")
def mcp() -> None:
    """Add servers of the Model Context Protocol.

    \b
    kubechain mcp add time -- uvx mcp-server-time
    kubechain mcp add docs --url https://mcp.example.com/mcp --dry-run
    """


@mcp.command("add")
@click.argument("name")
@click.argument("command", nargs=-1)
@click.option("--url", default="", metavar="URL", help="A server that is reached over HTTP.")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="A variable. May be repeated.")
@click.option(
    "--secret-env",
    "secrets",
    multiple=True,
    metavar="NAME=SECRET/KEY",
    help="A variable whose value is in a Secret. May be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Create nothing; print the manifest.")
@options.connection
def add(
    name: str,
    command: tuple[str, ...],
    url: str,
    variables: tuple[str, ...],
    secrets: tuple[str, ...],
    dry_run: bool,
    kubeconfig: str | None,
    namespace: str,
) -> None:
    """Add an MCP server: a command that KubeChain starts, or a URL.

    Its tools appear in `kubechain tools list` once it is ready. An agent uses them if its `mcpServers` lists NAME.

    \b
    kubechain mcp add time -- uvx mcp-server-time
    kubechain mcp add github --secret-env GITHUB_TOKEN=github/token -- npx -y @modelcontextprotocol/server-github
    kubechain mcp add docs --url https://mcp.example.com/mcp --dry-run
    """
    if bool(command) == bool(url):
        raise CommandError("give either a command after `--`, or --url URL")
    if url and (variables or secrets):
        raise CommandError(
            "--env and --secret-env need a command: they set variables of the process that KubeChain starts"
        )
    spec: JsonObject = {"transport": "http", "url": url} if url else {"transport": "stdio", "command": command[0]}
    if command[1:]:
        spec["args"] = [*command[1:]]
    if found := scaffold.env(variables, secrets):
        spec["env"] = found
    wanted: JsonObject = {
        "apiVersion": scaffold.API_VERSION,
        "kind": "MCPServer",
        "metadata": {"name": name},
        "spec": spec,
    }
    scaffold.make(wanted, "mcpservers", dry_run, kubeconfig, namespace)
