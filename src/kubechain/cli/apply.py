"""`kubechain apply`: creates or updates the objects of manifests, in any order, with the output of kubectl.

A command of `main`; `demo` applies its manifests through it. It is a three-way apply: fields of the last
apply that are missing now are removed, and fields that others wrote stay. It uses kubectl's annotation, so that
both can apply the same object.
"""

from __future__ import annotations

import json

import click

from kubechain.cli import document, options
from kubechain.cli.client import MERGE_PATCH, Client, connect
from kubechain.cli.discover import Discovery
from kubechain.cli.exits import FAILED, OK, CommandError
from kubechain.cli.failure import explained
from kubechain.cli.objects import mapping, text
from kubechain.errors import ApiError, NotFound
from kubechain.resources.json import JsonObject

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_WRITE = {"fieldManager": "kubechain-client-side-apply", "fieldValidation": "Strict"}


@click.command("apply")
@options.manifests
@click.option("--dry-run", is_flag=True, help="Have the server validate the manifests without storing anything.")
@options.connection
@click.pass_context
def apply(
    ctx: click.Context,
    sources: tuple[str, ...],
    recursive: bool,
    dry_run: bool,
    kubeconfig: str | None,
    namespace: str,
) -> None:
    """Create or update the objects that manifests describe.

    The order of the manifests does not matter: an object that refers to one that does not exist yet waits for it.

    \b
    kubechain apply -f agent.yaml
    kubechain apply -f kubechain-example/walkthrough/
    kubechain apply -R -f agents/
    cat agent.yaml | kubechain apply -f -
    """
    if not sources:
        raise click.UsageError("name the manifests with -f FILE, -f DIR or -f -", ctx)
    client = connect(kubeconfig, namespace)
    known = Discovery.of(client)
    failed = 0
    found = list(document.read(sources, recursive=recursive))
    for where, manifest in sorted(found, key=lambda entry: text(entry[1], "kind") != "Namespace"):
        try:
            done = apply_one(client, known, manifest, dry_run=dry_run)
            click.echo(done + (" (server dry run)" if dry_run else ""))
        except (ApiError, CommandError) as error:
            failed += 1
            options.complain(explained(error, f'error when applying "{where}": '))
    if failed and len(found) > 1:
        options.complain(
            f"{failed} of {len(found)} objects could not be applied (see above); the others were applied"
        )
    ctx.exit(FAILED if failed else OK)


def apply_one(client: Client, known: Discovery, manifest: JsonObject, *, dry_run: bool = False) -> str:
    """`agent.kubechain.humanlayer.dev/my-assistant created`, or configured, or unchanged. Raises ApiError."""
    resource = known.of_object(manifest)
    name = text(manifest, "metadata.name")
    if not name:
        raise CommandError(f"a {resource.kind} has no metadata.name: add one, so that the object can be found")
    namespace = text(manifest, "metadata.namespace") or (client.namespace if resource.namespaced else "")
    query = _WRITE | ({"dryRun": "All"} if dry_run else {})
    wanted = annotated(manifest, namespace)
    title = f"{resource.title}/{name}"
    try:
        live = client.get(resource.path(namespace, name))
    except NotFound:
        client.send("POST", resource.path(namespace), query, wanted)
        return f"{title} created"
    change = three_way(last_applied(live), wanted, live)
    if not change:
        return f"{title} unchanged"
    path = resource.path(namespace, name)
    after = client.send("PATCH", path, query, change, content_type=MERGE_PATCH)
    same = text(after, "metadata.resourceVersion") == text(live, "metadata.resourceVersion")
    return f"{title} {'unchanged' if same and not dry_run else 'configured'}"


def annotated(manifest: JsonObject, namespace: str) -> JsonObject:
    """The manifest with its namespace, and with itself in the annotation of the last apply."""
    meta = mapping(manifest, "metadata") | ({"namespace": namespace} if namespace else {})
    notes = {k: v for k, v in mapping(meta, "annotations").items() if k != LAST_APPLIED}
    plain = manifest | {"metadata": meta | {"annotations": notes}}
    note: JsonObject = {LAST_APPLIED: document.as_line(plain)}
    return manifest | {"metadata": meta | {"annotations": notes | note}}


def last_applied(live: JsonObject) -> JsonObject:
    """What the last apply (ours or kubectl's) said; {} where there was none."""
    note = mapping(live, "metadata.annotations").get(LAST_APPLIED)
    try:
        said = json.loads(note) if isinstance(note, str) else {}
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def three_way(before: JsonObject, wanted: JsonObject, live: JsonObject) -> JsonObject:
    """The merge patch from `live` to `wanted`, which also removes what only `before` has."""
    patch: JsonObject = {key: None for key in before if key not in wanted and key in live}
    for key, value in wanted.items():
        there = live.get(key)
        if isinstance(value, dict) and isinstance(there, dict):
            past = before.get(key)
            inner = three_way(past if isinstance(past, dict) else {}, value, there)
            if inner:
                patch[key] = inner
        elif value != there:
            patch[key] = value
    return patch
