"""`kubechain create`: a Secret or a Namespace out of the command line, in kubectl's words.

A command of `main`. Everything else is made by `apply`. Values of Secrets are never printed.
"""

from __future__ import annotations

import base64
from pathlib import Path

import click

from kubechain.cli import document, options
from kubechain.cli.client import connect
from kubechain.cli.exits import CommandError
from kubechain.resources.json import JsonObject

_WRITE = {"fieldManager": "kubechain-create", "fieldValidation": "Strict"}


@click.group("create")
def create() -> None:
    """Create a Secret or a namespace; `kubechain apply` creates everything else.

    \b
    kubechain create secret generic openai --from-literal=OPENAI_API_KEY=$OPENAI_API_KEY
    kubechain create namespace team-a
    """


@create.group("secret")
def secret() -> None:
    """Create a Secret.

    \b
    kubechain create secret generic openai --from-literal=OPENAI_API_KEY=$OPENAI_API_KEY
    """


@secret.command("generic")
@click.argument("name")
@click.option("--from-literal", "literals", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
@click.option(
    "--from-file",
    "files",
    multiple=True,
    metavar="[KEY=]FILE",
    help="The content of a file; its name is the key. May be repeated.",
)
@click.option("--type", "kind", default="Opaque", show_default=True, help="The Secret's type.")
@click.option("--dry-run", type=click.Choice(["client"]), help="client: create nothing; see -o.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json", "name"]), help="Print the object.")
@options.connection
def generic(
    name: str,
    literals: tuple[str, ...],
    files: tuple[str, ...],
    kind: str,
    dry_run: str | None,
    output: str | None,
    kubeconfig: str | None,
    namespace: str,
) -> None:
    """Create a Secret from values or files.

    \b
    kubechain create secret generic openai --from-literal=OPENAI_API_KEY=$OPENAI_API_KEY
    kubechain create secret generic github --from-file=token=./token.txt
    kubechain create secret generic openai --from-literal=K=V --dry-run=client -o yaml | kubechain apply -f -
    """
    data: JsonObject = {}
    for key, value in [*map(_literal, literals), *map(_file, files)]:
        if key in data:
            raise CommandError(f"secret/{name}: the key {key!r} is given twice: give each key once")
        data[key] = base64.b64encode(value).decode()
    wanted: JsonObject = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": kind,
        "data": data,
    }
    _make(wanted, "secrets", dry_run, output, kubeconfig, namespace)


@create.command("namespace")
@click.argument("name")
@click.option("--dry-run", type=click.Choice(["client"]), help="client: create nothing; see -o.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json", "name"]), help="Print the object.")
@click.option(
    "--kubeconfig", metavar="FILE", help="Default: $KUBECONFIG, else the file that `kubechain up` wrote."
)
def namespace(name: str, dry_run: str | None, output: str | None, kubeconfig: str | None) -> None:
    """Create a namespace.

    \b
    kubechain create namespace team-a
    """
    wanted: JsonObject = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    _make(wanted, "namespaces", dry_run, output, kubeconfig, "")


def _make(
    wanted: JsonObject, plural: str, dry_run: str | None, output: str | None, kubeconfig: str | None, where: str
) -> None:
    """Creates the object, unless it is a dry run, and prints it as asked. Raises ApiError."""
    if not dry_run:
        client = connect(kubeconfig, where)
        scope = f"/namespaces/{client.namespace}" if plural != "namespaces" else ""
        wanted = client.send("POST", f"/api/v1{scope}/{plural}", _WRITE, wanted)
    if output in ("yaml", "json"):
        click.echo(document.as_yaml(wanted) if output == "yaml" else document.as_json(wanted), nl=False)
        return
    meta = wanted["metadata"]
    title = f"{str(wanted['kind']).lower()}/{meta['name'] if isinstance(meta, dict) else ''}"
    click.echo(title if output == "name" else f"{title} created" + (" (dry run)" if dry_run else ""))


def _literal(words: str) -> tuple[str, bytes]:
    key, mark, value = words.partition("=")
    if not key or not mark:
        raise CommandError("--from-literal needs KEY=VALUE, as in --from-literal=OPENAI_API_KEY=sk-...")
    return key, value.encode()


def _file(words: str) -> tuple[str, bytes]:
    key, mark, path = words.rpartition("=")
    try:
        return (key if mark else Path(path).name), Path(path).read_bytes()
    except OSError as error:
        raise CommandError(f"--from-file={words}: {path} cannot be read ({error.strerror})") from None
