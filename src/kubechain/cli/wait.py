"""`kubechain wait`: returns when an object has a condition, a value, or is gone.

A command of `main`. Waits on a watch; never asks again on a clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import click

from kubechain.cli import jsonpath, options
from kubechain.cli.changes import SYNCED, Deadline, of_object
from kubechain.cli.client import Client, connect
from kubechain.cli.delete import until_gone
from kubechain.cli.discover import Discovery, Resource
from kubechain.cli.exits import CommandError, TimedOut
from kubechain.cli.objects import members, scalar, text
from kubechain.errors import NotFound
from kubechain.resources.json import JsonObject

_FIELD = re.compile(r"""(['"]?)(?P<path>\{[^}]+\}|[^=]+?)\1(=(?P<value>.*))?""", re.DOTALL)
Claim = Callable[[JsonObject], bool]


@click.command("wait")
@click.argument("words", nargs=-1, required=True, metavar="TYPE/NAME...")
@click.option("--for", "goal", required=True, metavar="GOAL", help="condition=X[=V], jsonpath={.a.b}=V, delete.")
@click.option("--timeout", type=options.Duration(), default=30.0, help="Longest wait for one; default 30s.")
@options.connection
def wait(words: tuple[str, ...], goal: str, timeout: float, kubeconfig: str | None, namespace: str) -> None:
    """Wait until objects are as you want them. Exit code 124 when the time is up.

    \b
    kubechain wait agent/my-assistant --for=condition=Ready
    kubechain wait taskrun/hello-world-run --for=jsonpath='{.status.phase}'=FinalAnswer --timeout=2m
    kubechain wait taskrun/hello-world-run --for=delete
    """
    client = connect(kubeconfig, namespace)
    known = Discovery.of(client)
    holds = None if goal == "delete" else claim(goal)
    for kind, name in options.references(words):
        resource = known.find(kind)
        where = client.namespace if resource.namespaced else ""
        if holds is None:
            until_gone(client, resource, where, name, Deadline(timeout))
            click.echo(f"{resource.title}/{name} deleted")
        else:
            until(client, resource, where, name, holds, Deadline(timeout), goal)
            click.echo(f"{resource.title}/{name} condition met")


def claim(goal: str) -> Claim:
    """What `--for` says about an object. Raises CommandError."""
    form, _, rest = goal.partition("=")
    if form == "condition" and rest:
        type_, _, status = rest.partition("=")
        return lambda obj: _condition(obj, type_, status or "True")
    if form == "jsonpath" and (said := _FIELD.fullmatch(rest)):
        path, value = said["path"], said["value"]
        return lambda obj: any(value is None or scalar(v) == value for v in jsonpath.select(obj, path))
    raise CommandError(f"--for={goal} is not known: use condition=Ready, jsonpath='{{.a.b}}'=value or delete")


def _condition(obj: JsonObject, type_: str, status: str) -> bool:
    return any(
        text(c, "type").lower() == type_.lower() and text(c, "status").lower() == status.lower()
        for c in members(obj, "status.conditions")
    )


def until(
    client: Client,
    resource: Resource,
    namespace: str,
    name: str,
    holds: Claim,
    deadline: Deadline,
    goal: str,
) -> JsonObject:
    """The object once the claim holds. Raises TimedOut, NotFound (not there, or deleted meanwhile)."""
    last: JsonObject = {}
    try:
        for event in of_object(client, resource, namespace, name, deadline):
            if event.type == "DELETED" or (event.type == SYNCED and not last):
                raise NotFound(f'{resource.qualified} "{name}" not found')
            last = event.object or last
            if event.object and holds(event.object):
                return event.object
    except TimeoutError:
        pass
    stands = [text(last, f"status.{field}") for field in ("status", "phase", "statusDetail", "waitingOn")]
    now = f" (now: {', '.join(filter(None, stands))})" if any(stands) else ""
    raise TimedOut(
        f"timed out waiting for {goal} on {resource.plural}/{name}{now}: wait longer with --timeout, "
        f"or look with `kubechain describe {resource.singular} {name}`"
    )
