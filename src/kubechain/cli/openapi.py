"""`kubechain openapi import`: makes a Tool of an OpenAPI document, with what it needs beside it.

A command of `main`. A document from a file goes into a ConfigMap; one from an address is named, and read again by
the program. Credentials are placeholders in a Secret, which is never written over.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from pathlib import Path

import click

from kubechain.cli import document, options
from kubechain.cli.apply import apply_one
from kubechain.cli.client import Client, connect
from kubechain.cli.discover import Discovery
from kubechain.cli.exits import CommandError
from kubechain.errors import NotFound, Terminal
from kubechain.providers.tools.openapi.document import LARGEST, Document, judged
from kubechain.providers.tools.openapi.operations import LeftOut, Operation, Place, operations
from kubechain.providers.tools.openapi.security import Scheme, schemes_of
from kubechain.resources.choice import chosen
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import GROUP, VERSION

PLACEHOLDER = "REPLACE-ME"
KEY = "openapi"
_CONFIG_MAP = 1_000_000
_SECONDS = 30.0


@click.group("openapi")
def openapi() -> None:
    """Create Tools from OpenAPI documents.

    \b
    kubechain openapi import https://example.com/openapi.json --dry-run
    """


@openapi.command("import")
@click.argument("source", metavar="URL|FILE")
@click.option("--name", default="", help="Name of the Tool; default: from the document's title.")
@click.option(
    "--include", multiple=True, metavar="NAME|GLOB", help="Only these operations, by operationId. May be repeated."
)
@click.option(
    "--server", default="", metavar="URL", help="Address of the server; default: the first in the document."
)
@click.option("--allow-private", is_flag=True, help="Allow a server at a private, loopback or link-local address.")
@click.option("--dry-run", is_flag=True, help="Print the manifests and create nothing.")
@options.connection
def import_(
    source: str,
    name: str,
    include: tuple[str, ...],
    server: str,
    allow_private: bool,
    dry_run: bool,
    kubeconfig: str | None,
    namespace: str,
) -> None:
    """Make every operation of an OpenAPI document (3.0 or 3.1) a tool.

    This creates a Tool. The document of a file goes into a ConfigMap; a document at a URL is read again every
    hour. If the document asks for credentials, this also creates a Secret with placeholders for you to fill in. A
    Secret that exists is left as it is.

    \b
    kubechain openapi import https://example.com/openapi.json --dry-run
    kubechain openapi import shop.yaml --name shop --include 'get*'
    """
    text = _text(source)
    try:
        read = judged(text)
        place = Place(server, source if _is_url(source) else "")
        found = [one for one in operations(read, place) if chosen(one.name, include)]
    except Terminal as error:
        raise CommandError(f"{source}: {error}") from error
    name = name or _name(read)
    schemes = _used(found, schemes_of(read))
    tool = _tool(name, source, include, server, allow_private, schemes)
    beside = [] if _is_url(source) else [_config_map(name, text)]
    secret = _secret(name, schemes)
    if dry_run:
        made = [*beside, *([secret] if secret else []), tool]
        click.echo("---\n".join(document.as_yaml(one) for one in made), nl=False)
    else:
        _apply(connect(kubeconfig, namespace), beside, secret, tool)
    _report(found, secret, name)


def _text(source: str) -> str:
    try:
        if not _is_url(source):
            content = Path(source).read_bytes()
        else:
            request = urllib.request.Request(source, headers={"Accept": "application/json, application/yaml"})  # noqa: S310
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
                content = answer.read(LARGEST + 1)
        return content.decode()
    except urllib.error.HTTPError as error:
        raise CommandError(f"{source} answered {error.code}: give the URL of the document itself") from None
    except (OSError, ValueError) as error:
        raise CommandError(f"{source} cannot be read: {error}") from None


def _is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _name(read: Document) -> str:
    info = read.whole.get("info")
    title = info.get("title") if isinstance(info, dict) else ""
    return re.sub(r"[^a-z0-9]+", "-", str(title).lower())[:50].strip("-") or "api"


def _used(found: list[Operation | LeftOut], schemes: dict[str, Scheme]) -> dict[str, Scheme]:
    """The schemes that the operations ask for, of the first alternative of each."""
    named = [name for o in found if isinstance(o, Operation) and o.security for name in o.security[0]]
    return {name: schemes[name] for name in dict.fromkeys(named) if name in schemes}


def _tool(
    name: str,
    source: str,
    include: tuple[str, ...],
    server: str,
    allow_private: bool,
    schemes: dict[str, Scheme],
) -> JsonObject:
    origin: JsonObject = {"url": source} if _is_url(source) else {"configMapKeyRef": {"name": name, "key": KEY}}
    spec: JsonObject = {"documentFrom": origin}
    if include:
        spec["include"] = [*include]
    if server:
        spec["server"] = server
    if schemes:
        spec["auth"] = {scheme: _auth(name, scheme, what) for scheme, what in schemes.items()}
    if allow_private:
        spec["allowPrivate"] = True
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Tool",
        "metadata": {"name": name},
        "spec": {"openapi": spec},
    }


def _auth(name: str, scheme: str, what: Scheme) -> JsonObject:
    def source(part: str) -> JsonObject:
        return {"secretKeyRef": {"name": name, "key": _key(scheme, part)}}

    if what.type == "basic":
        return {"basic": {"usernameFrom": source("username"), "passwordFrom": source("password")}}
    if what.type == "oauth2" and what.token_url:
        return {"oauth2ClientCredentials": {"clientIDFrom": source("id"), "clientSecretFrom": source("secret")}}
    return source("")


def _key(scheme: str, part: str) -> str:
    """A key of the Secret."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "-", scheme)
    return f"{plain}-{part}" if part else plain


def _secret(name: str, schemes: dict[str, Scheme]) -> JsonObject | None:
    """The Secret with placeholders; None where no credentials are needed."""
    keys: list[str] = []
    for scheme, what in schemes.items():
        parts = ("username", "password") if what.type == "basic" else ("",)
        parts = ("id", "secret") if what.type == "oauth2" and what.token_url else parts
        keys += [_key(scheme, part) for part in parts]
    if not keys:
        return None
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": dict.fromkeys(keys, PLACEHOLDER),
    }


def _config_map(name: str, text: str) -> JsonObject:
    if len(text.encode()) > _CONFIG_MAP:
        raise CommandError(
            "the document does not fit into a ConfigMap: publish it, and give its URL in place of the file"
        )
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {KEY: text}}


def _apply(client: Client, beside: list[JsonObject], secret: JsonObject | None, tool: JsonObject) -> None:
    known = Discovery.of(client)
    if secret is not None and not _exists(client, known, secret):
        click.echo(apply_one(client, known, secret))
    for one in (*beside, tool):
        click.echo(apply_one(client, known, one))


def _exists(client: Client, known: Discovery, secret: JsonObject) -> bool:
    meta = secret["metadata"]
    name = str(meta["name"]) if isinstance(meta, dict) else ""
    try:
        client.get(known.of_object(secret).path(client.namespace, name))
    except NotFound:
        return False
    return True


def _report(found: list[Operation | LeftOut], secret: JsonObject | None, name: str) -> None:
    """What people should know besides, on stderr."""
    left = [one for one in found if isinstance(one, LeftOut)]
    options.complain(f"{len(found) - len(left)} operations become tools")
    for one in left:
        options.complain(f"{one.name} is left out: {one.why}")
    if secret is not None:
        data = secret["stringData"]
        keys = ", ".join(data) if isinstance(data, dict) else ""
        options.complain(f"put the credentials into Secret {name} (keys: {keys})")
