"""`kubechain settle`: says what became of a tool call that waits for a person or for someone outside.

A command of `main`. Writes the ToolCall's status and nothing else; a call that is finished is not changed.
"""

from __future__ import annotations

import click

from kubechain.cli import options
from kubechain.cli.client import MERGE_PATCH, connect
from kubechain.cli.discover import Discovery
from kubechain.cli.exits import CommandError
from kubechain.cli.objects import text
from kubechain.resources.json import JsonObject

_WAITING = ("Running", "OutcomeUnknown")


@click.command("settle")
@click.argument("call", metavar="toolcall/NAME")
@click.option("--result", metavar="TEXT", help="It was done, and this is what came of it.")
@click.option("--error", metavar="TEXT", help="It failed; the model is told this.")
@click.option("--repeat", is_flag=True, help="It was not done: run the tool once more.")
@options.connection
def settle(
    call: str, result: str | None, error: str | None, repeat: bool, kubeconfig: str | None, namespace: str
) -> None:
    """Say what became of a tool call.

    For calls of external tools, which wait for a result from outside, and for calls whose outcome is unknown
    because a crash cut them off and the tool must not be repeated unasked. The run goes on at once.

    \b
    kubechain settle toolcall/order-run-6p46n-1-1 --result "order 4711 placed"
    kubechain settle toolcall/order-run-6p46n-1-1 --error "the shop is closed"
    kubechain settle toolcall/order-run-6p46n-1-1 --repeat
    """
    if [result is not None, error is not None, repeat].count(True) != 1:
        raise CommandError("say one of --result TEXT, --error TEXT and --repeat")
    client = connect(kubeconfig, namespace)
    path = Discovery.of(client).find("toolcalls").path(client.namespace, call.rpartition("/")[2])
    found = client.get(path)
    phase = text(found, "status.phase")
    if phase not in _WAITING:
        raise CommandError(f"{call} is {phase}: only a call that is {' or '.join(_WAITING)} can be settled")
    if repeat and phase != "OutcomeUnknown":
        raise CommandError(f"{call} is {phase}: only a call whose outcome is unknown can be repeated")
    patch: JsonObject = {
        "metadata": {"resourceVersion": text(found, "metadata.resourceVersion")},
        "status": _status(result, error),
    }
    written = client.send("PATCH", f"{path}/status", body=patch, content_type=MERGE_PATCH)
    click.echo(f"toolcall/{text(written, 'metadata.name')} is {text(written, 'status.phase')}")


def _status(result: str | None, error: str | None) -> JsonObject:
    if result is not None:
        return {"phase": "Succeeded", "result": result, "error": None, "waitingOn": None}
    if error is not None:
        return {"phase": "Failed", "error": error, "waitingOn": None}
    return {"phase": "Pending", "error": None}
