"""`kubechain get`: objects as kubectl prints them: the server's tables, YAML, JSON, names, one field.

A command of `main`. Never decides what a column holds: the server does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import click

from kubechain.cli import document, jsonpath, options
from kubechain.cli.changes import Deadline, resumed
from kubechain.cli.client import TABLE, Client, connect
from kubechain.cli.discover import Discovery, Resource
from kubechain.cli.exits import FAILED, CommandError
from kubechain.cli.failure import explained
from kubechain.cli.objects import members, qualified, text
from kubechain.cli.table import Columns
from kubechain.errors import NotFound
from kubechain.resources.json import JsonObject


@dataclass(frozen=True)
class Wanted:
    """Objects of one resource: all of them in a namespace ("" = every one), or one by name."""

    resource: Resource
    namespace: str
    name: str = ""
    selector: str = ""

    @property
    def path(self) -> str:
        return self.resource.path(self.namespace, self.name)

    @property
    def query(self) -> dict[str, str]:
        return {"labelSelector": self.selector} if self.selector else {}


@click.command("get")
@click.argument("words", nargs=-1, required=True, metavar="TYPE [NAME...] | TYPE/NAME...")
@options.connection
@click.option("-A", "--all-namespaces", is_flag=True, help="Objects of every namespace.")
@click.option("-o", "--output", default="", metavar="FORM", help="wide, yaml, json, name or jsonpath={.a.b}.")
@click.option("-l", "--selector", default="", metavar="LABELS", help="Only objects with these labels: a=b,c!=d")
@click.option("-w", "--watch", "follow", is_flag=True, help="Go on printing rows as objects change.")
@click.option("--no-headers", is_flag=True, help="Rows without the line of column names.")
@click.pass_context
def get(
    ctx: click.Context,
    words: tuple[str, ...],
    kubeconfig: str | None,
    namespace: str,
    all_namespaces: bool,
    output: str,
    selector: str,
    follow: bool,
    no_headers: bool,
) -> None:
    """Print objects the way kubectl prints them.

    \b
    kubechain get taskrun                        every run of the namespace
    kubechain get taskrun hello-world-run -o yaml
    kubechain get llm,agent,task -o wide
    kubechain get kubechain                      every object of our kinds
    kubechain get taskrun -w                     rows as they change, until Ctrl-C
    kubechain get taskrun hello-world-run -o jsonpath='{.status.phase}'
    """
    client = connect(kubeconfig, namespace)
    wanted = resolve(words, Discovery.of(client), "" if all_namespaces else client.namespace, selector)
    if output in ("", "wide"):
        columns = Columns(wide=output == "wide", namespaces=all_namespaces)
        if follow:
            _follow(client, wanted, columns, header=not no_headers)
        elif not print_tables(client, wanted, columns, header=not no_headers):
            ctx.exit(FAILED)
        return
    if follow:
        raise CommandError("-w prints tables only: leave out -o, or use `kubechain wait` for one field")
    click.echo(rendered(client, wanted, output), nl=False)


def resolve(words: tuple[str, ...], known: Discovery, namespace: str, selector: str = "") -> list[Wanted]:
    """What the words of the command line ask for. Raises CommandError."""
    if len(words) == 1 and "/" not in words[0]:
        return [Wanted(r, namespace if r.namespaced else "", "", selector) for r in known.all(words[0])]
    named = [(known.find(kind), name) for kind, name in options.references(words)]
    if not namespace and any(resource.namespaced for resource, _ in named):
        raise CommandError("an object cannot be asked for by name in every namespace: use -n instead of -A")
    return [Wanted(r, namespace if r.namespaced else "", name) for r, name in named]


def rendered(client: Client, wanted: list[Wanted], output: str) -> str:
    """The objects as -o yaml, json, name or jsonpath writes them."""
    form, _, template = output.partition("=")
    if form not in ("yaml", "json", "name", "jsonpath"):
        raise CommandError(f"-o {output} is not known: use wide, yaml, json, name or jsonpath={{.a.b}}")
    objects = [obj for one in wanted for obj in fetch(client, one)]
    if form == "name":
        return "".join(f"{qualified(obj)}\n" for obj in objects)
    single = len(wanted) == 1 and bool(wanted[0].name)
    whole = objects[0] if single else document.as_list(objects)
    if form == "jsonpath":
        return jsonpath.render(whole, template)
    return document.as_yaml(whole) if form == "yaml" else document.as_json(whole)


def fetch(client: Client, wanted: Wanted) -> list[JsonObject]:
    """The objects themselves, each with its apiVersion and kind."""
    answer = client.get(wanted.path, wanted.query)
    if wanted.name:
        return [answer]
    head: JsonObject = {"apiVersion": wanted.resource.api_version, "kind": wanted.resource.kind}
    return [head | item for item in members(answer, "items")]


def print_tables(client: Client, wanted: list[Wanted], columns: Columns, *, header: bool = True) -> bool:
    """Prints the server's table of each resource, as kubectl does; False where a named object is not there."""
    printed, missing = False, list[NotFound]()
    for resource, group in groupby(wanted, key=lambda one: one.resource):
        prefix = resource.title if len({one.resource for one in wanted}) > 1 else ""
        table = merged(_tables(client, group, missing))
        if not members(table, "rows"):
            continue
        if printed and prefix:
            click.echo()
        click.echo("\n".join(columns.fresh(prefix).lines(table, header=header)))
        printed = True
    for error in missing:
        options.complain(explained(error))
    if not printed and not missing:
        where = f" in {wanted[0].namespace} namespace" if wanted[0].namespace else ""
        options.complain(f"No resources found{where}.")
    return not missing


def _tables(client: Client, group: Iterable[Wanted], missing: list[NotFound]) -> list[JsonObject]:
    """The table of each; the error of what is not there goes to `missing`."""
    found: list[JsonObject] = []
    for one in group:
        try:
            found.append(client.get(one.path, one.query, TABLE))
        except NotFound as error:
            missing.append(error)
    return found


def merged(tables: list[JsonObject]) -> JsonObject:
    """Several tables of one resource as one."""
    rows = [row for table in tables for row in members(table, "rows")]
    return {**tables[0], "rows": [*rows]} if tables else {}


def _follow(client: Client, wanted: list[Wanted], columns: Columns, *, header: bool) -> None:
    if len(wanted) != 1:
        raise CommandError("-w follows one TYPE, or one object: name just one")
    one = wanted[0]
    collection = one.resource.path(one.namespace)
    query = one.query | ({"fieldSelector": f"metadata.name={one.name}"} if one.name else {})
    table = client.get(collection, query, TABLE)
    pending = header
    if members(table, "rows"):
        click.echo("\n".join(columns.lines(table, header=pending)))
        pending = False
    else:
        columns.lines(table)
    version = text(table, "metadata.resourceVersion")
    for event in resumed(client, collection, query, version, Deadline(None), TABLE):
        click.echo("\n".join(columns.lines(event.object, header=pending)))
        pending = False
