"""`kubechain wait`: returns when objects have a condition or a value, exist, or are gone.

A command of `main`. Waits on a watch; never asks again on a clock. Ends early where what is waited for cannot
happen any more: the object was deleted, or has finished otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import click

from kubechain.cli import jsonpath, options
from kubechain.cli.changes import LISTING, SYNCED, Deadline, changes, of_object
from kubechain.cli.client import Client, connect
from kubechain.cli.delete import until_gone
from kubechain.cli.discover import Discovery
from kubechain.cli.exits import CommandError, TimedOut
from kubechain.cli.failure import explained
from kubechain.cli.objects import finished, members, scalar, text
from kubechain.cli.wanted import Selectors, Wanted, each, in_manifests, resolve
from kubechain.errors import KubechainError, NotFound
from kubechain.resources.json import JsonObject

_FIELD = re.compile(r"""(['"]?)(?P<path>\{[^}]+\}|[^=]+?)\1(=(?P<value>.*))?""", re.DOTALL)
_GOALS = "condition=Ready, jsonpath='{.a.b}'=value, create or delete"
Claim = Callable[[JsonObject], bool]


@click.command("wait")
@click.argument("words", nargs=-1, metavar="[TYPE/NAME... | TYPE NAME... | TYPE]")
@click.option(
    "--for", "goal", required=True, metavar="GOAL", help="condition=X[=V], jsonpath={.a.b}[=V], create or delete."
)
@click.option("--all", "everything", is_flag=True, help="Every object of TYPE in the namespace.")
@options.selectors
@options.manifests
@click.option("--timeout", type=options.Duration(), default=30.0, help="How long to wait for each; default 30s.")
@options.connection
@click.pass_context
def wait(
    ctx: click.Context,
    words: tuple[str, ...],
    goal: str,
    everything: bool,
    labels: str,
    fields: str,
    sources: tuple[str, ...],
    recursive: bool,
    timeout: float,
    kubeconfig: str | None,
    namespace: str,
) -> None:
    """Wait until objects have a condition or a value, exist, or are gone.

    Exit code 124 when the time is up; 1 at once when it cannot happen any more, as for a TaskRun that has failed.
    A TaskRun that ends, either way, gets a status.completionTime.

    \b
    kubechain wait agent/my-assistant --for=condition=Ready
    kubechain wait llm,agent,task --all --for=condition=Ready
    kubechain wait taskrun/hello-world-run --for=condition=Succeeded --timeout=2m
    kubechain wait taskrun/hello-world-run --for=jsonpath='{.status.completionTime}'
    kubechain wait toolcall -l kubechain.humanlayer.dev/taskrun=sign-run --for=create
    kubechain wait taskrun/hello-world-run --for=delete
    """
    holds = None if goal in ("create", "delete") else claim(goal)
    if bool(words) == bool(sources):
        raise click.UsageError("name objects, or manifests with -f", ctx)
    client = connect(kubeconfig, namespace)
    known = Discovery.of(client)
    if sources:
        wanted = in_manifests(client, known, sources, recursive=recursive)
    else:
        wanted = resolve(words, known, client.namespace, Selectors(labels, fields))
        if any(not one.name for one in wanted) and not (everything or labels or fields):
            raise CommandError(f"{' '.join(words)!r} names no object: write TYPE/NAME, or --all for all of them")
    if goal == "create":
        problems = [_tried(partial(until_there, client, one, timeout)) for one in wanted]
    else:
        targets = each(client, wanted)
        if not targets and goal != "delete":
            raise CommandError("no matching resources found: create them first, or wait for one with --for=create")
        problems = [_tried(partial(_until, client, one, holds, timeout, goal)) for one in targets]
    failures = [problem for problem in problems if problem is not None]
    for failure in failures[:-1]:
        options.complain(explained(failure))
    if failures:
        raise failures[-1]


def _tried(deed: Callable[[], str]) -> KubechainError | None:
    """Prints what came of waiting for one object; an error is given back, so that the others get their turn."""
    try:
        click.echo(deed())
    except (CommandError, NotFound) as error:
        return error
    return None


def _until(client: Client, target: Wanted, holds: Claim | None, seconds: float, goal: str) -> str:
    title, deadline = f"{target.resource.title}/{target.name}", Deadline(seconds)
    if holds is None:
        until_gone(client, target, deadline)
        return f"{title} deleted"
    until(client, target, holds, deadline, goal)
    return f"{title} condition met"


def until_there(client: Client, target: Wanted, seconds: float) -> str:
    """Returns once an object that is wanted exists, and says which. Raises TimedOut."""
    query = target.query | ({"fieldSelector": f"metadata.name={target.name}"} if target.name else {})
    try:
        for event in changes(client, target.resource.path(target.namespace), query, Deadline(seconds)):
            if event.type in ("ADDED", "MODIFIED"):
                return f"{target.resource.title}/{text(event.object, 'metadata.name')} condition met"
    except TimeoutError:
        pass
    what = target.name or ", ".join(target.query.values()) or "any"
    raise TimedOut(
        f"timed out waiting for {target.resource.plural}/{what} to be created: wait longer with --timeout, "
        f"or look with `kubechain get {target.resource.plural}`"
    )


def claim(goal: str) -> Claim:
    """What `--for` says about an object. Raises CommandError."""
    form, _, rest = goal.partition("=")
    if form == "condition" and rest:
        type_, _, status = rest.partition("=")
        return lambda obj: _condition(obj, type_, status or "True")
    if form == "jsonpath" and (said := _FIELD.fullmatch(rest)):
        path, value = said["path"], said["value"]
        return lambda obj: any(value is None or scalar(v) == value for v in jsonpath.select(obj, path))
    raise CommandError(f"--for={goal} is not known: use {_GOALS}")


def _condition(obj: JsonObject, type_: str, status: str) -> bool:
    return any(
        text(c, "type").lower() == type_.lower() and text(c, "status").lower() == status.lower()
        for c in members(obj, "status.conditions")
    )


def until(client: Client, target: Wanted, holds: Claim, deadline: Deadline, goal: str) -> JsonObject:
    """The object once the claim holds. Raises TimedOut, NotFound (not there, or deleted), CommandError (never)."""
    resource, name, there = target.resource, target.name, False
    last: JsonObject = {}
    try:
        for event in of_object(client, resource, target.namespace, name, deadline):
            if event.type == "DELETED":
                raise NotFound(f'{resource.qualified} "{name}" was deleted before it met {goal}')
            if event.type == LISTING:
                there = False
            if event.type == SYNCED and not there:
                raise NotFound(f'{resource.qualified} "{name}" not found')
            last, there = event.object or last, there or bool(event.object)
            if event.object and holds(event.object):
                return event.object
            if finished(event.object) and _about_status(goal):
                raise CommandError(
                    f"{resource.singular}/{name} has ended{_stands(last)}, so {goal} cannot happen any more: "
                    f"look with `kubechain describe {resource.singular} {name}`"
                )
    except TimeoutError:
        pass
    raise TimedOut(
        f"timed out waiting for {goal} on {resource.plural}/{name}{_stands(last)}: wait longer with --timeout, "
        f"or look with `kubechain describe {resource.singular} {name}`"
    )


def _about_status(goal: str) -> bool:
    """Whether a goal is decided by the status, which does not change any more once a run or a call has ended."""
    return goal.startswith("condition=") or ".status" in goal.split("=")[1]


def _stands(obj: JsonObject) -> str:
    """` (now: Failed, the key was refused)`; "" where the object does not say how things stand."""
    fields = ("status", "phase", "statusDetail", "waitingOn", "error")
    stands = [told for field in fields if (told := text(obj, f"status.{field}"))]
    return f" (now: {', '.join(stands)})" if stands else ""
