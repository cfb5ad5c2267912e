"""`kubechain logs`: a run's conversation as a transcript, once or until it ends.

A command of `main`; `run --follow` and `demo` print through it. Shows what the objects hold and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TextIO

import click

from kubechain.cli import options, transcript
from kubechain.cli.client import Client, connect
from kubechain.cli.discover import Discovery
from kubechain.cli.exits import CommandError
from kubechain.cli.following import State, snapshot, states
from kubechain.cli.history import History
from kubechain.cli.objects import text
from kubechain.cli.transcript import Entry, clock, width_of
from kubechain.runtime.clock import now

_COLOURS = {"system": "bright_black", "user": "cyan", "assistant": "green", "tool": "yellow"}


@click.command("logs")
@click.argument("run", metavar="taskrun/NAME")
@click.option("-f", "--follow", is_flag=True, help="Continue as the conversation grows, until the run ends.")
@options.connection
def logs(run: str, follow: bool, kubeconfig: str | None, namespace: str) -> None:
    """Print the conversation of a TaskRun.

    It shows who said what and when, the tool calls with their results, and what the run is waiting for. With -f it
    continues over a restart of KubeChain.

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
    show = Printer(client, known, click.echo, sys.stdout)
    for state in states(client, known, name) if follow else [snapshot(client, known, name)]:
        show.update(state)


class Printer:
    """Prints what is new in a run each time it is shown a later state of it; `write` writes to `stream`."""

    def __init__(self, client: Client, known: Discovery, write: Callable[[str], object], stream: TextIO) -> None:
        self._history = History(client, known)
        self._write = write
        self._width = width_of(stream)
        self._shown: set[str] | None = None
        self._waits = ""

    def update(self, state: State) -> None:
        """Writes what was not there yet: messages, results, what the run waits for, and how it ended."""
        run = self._history.whole(state.run)
        live = self._shown is not None
        shown = self._shown = self._shown or set()
        for entry in transcript.entries(run, state.calls):
            if entry.key not in shown:
                shown.add(entry.key)
                self._write("\n".join(coloured(_timed(entry) if live else entry, self._width)))
        waits = transcript.waits(run)
        if waits and waits != self._waits:
            self._write(click.style(f"          ... waiting for {waits}", fg="bright_black"))
        self._waits = waits
        if closing := transcript.closing(run):
            colour = "red" if text(run, "status.phase") == "Failed" else "green"
            self._write(click.style(closing, fg=colour, bold=True))


def _timed(entry: Entry) -> Entry:
    """An entry that has just come: where no object says when, it was now."""
    return entry if entry.time else replace(entry, time=clock(now().isoformat()))


def coloured(entry: Entry, width: int = 0) -> list[str]:
    """An entry's lines, its role in the role's colour (which a terminal alone gets to see)."""
    first, *rest = transcript.lines(entry, width=width)
    head = f"{entry.role}"
    at = first.index(head) if head in first else 0
    return [
        first[:at] + click.style(head, fg=_COLOURS.get(entry.role), bold=True) + first[at + len(head) :],
        *rest,
    ]
