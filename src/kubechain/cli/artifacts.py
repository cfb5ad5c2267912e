"""`kubechain artifacts`: the files that tools made, listed and fetched.

A command of `main`. It reads ToolCalls and the ToolResults with the bytes, and writes files on this machine.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import click

from kubechain.cli import options
from kubechain.cli.client import connect
from kubechain.cli.discover import Discovery
from kubechain.cli.exits import CommandError
from kubechain.cli.objects import members, text
from kubechain.cli.table import aligned
from kubechain.resources.json import JsonObject


@click.group("artifacts")
def artifacts() -> None:
    """List and fetch the files that tools made.

    \b
    kubechain artifacts list taskrun/report-run
    kubechain artifacts get report-run-6p46n-1-1/chart.png
    """


@artifacts.command("list")
@click.argument("run", required=False, default="", metavar="[taskrun/NAME]")
@options.connection
def list_(run: str, kubeconfig: str | None, namespace: str) -> None:
    """List the files of a TaskRun or of the whole namespace.

    \b
    kubechain artifacts list taskrun/report-run
    kubechain artifacts list -n team-a
    """
    client = connect(kubeconfig, namespace)
    name = run.rpartition("/")[2]
    query = {"fieldSelector": f"spec.taskRun={name}"} if name else {}
    calls = members(client.get(Discovery.of(client).find("toolcalls").path(client.namespace), query), "items")
    rows = [_row(call, artifact) for call in calls for artifact in members(call, "status.artifacts")]
    if not rows:
        options.complain(f"No files of {run or f'namespace {client.namespace}'}.")
        return
    for line in aligned([["HANDLE", "TYPE", "BYTES", "TOOL"], *rows]):
        click.echo(line)


def _row(call: JsonObject, artifact: JsonObject) -> list[str]:
    kept = "" if text(artifact, "stored") else " (not kept)"
    return [
        text(artifact, "handle"),
        text(artifact, "mediaType"),
        f"{text(artifact, 'size')}{kept}",
        text(call, "spec.tool"),
    ]


@artifacts.command("get")
@click.argument("handle")
@click.option(
    "-o",
    "--output",
    default="",
    metavar="FILE|-",
    help="Where to write it; default: its own name. - writes to stdout.",
)
@options.connection
def get(handle: str, output: str, kubeconfig: str | None, namespace: str) -> None:
    """Fetch a file by its handle.

    An existing file is replaced only if you name it with -o.

    \b
    kubechain artifacts get report-run-6p46n-1-1/chart.png
    kubechain artifacts get report-run-6p46n-1-1/data.csv -o - | head
    """
    call, _, name = handle.partition("/")
    if not name:
        raise CommandError(f"{handle} is no handle: write TOOLCALL/FILE, as `kubechain artifacts list` prints it")
    client = connect(kubeconfig, namespace)
    known = Discovery.of(client)
    found = client.get(known.find("toolcalls").path(client.namespace, call))
    about = next((one for one in members(found, "status.artifacts") if text(one, "handle") == handle), None)
    if about is None:
        raise CommandError(f'toolcall/{call} has no file "{name}": see `kubechain artifacts list`')
    if not text(about, "stored"):
        raise CommandError(f"{handle} was too large to be kept ({text(about, 'size')} bytes)")
    results, stored = known.find("toolresults"), text(about, "stored")
    paths = (results.path(client.namespace, f"{stored}-{n}") for n in range(1, int(text(about, "parts")) + 1))
    content = b"".join(base64.b64decode(text(client.get(path), "spec.content")) for path in paths)
    if output == "-":
        sys.stdout.buffer.write(content)
        return
    target = Path(output or name)
    if not output and target.exists():
        raise CommandError(f"file {target} exists already: name it with -o to replace it, or choose another name")
    target.write_bytes(content)
    options.complain(f"{target}: {len(content)} bytes")
