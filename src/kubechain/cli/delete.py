"""`kubechain delete`: removes objects and waits until they are gone.

A command of `main`. What an object owns goes with it: the server sees to that.
"""

from __future__ import annotations

import click

from kubechain.cli import document, options
from kubechain.cli.changes import SYNCED, Deadline, of_object
from kubechain.cli.client import Client, connect
from kubechain.cli.discover import Discovery, Resource
from kubechain.cli.exits import FAILED, OK, CommandError, TimedOut
from kubechain.cli.failure import explained
from kubechain.cli.get import fetch, resolve
from kubechain.cli.objects import text
from kubechain.errors import ApiError, NotFound
from kubechain.resources.json import JsonObject

_OPTIONS: JsonObject = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}


@click.command("delete")
@click.argument("words", nargs=-1, metavar="[TYPE NAME... | TYPE/NAME...]")
@click.option("-f", "--filename", "sources", multiple=True, metavar="FILE|DIR|-", help="The objects of manifests.")
@click.option("--all", "everything", is_flag=True, help="Every object of TYPE in the namespace.")
@click.option("-l", "--selector", default="", metavar="LABELS", help="Objects of TYPE with these labels.")
@click.option("--ignore-not-found", is_flag=True, help="An object that is not there is no failure.")
@click.option("--wait/--no-wait", default=True, help="Return when they are gone; default.")
@click.option("--timeout", type=options.Duration(), default=60.0, help="Longest wait for one; default 60s.")
@options.connection
@click.pass_context
def delete(
    ctx: click.Context,
    words: tuple[str, ...],
    sources: tuple[str, ...],
    everything: bool,
    selector: str,
    ignore_not_found: bool,
    wait: bool,
    timeout: float,
    kubeconfig: str | None,
    namespace: str,
) -> None:
    """Delete objects, by name or as their manifests name them.

    \b
    kubechain delete taskrun hello-world-run
    kubechain delete -f kubechain-example/
    kubechain delete taskrun --all
    """
    client = connect(kubeconfig, namespace)
    known = Discovery.of(client)
    if sources:
        targets = [_target(client, known, manifest) for _, manifest in document.read(sources)][::-1]
    else:
        targets = _named(client, known, words, selector, everything)
    failed = [target for target in targets if not _delete(client, *target, ignore_not_found)]
    if wait:
        for target in targets:
            if target not in failed:
                until_gone(client, *target, Deadline(timeout))
    ctx.exit(FAILED if failed else OK)


def _target(client: Client, known: Discovery, manifest: JsonObject) -> tuple[Resource, str, str]:
    resource = known.of_object(manifest)
    namespace = text(manifest, "metadata.namespace") or client.namespace
    return resource, namespace if resource.namespaced else "", text(manifest, "metadata.name")


def _named(
    client: Client, known: Discovery, words: tuple[str, ...], selector: str, everything: bool
) -> list[tuple[Resource, str, str]]:
    if not words:
        raise CommandError("nothing to delete: write TYPE NAME, TYPE/NAME or -f FILE")
    wanted = resolve(words, known, client.namespace, selector)
    if any(not one.name for one in wanted) and not (everything or selector):
        raise CommandError(f"{' '.join(words)!r} names no object: write TYPE NAME, or --all for every one")
    targets: list[tuple[Resource, str, str]] = []
    for one in wanted:
        if one.name:
            targets.append((one.resource, one.namespace, one.name))
        else:
            found = fetch(client, one)
            targets += [(one.resource, text(o, "metadata.namespace"), text(o, "metadata.name")) for o in found]
    return targets


def _delete(client: Client, resource: Resource, namespace: str, name: str, ignore_not_found: bool) -> bool:
    try:
        client.send("DELETE", resource.path(namespace, name), body=_OPTIONS)
    except NotFound as error:
        if not ignore_not_found:
            options.complain(explained(error))
        return ignore_not_found
    except ApiError as error:
        options.complain(explained(error))
        return False
    click.echo(f'{resource.title} "{name}" deleted')
    return True


def until_gone(client: Client, resource: Resource, namespace: str, name: str, deadline: Deadline) -> None:
    """Returns when the object is no more. Raises TimedOut."""
    present = False
    try:
        for event in of_object(client, resource, namespace, name, deadline):
            present = (present or event.type == "ADDED") and event.type != "DELETED"
            if not present and event.type in (SYNCED, "DELETED"):
                return
    except TimeoutError:
        raise TimedOut(
            f"{resource.singular}/{name} is still there: it waits for its finalizers; "
            f"look with `kubechain get {resource.singular} {name} -o yaml`"
        ) from None
