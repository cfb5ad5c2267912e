"""`kubechain delete`: removes objects and waits until they are gone.

A command of `main`. What an object owns goes with it: the server sees to that.
"""

from __future__ import annotations

import click

from kubechain.cli import options
from kubechain.cli.changes import LISTING, SYNCED, Deadline, of_object
from kubechain.cli.client import Client, connect
from kubechain.cli.discover import Discovery
from kubechain.cli.exits import FAILED, OK, CommandError, TimedOut
from kubechain.cli.failure import explained
from kubechain.cli.wanted import Selectors, Wanted, each, in_manifests, resolve
from kubechain.errors import ApiError, NotFound
from kubechain.resources.json import JsonObject

_OPTIONS: JsonObject = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}


@click.command("delete")
@click.argument("words", nargs=-1, metavar="[TYPE NAME... | TYPE/NAME...]")
@options.manifests
@click.option("--all", "everything", is_flag=True, help="Every object of TYPE in the namespace.")
@options.selectors
@click.option("--ignore-not-found", is_flag=True, help="Succeed where an object does not exist.")
@click.option("--wait/--no-wait", default=True, help="Return when the objects are gone; default.")
@click.option("--timeout", type=options.Duration(), default=60.0, help="How long to wait for each; default 60s.")
@options.connection
@click.pass_context
def delete(
    ctx: click.Context,
    words: tuple[str, ...],
    sources: tuple[str, ...],
    recursive: bool,
    everything: bool,
    labels: str,
    fields: str,
    ignore_not_found: bool,
    wait: bool,
    timeout: float,
    kubeconfig: str | None,
    namespace: str,
) -> None:
    """Delete objects, by name or as their manifests name them.

    \b
    kubechain delete taskrun hello-world-run
    kubechain delete -f kubechain-example/walkthrough/
    kubechain delete taskrun --all
    """
    client = connect(kubeconfig, namespace)
    known = Discovery.of(client)
    if sources:
        targets = in_manifests(client, known, sources, recursive=recursive)[::-1]
    else:
        targets = _named(client, known, words, Selectors(labels, fields), everything)
    failed = [target for target in targets if not _delete(client, target, ignore_not_found)]
    if wait:
        for target in targets:
            if target not in failed:
                until_gone(client, target, Deadline(timeout))
    ctx.exit(FAILED if failed else OK)


def _named(
    client: Client, known: Discovery, words: tuple[str, ...], selectors: Selectors, everything: bool
) -> list[Wanted]:
    if not words:
        raise CommandError("nothing to delete: write TYPE NAME, TYPE/NAME or -f FILE")
    wanted = resolve(words, known, client.namespace, selectors)
    if any(not one.name for one in wanted) and not (everything or selectors):
        raise CommandError(f"{' '.join(words)!r} names no object: write TYPE NAME, or --all for all of them")
    return each(client, wanted)


def _delete(client: Client, target: Wanted, ignore_not_found: bool) -> bool:
    try:
        client.send("DELETE", target.path, body=_OPTIONS)
    except NotFound as error:
        if not ignore_not_found:
            options.complain(explained(error))
        return ignore_not_found
    except ApiError as error:
        options.complain(explained(error))
        return False
    click.echo(f'{target.resource.title} "{target.name}" deleted')
    return True


def until_gone(client: Client, target: Wanted, deadline: Deadline) -> None:
    """Returns when the object is no more. Raises TimedOut."""
    present, resource, name = False, target.resource, target.name
    try:
        for event in of_object(client, resource, target.namespace, name, deadline):
            present = (present or event.type == "ADDED") and event.type not in ("DELETED", LISTING)
            if not present and event.type in (SYNCED, "DELETED"):
                return
    except TimeoutError:
        raise TimedOut(
            f"{resource.singular}/{name} still exists, because its finalizers have not been removed: "
            f"look with `kubechain get {resource.singular} {name} -o yaml`"
        ) from None
