"""`kubechain settle`: records what became of tool calls that wait for a person or for someone outside.

A command of `main`. Writes the status of ToolCalls and nothing else; a call that is finished is not changed.
"""

from __future__ import annotations

import click

from kubechain.cli import options
from kubechain.cli.client import MERGE_PATCH, Client, connect
from kubechain.cli.discover import Discovery
from kubechain.cli.exits import FAILED, OK, CommandError
from kubechain.cli.failure import explained
from kubechain.cli.objects import text
from kubechain.cli.wanted import Selectors, Wanted, fetch
from kubechain.errors import ApiError
from kubechain.resources.json import JsonObject

_UNKNOWN = "OutcomeUnknown"
_WAITING = ("Running", "AwaitingSubAgent", _UNKNOWN)


@click.command("settle")
@click.argument("words", nargs=-1, metavar="[toolcall/NAME...]")
@click.option("--all", "everything", is_flag=True, help="Every call in the namespace whose outcome is unknown.")
@options.selectors
@click.option("--result", metavar="TEXT", help="The tool did its work; this is the result.")
@click.option("--error", metavar="TEXT", help="The tool failed; the model is told this.")
@click.option("--repeat", is_flag=True, help="The tool did not do its work: run it once more.")
@options.connection
@click.pass_context
def settle(
    ctx: click.Context,
    words: tuple[str, ...],
    everything: bool,
    labels: str,
    fields: str,
    result: str | None,
    error: str | None,
    repeat: bool,
    kubeconfig: str | None,
    namespace: str,
) -> None:
    """Record what became of tool calls.

    For calls of external tools, which wait for a result, for calls of sub-agents, whose own runs end then, and for
    calls whose outcome is unknown because they were interrupted and the tool must not be repeated without being
    asked. Their runs continue at once. With --all, -l
    or --field-selector, only calls whose outcome is unknown are settled.

    \b
    kubechain settle toolcall/order-run-6p46n-1-1 --result "order 4711 placed"
    kubechain settle toolcall/order-run-6p46n-1-1 toolcall/order-run-6p46n-1-2 --error "the shop is closed"
    kubechain settle -l kubechain.humanlayer.dev/taskrun=order-run --repeat
    kubechain settle --all --repeat
    """
    if [result is not None, error is not None, repeat].count(True) != 1:
        raise CommandError("give exactly one of --result TEXT, --error TEXT and --repeat")
    selectors = Selectors(labels, fields)
    if bool(words) == bool(everything or selectors):
        raise click.UsageError(
            "name the calls as toolcall/NAME, or select them with --all, -l or --field-selector", ctx
        )
    client = connect(kubeconfig, namespace)
    calls = Wanted(Discovery.of(client).find("toolcalls"), client.namespace, "", selectors)
    names = [word.rpartition("/")[2] for word in words] or _unknown(client, calls)
    failed = False
    for name in names:
        try:
            click.echo(_settle(client, calls.resource.path(client.namespace, name), name, result, error, repeat))
        except (ApiError, CommandError) as problem:
            options.complain(explained(problem))
            failed = True
    ctx.exit(FAILED if failed else OK)


def _unknown(client: Client, calls: Wanted) -> list[str]:
    found = [call for call in fetch(client, calls) if text(call, "status.phase") == _UNKNOWN]
    if not found:
        raise CommandError("no call with an unknown outcome matches: look with `kubechain get toolcall`")
    return [text(call, "metadata.name") for call in found]


def _settle(client: Client, path: str, name: str, result: str | None, error: str | None, repeat: bool) -> str:
    """What the call is now, in a line. Raises ApiError, CommandError."""
    found = client.get(path)
    phase = text(found, "status.phase")
    if phase not in _WAITING:
        waiting = f"{', '.join(_WAITING[:-1])} or {_WAITING[-1]}"
        raise CommandError(f"toolcall/{name} is {phase}: only a call that is {waiting} can be settled")
    if repeat and phase != _UNKNOWN:
        raise CommandError(f"toolcall/{name} is {phase}: only a call whose outcome is unknown can be repeated")
    patch: JsonObject = {
        "metadata": {"resourceVersion": text(found, "metadata.resourceVersion")},
        "status": _status(result, error),
    }
    written = client.send("PATCH", f"{path}/status", body=patch, content_type=MERGE_PATCH)
    return f"toolcall/{text(written, 'metadata.name')} is {text(written, 'status.phase')}"


def _status(result: str | None, error: str | None) -> JsonObject:
    if result is not None:
        return {"phase": "Succeeded", "result": result, "error": None, "waitingOn": None}
    if error is not None:
        return {"phase": "Failed", "error": error, "waitingOn": None}
    return {"phase": "Pending", "error": None}
