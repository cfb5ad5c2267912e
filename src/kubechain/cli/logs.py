"""`kubechain logs`: a run's conversation as a transcript, once or until it ends.

A command of `main`; `run --follow` and `demo` print through it. Shows what the objects hold and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click

from kubechain.cli import options, transcript
from kubechain.cli.changes import SYNCED, of_object
from kubechain.cli.client import Client, connect
from kubechain.cli.discover import Discovery, Resource
from kubechain.cli.exits import CommandError
from kubechain.cli.history import History
from kubechain.cli.objects import members, text
from kubechain.cli.transcript import Entry, label_of_run
from kubechain.errors import NotFound
from kubechain.resources.json import JsonObject

_COLOURS = {"system": "bright_black", "user": "cyan", "assistant": "green", "tool": "yellow"}


@click.command("logs")
@click.argument("run", metavar="taskrun/NAME")
@click.option("-f", "--follow", is_flag=True, help="Go on as the conversation grows, until the run ends.")
@options.connection
def logs(run: str, follow: bool, kubeconfig: str | None, namespace: str) -> None:
    """Print the conversation of a TaskRun.

    Roles, tool calls and their results, and when they were.

    \b
    kubechain logs taskrun/hello-world-run
    kubechain logs taskrun/hello-world-run -f
    """
    client = connect(kubeconfig, namespace)
    known = Discovery.of(client)
    kind, _, name = run.rpartition("/")
    resource = known.find(kind or "taskruns")
    if resource.kind != "TaskRun":
        raise CommandError(f"{run} is a {resource.kind}: only a taskrun has a conversation; write taskrun/NAME")
    show = Printer(client, known, click.echo)
    if not follow:
        show.update(client.get(resource.path(client.namespace, name)))
        return
    for state in states(client, resource, client.namespace, name):
        show.update(state)


def states(client: Client, resource: Resource, namespace: str, name: str) -> Iterator[JsonObject]:
    """Every state of a run, the last one finished. Raises NotFound."""
    seen = False
    for event in of_object(client, resource, namespace, name):
        if event.type == "DELETED" or (event.type == SYNCED and not seen):
            raise NotFound(f'{resource.qualified} "{name}" not found')
        if event.type == SYNCED:
            continue
        seen = True
        yield event.object
        if text(event.object, "status.phase") in ("FinalAnswer", "Failed"):
            return


class Printer:
    """Prints what is new in a run each time it is shown a later state of it."""

    def __init__(self, client: Client, known: Discovery, write: Callable[[str], object]) -> None:
        self._client = client
        self._toolcalls = known.find("toolcalls")
        self._history = History(client, known)
        self._write = write
        self._shown = 0

    def update(self, run: JsonObject) -> None:
        """Writes the messages that were not there yet, and the closing line when the run has ended."""
        run = self._history.whole(run)
        closing = transcript.closing(run)
        if len(members(run, "status.messages")) > self._shown or closing:
            said = transcript.entries(run, self._calls(run))
            for entry in said[self._entries(run) :]:
                self._write("\n".join(coloured(entry)))
            self._shown = len(members(run, "status.messages"))
        if closing:
            self._write(click.style(closing, fg="red" if closing.startswith("Failed") else "green", bold=True))

    def _entries(self, run: JsonObject) -> int:
        """How many entries the messages shown so far made."""
        former = members(run, "status.messages")[: self._shown]
        return len(transcript.entries({"status": {"messages": [*former]}}))

    def _calls(self, run: JsonObject) -> list[JsonObject]:
        path = self._toolcalls.path(text(run, "metadata.namespace"))
        return members(
            self._client.get(path, {"labelSelector": label_of_run(text(run, "metadata.name"))}), "items"
        )


def coloured(entry: Entry) -> list[str]:
    """An entry's lines, its role in the role's colour (which a terminal alone gets to see)."""
    first, *rest = transcript.lines(entry)
    head = f"{entry.role}"
    at = first.index(head) if head in first else 0
    return [
        first[:at] + click.style(head, fg=_COLOURS.get(entry.role), bold=True) + first[at + len(head) :],
        *rest,
    ]
