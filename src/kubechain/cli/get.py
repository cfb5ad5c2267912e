"""`kubechain get`: objects as kubectl prints them: the server's tables, YAML, JSON, names, one field.

A command of `main`. Never decides what a column holds: the server does.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import click

from kubechain.cli import columns, document, jsonpath, options
from kubechain.cli.changes import Deadline, resumed
from kubechain.cli.client import TABLE, Client, connect
from kubechain.cli.discover import Discovery
from kubechain.cli.exits import FAILED, CommandError
from kubechain.cli.failure import explained
from kubechain.cli.objects import mapping, members, qualified, text
from kubechain.cli.table import Columns
from kubechain.cli.wanted import Selectors, Wanted, fetch, in_manifests, resolve
from kubechain.errors import NotFound
from kubechain.resources.json import JsonObject, JsonValue

FORMS = ("yaml", "json", "name", "jsonpath", "custom-columns")


@click.command("get")
@click.argument("words", nargs=-1, metavar="[TYPE [NAME...] | TYPE/NAME...]")
@options.connection
@options.manifests
@click.option("-A", "--all-namespaces", is_flag=True, help="Objects of every namespace.")
@click.option(
    "-o",
    "--output",
    default="",
    metavar="FORM",
    help="wide, yaml, json, name, jsonpath={.a.b} or custom-columns=NAME:.metadata.name,...",
)
@options.selectors
@click.option(
    "--sort-by", default="", metavar="PATH", help="Order by a field, as in {.metadata.creationTimestamp}."
)
@click.option("-w", "--watch", "follow", is_flag=True, help="After the list, print a row for every change.")
@click.option("--no-headers", is_flag=True, help="Leave out the line with the column names.")
@click.pass_context
def get(
    ctx: click.Context,
    words: tuple[str, ...],
    kubeconfig: str | None,
    namespace: str,
    sources: tuple[str, ...],
    recursive: bool,
    all_namespaces: bool,
    output: str,
    labels: str,
    fields: str,
    sort_by: str,
    follow: bool,
    no_headers: bool,
) -> None:
    """Print objects the way kubectl prints them.

    \b
    kubechain get taskrun                        every TaskRun in the namespace
    kubechain get taskrun hello-world-run -o yaml
    kubechain get llm,agent,task -o wide
    kubechain get kubechain                      every object of KubeChain's kinds
    kubechain get taskrun -w                     rows as objects change, until Ctrl-C
    kubechain get taskrun --field-selector status.phase=Failed --sort-by .status.startTime
    kubechain get taskrun hello-world-run -o jsonpath='{.status.phase}'
    kubechain get taskrun -o custom-columns=NAME:.metadata.name,ANSWER:.status.output
    """
    if bool(words) == bool(sources):
        raise click.UsageError("name a TYPE, or manifests with -f", ctx)
    client = connect(kubeconfig, namespace)
    known = Discovery.of(client)
    where = "" if all_namespaces else client.namespace
    if sources:
        wanted = in_manifests(client, known, sources, recursive=recursive)
    else:
        wanted = resolve(words, known, where, Selectors(labels, fields))
    if output in ("", "wide"):
        table = Columns(wide=output == "wide", namespaces=all_namespaces)
        if follow:
            _follow(client, wanted, table, header=not no_headers)
        elif not print_tables(client, wanted, table, header=not no_headers, sort_by=sort_by):
            ctx.exit(FAILED)
        return
    if follow:
        raise CommandError("-w prints tables only: leave out -o, or use `kubechain wait` for one field")
    click.echo(rendered(client, wanted, output, sort_by=sort_by, header=not no_headers), nl=False)


def rendered(client: Client, wanted: list[Wanted], output: str, *, sort_by: str = "", header: bool = True) -> str:
    """The objects as -o yaml, json, name, jsonpath or custom-columns writes them."""
    form, _, template = output.partition("=")
    if form not in FORMS:
        raise CommandError(
            f"-o {output} is not known: use wide, yaml, json, name, jsonpath={{.a.b}} or custom-columns=NAME:.a.b"
        )
    objects = [obj for one in wanted for obj in fetch(client, one)]
    objects = columns.ordered(objects, sort_by) if sort_by else objects
    if form == "name":
        return "".join(f"{qualified(obj)}\n" for obj in objects)
    if form == "custom-columns":
        return "".join(f"{line}\n" for line in columns.custom(objects, template, header=header))
    single = len(wanted) == 1 and bool(wanted[0].name)
    whole = objects[0] if single else document.as_list(objects)
    if form == "jsonpath":
        return jsonpath.render(whole, template)
    return document.as_yaml(whole) if form == "yaml" else document.as_json(whole)


def print_tables(
    client: Client, wanted: list[Wanted], table: Columns, *, header: bool = True, sort_by: str = ""
) -> bool:
    """Prints the server's table of each resource, as kubectl does; False where a named object is not there."""
    printed, missing = False, list[NotFound]()
    for resource, group in groupby(wanted, key=lambda one: one.resource):
        prefix = resource.title if len({one.resource for one in wanted}) > 1 else ""
        answer = merged(_tables(client, group, missing, objects=bool(sort_by)))
        if not members(answer, "rows"):
            continue
        if sort_by:
            answer["rows"] = _sorted_rows(members(answer, "rows"), sort_by)
        if printed and prefix:
            click.echo()
        click.echo("\n".join(table.fresh(prefix).lines(answer, header=header)))
        printed = True
    for error in missing:
        options.complain(explained(error))
    if not printed and not missing:
        where = f" in {wanted[0].namespace} namespace" if wanted[0].namespace else ""
        options.complain(f"No resources found{where}.")
    return not missing


def _sorted_rows(rows: list[JsonObject], path: str) -> list[JsonValue]:
    """Rows that carry their objects, in the order of a field of these."""
    by_object = {id(obj): row for row in rows if (obj := mapping(row, "object"))}
    return [by_object[id(obj)] for obj in columns.ordered([mapping(row, "object") for row in rows], path)]


def _tables(
    client: Client, group: Iterable[Wanted], missing: list[NotFound], *, objects: bool
) -> list[JsonObject]:
    """The table of each, with whole `objects` in its rows or not; errors of what is not there go to `missing`."""
    more = {"includeObject": "Object"} if objects else {}
    found: list[JsonObject] = []
    for one in group:
        try:
            found.append(client.get(one.path, one.query | more, TABLE))
        except NotFound as error:
            missing.append(error)
    return found


def merged(tables: list[JsonObject]) -> JsonObject:
    """Several tables of one resource as one."""
    rows = [row for table in tables for row in members(table, "rows")]
    return {**tables[0], "rows": [*rows]} if tables else {}


def _follow(client: Client, wanted: list[Wanted], shown: Columns, *, header: bool) -> None:
    if len(wanted) != 1:
        raise CommandError("-w watches one TYPE or one object: name only one")
    one = wanted[0]
    collection = one.resource.path(one.namespace)
    query = one.query | ({"fieldSelector": f"metadata.name={one.name}"} if one.name else {})
    table = client.get(collection, query, TABLE)
    pending = header
    if members(table, "rows"):
        click.echo("\n".join(shown.lines(table, header=pending)))
        pending = False
    else:
        shown.lines(table)
    version = text(table, "metadata.resourceVersion")
    for event in resumed(client, collection, query, version, Deadline(None), TABLE):
        click.echo("\n".join(shown.lines(event.object, header=pending)))
        pending = False
