"""`kubechain tree`: a run and all runs below it, who does each and what it waits for.

A command of `main`. Two requests, however deep the tree; what to show of it is `family`'s and `rows`'.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import click

from kubechain.agents.naming import label_value
from kubechain.cli import document, options, transcript
from kubechain.cli.client import Client, connect
from kubechain.cli.discover import Discovery
from kubechain.cli.exits import CommandError
from kubechain.cli.objects import mapping, members, printable, text
from kubechain.cli.table import aligned
from kubechain.resources.json import JsonObject
from kubechain.runtime.clock import now

ROOT_LABEL = "kubechain.humanlayer.dev/root"
HEADER = ["NAME", "PHASE", "AGENT", "TURNS", "AGE", "WAITINGON"]


@dataclass(frozen=True, slots=True)
class Branch:
    """A run and the runs of its sub-agents, in the order in which its model called them."""

    run: JsonObject
    children: list[Branch] = field(default_factory=list)


@click.command("tree")
@click.argument("run", metavar="taskrun/NAME")
@click.option("-o", "--output", type=click.Choice(["json"]), help="json: the tree as nested objects.")
@options.connection
def tree(run: str, output: str | None, kubeconfig: str | None, namespace: str) -> None:
    """Show a TaskRun and the runs of its sub-agents as a tree.

    Each line shows a run: its phase, its agent, how many replies its model gave, and what it waits for. NAME may
    be any run of a tree. The command shows that run and everything below it.

    \b
    kubechain tree taskrun/report-run
    kubechain tree report-run -o json
    """
    client = connect(kubeconfig, namespace)
    found = look(client, Discovery.of(client), run)
    if output:
        click.echo(document.as_json(as_object(found)), nl=False)
        return
    width = shutil.get_terminal_size((0, 0)).columns if sys.stdout.isatty() else 0
    for line in aligned([HEADER, *rows(found)]):
        click.echo(line if not width or len(line) <= width else f"{line[: width - 1]}…")


def look(client: Client, known: Discovery, name: str) -> Branch:
    """The run and everything below it. Raises ApiError, CommandError."""
    kind, _, name = name.rpartition("/")
    resource = known.find(kind or "taskruns")
    if resource.kind != "TaskRun":
        raise CommandError(
            f"{kind}/{name} is of kind {resource.kind}, and only a TaskRun has a tree: write taskrun/NAME"
        )
    top = client.get(resource.path(client.namespace, name))
    selector = {"labelSelector": f"{ROOT_LABEL}={label_value(text(top, 'status.root') or name)}"}
    return family(top, members(client.get(resource.path(client.namespace), selector), "items"))


def family(top: JsonObject, below: Iterable[JsonObject]) -> Branch:
    """The tree of a run, from all runs of its tree. One that has no status yet is known by its labels."""
    by_parent: dict[str, list[JsonObject]] = {}
    for run in sorted(below, key=_place):
        by_parent.setdefault(_parent(run), []).append(run)

    def branch(run: JsonObject, above: frozenset[str]) -> Branch:
        name = text(run, "metadata.name")
        found = by_parent.get(label_value(name), []) if name not in above else []
        return Branch(run, [branch(child, above | {name}) for child in found])

    return branch(top, frozenset())


def rows(branch: Branch, lead: str = "", below: str = "") -> Iterator[list[str]]:
    """A line of cells for each run."""
    run = branch.run
    age = transcript.elapsed(text(run, "metadata.creationTimestamp"), now().isoformat())
    cells = [text(run, f"status.{name}") for name in ("phase", "agent", "turns")]
    cells[1] = cells[1] or text(run, "spec.agent")
    told = [*cells[:2], cells[2] or "0", age, transcript.waits(run)]
    yield [printable(cell) for cell in (f"{lead}{text(run, 'metadata.name')}", *told)]
    for child in branch.children:
        last = child is branch.children[-1]
        yield from rows(child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))


def as_object(branch: Branch) -> JsonObject:
    """The tree as nested JSON objects."""
    run = branch.run
    return {
        "name": text(run, "metadata.name"),
        "phase": text(run, "status.phase"),
        "agent": text(run, "status.agent") or text(run, "spec.agent"),
        "turns": int(text(run, "status.turns") or 0),
        "waitingOn": transcript.waits(run),
        "created": text(run, "metadata.creationTimestamp"),
        "error": text(run, "status.error"),
        "children": [as_object(child) for child in branch.children],
    }


def _parent(run: JsonObject) -> str:
    """The run above, by the value that a label has for it: the label is there before the status is."""
    labelled = mapping(run, "metadata.labels").get(transcript.RUN_LABEL)
    return labelled if isinstance(labelled, str) else label_value(text(run, "status.parent.taskRun"))


def _place(run: JsonObject) -> list[int]:
    """The turn and the position of the call that it answers: the end of that call's name."""
    owners = members(run, "metadata.ownerReferences")
    return [int(n) for n in text(owners[0], "name").split("-")[-2:] if n.isdecimal()] if owners else []
