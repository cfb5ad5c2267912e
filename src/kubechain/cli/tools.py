"""`kubechain tools`: the tools of a namespace: list them, describe one, try one without a model, make one.

A command of `main`. `try` creates a ToolCall that belongs to no run and shows what becomes of it; the program runs
the tool, in the same way as for a model. This command runs nothing.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import click

from kubechain.cli import options, scaffold
from kubechain.cli.changes import Deadline, of_object
from kubechain.cli.client import Client, connect
from kubechain.cli.discover import Discovery, Resource
from kubechain.cli.exits import INTERRUPTED, CommandError, TimedOut
from kubechain.cli.objects import members, printable, text
from kubechain.cli.offered import Offered, example, find, offered, parameter_rows
from kubechain.cli.options import Duration
from kubechain.cli.table import aligned
from kubechain.errors import NotFound
from kubechain.resources.json import JsonObject

_WRITE = {"fieldManager": "kubechain-tools", "fieldValidation": "Strict"}


@click.group("tools")
def tools() -> None:
    """List, describe, try and create tools.

    \b
    kubechain tools list                            what agents of this namespace can use
    kubechain tools describe add                    its parameters, and an example call
    kubechain tools try add --args '{"a": 1, "b": 2}'
    kubechain tools create function add --entrypoint shop.tools:add --dry-run
    """


@tools.command("list")
@options.connection
def list_(kubeconfig: str | None, namespace: str) -> None:
    """List the tools of Tools and MCP servers.

    A tool of an MCP server is called SERVER/TOOL here. A Tool or a server that is not ready has a line that says
    why.

    \b
    kubechain tools list
    kubechain tools list -n team-a
    """
    client = connect(kubeconfig, namespace)
    rows = [_row(tool) for tool in offered(client, Discovery.of(client))]
    if not rows:
        options.complain(f"No tools in namespace {client.namespace}. To make one: kubechain tools create --help")
        return
    width = shutil.get_terminal_size((0, 0)).columns if sys.stdout.isatty() else 0
    for line in aligned([["NAME", "KIND", "EFFECT", "READY", "DESCRIPTION"], *rows]):
        click.echo(line if not width or len(line) <= width else f"{line[: width - 1]}…")


def _row(tool: Offered) -> list[str]:
    words = tool.description if tool.tool else text(tool.provider, "status.statusDetail") or "not checked yet"
    first = words.strip().splitlines()[0] if words.strip() else ""
    return [tool.name, tool.kind or "-", tool.effect, "true" if tool.ready else "false", printable(first)]


@tools.command("describe")
@click.argument("name")
@options.connection
def describe(name: str, kubeconfig: str | None, namespace: str) -> None:
    """Show what a model is told about a tool, and an example call.

    \b
    kubechain tools describe add
    kubechain tools describe github/create_issue
    """
    client = connect(kubeconfig, namespace)
    tool = find(client, Discovery.of(client), name)
    click.echo(f"Name:         {tool.name}")
    click.echo(f"Provided by:  {text(tool.provider, 'kind')} {text(tool.provider, 'metadata.name')} ({tool.kind})")
    click.echo(f"Effect:       {tool.effect}")
    click.echo(f"Description:  {printable(tool.description)}")
    rows = parameter_rows(tool.parameters)
    if rows:
        click.echo("Parameters:")
        for line in aligned([["NAME", "TYPE", "REQUIRED", "DESCRIPTION"], *rows]):
            click.echo(f"  {printable(line)}")
    arguments = json.dumps(example(tool.parameters), ensure_ascii=False)
    click.echo(f"Try it:       kubechain tools try {tool.name} --args '{printable(arguments)}'")


@tools.command("try")
@click.argument("name")
@click.option("--args", "arguments", default="{}", metavar="JSON|@FILE|-", help="Arguments: a JSON object.")
@click.option(
    "--timeout", type=Duration(), default=None, help="How long to wait for the result; default: no limit."
)
@click.option("--keep", is_flag=True, help="Keep the ToolCall, so that you can look at it or fetch its files.")
@options.connection
@click.pass_context
def try_(
    ctx: click.Context,
    name: str,
    arguments: str,
    timeout: float | None,
    keep: bool,
    kubeconfig: str | None,
    namespace: str,
) -> None:
    """Call a tool without a model, and print its result.

    The tool is called as for a model: its arguments are validated, values of Secrets are filled in, and its
    retries and limits apply. The command creates a ToolCall without a run and deletes it at the end. Ctrl-C ends
    the tool and deletes the ToolCall. The exit code is 0 for a result. It is 1 for an error, and the command
    prints what the model would be told.

    \b
    kubechain tools try add --args '{"a": 1, "b": 2}'
    kubechain tools try github/create_issue --args @issue.json
    """
    client = connect(kubeconfig, namespace)
    known = Discovery.of(client)
    tool = find(client, known, name)
    calls = known.find("toolcalls")
    call = _create(client, calls, tool, _given(arguments))
    try:
        _print(client, known, _ended(client, calls, call, timeout), keep=keep)
    except KeyboardInterrupt:
        options.complain("stopped: the tool was ended and the ToolCall deleted")
        ctx.exit(INTERRUPTED)
    finally:
        if keep:
            options.complain(f"kept: toolcall/{call}")
        else:
            _delete(client, calls.path(client.namespace, call))


def _given(words: str) -> str:
    if words == "-":
        return sys.stdin.read()
    if not words.startswith("@"):
        return words
    try:
        return Path(words[1:]).read_text("utf-8")
    except OSError as error:
        raise CommandError(f"--args {words}: {words[1:]} cannot be read ({error.strerror})") from None


def _create(client: Client, calls: Resource, tool: Offered, arguments: str) -> str:
    """The name of a new ToolCall. Raises ApiError."""
    short = text(tool.provider, "metadata.name")[:40].rstrip("-.")
    wanted: JsonObject = {
        "apiVersion": calls.api_version,
        "kind": calls.kind,
        "metadata": {"generateName": f"try-{short}-"},
        "spec": {
            "toolCallId": "try",
            "tool": text(tool.tool, "name"),
            "arguments": arguments,
            "origin": tool.origin,
        },
    }
    made = client.send("POST", calls.path(client.namespace), _WRITE, wanted)
    return text(made, "metadata.name")


def _ended(client: Client, calls: Resource, name: str, timeout: float | None) -> JsonObject:
    """The call, once it is finished or waits for a person; says on stderr what it waits for."""
    said = ""
    try:
        for event in of_object(client, calls, client.namespace, name, Deadline(timeout)):
            call = event.object
            if event.type == "DELETED":
                raise CommandError("the call was deleted before it ended")
            if text(call, "status.phase") in ("Succeeded", "Failed", "OutcomeUnknown"):
                return call
            if (on := text(call, "status.waitingOn")) and on != said:
                options.complain(f"waiting for {printable(on)}")
                said = on
    except TimeoutError:
        raise TimedOut(f"no result within {timeout:g} s; allow more time with --timeout") from None
    raise CommandError("the connection ended before the call did; the ToolCall was deleted unless you gave --keep")


def _print(client: Client, known: Discovery, call: JsonObject, *, keep: bool) -> None:
    if text(call, "status.phase") != "Succeeded":
        raise CommandError(printable(text(call, "status.error")))
    click.echo(_result(client, known, call))
    for artifact in members(call, "status.artifacts"):
        handle, size = text(artifact, "handle"), text(artifact, "size")
        options.complain(
            f"file {handle}: {text(artifact, 'mediaType')}, {size} bytes; "
            f"{'fetch it with' if keep else 'add --keep to fetch it with'} kubechain artifacts get"
        )


def _result(client: Client, known: Discovery, call: JsonObject) -> str:
    """The whole result, of a big one from its parts."""
    name, parts = text(call, "status.stored.name"), text(call, "status.stored.parts")
    if not name:
        return text(call, "status.result")
    results = known.find("toolresults")
    found = (client.get(results.path(client.namespace, f"{name}-{n}")) for n in range(1, int(parts) + 1))
    return "".join(text(part, "spec.content") for part in found)


def _delete(client: Client, path: str) -> None:
    try:
        client.send("DELETE", path, {"propagationPolicy": "Background"})
    except NotFound:
        return


tools.add_command(scaffold.create)
