"""`kubechain describe`: all fields of one object, and its Events.

A command of `main`. A run's conversation is shown as a transcript; everything else as kubectl shows it.
"""

from __future__ import annotations

import re
import sys
from itertools import groupby

import click

from kubechain.cli import options, transcript
from kubechain.cli.client import Client, connect
from kubechain.cli.discover import Discovery
from kubechain.cli.history import History
from kubechain.cli.objects import mapping, members, printable, scalar, text
from kubechain.cli.table import aligned
from kubechain.cli.transcript import elapsed, label_of_run
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.runtime import clock

_ACRONYMS = {"Api": "API", "Uid": "UID", "Url": "URL"}
"""Those that kubectl knows."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[^A-Za-z0-9]+")
_META = (
    "creationTimestamp",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "ownerReferences",
    "resourceVersion",
    "uid",
)


Row = tuple[str, str | None]
"""What stands left, and the value beside it (None: the value is what follows)."""


@click.command("describe")
@click.argument("words", nargs=-1, required=True, metavar="TYPE NAME... | TYPE/NAME...")
@options.connection
def describe(words: tuple[str, ...], kubeconfig: str | None, namespace: str) -> None:
    """Show all about an object, Events too.

    \b
    kubechain describe agent my-assistant
    kubechain describe taskrun/hello-world-run
    """
    client = connect(kubeconfig, namespace)
    known = Discovery.of(client)
    told = []
    for kind, name in options.references(words):
        resource = known.find(kind)
        obj = client.get(resource.path(client.namespace if resource.namespaced else "", name))
        rows = [*described(obj), *_conversation(client, known, obj), *_events(client, obj)]
        told.append("\n".join(printable(line) for line in stacked(rows)))
    click.echo("\n\n\n".join(told))


def described(obj: JsonObject) -> list[Row]:
    """An object's fields as rows."""
    head: list[Row] = [
        ("Name:", text(obj, "metadata.name")),
        ("Namespace:", text(obj, "metadata.namespace")),
        *_pairs("Labels:", mapping(obj, "metadata.labels"), "="),
        *_pairs("Annotations:", mapping(obj, "metadata.annotations"), ": "),
        ("API Version:", text(obj, "apiVersion")),
        ("Kind:", text(obj, "kind")),
    ]
    meta: JsonObject = {key: value for key in _META if (value := mapping(obj, "metadata").get(key))}
    body = {k: _hidden(obj, k, v) for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata")}
    return [*head, *fields({"metadata": meta, **body})]


def fields(value: JsonObject, indent: int = 0) -> list[Row]:
    """A mapping as rows `Title Case:`, value; what is nested follows its title, further in."""
    rows: list[Row] = []
    for key, member in sorted(value.items(), key=lambda entry: title(entry[0])):
        name = " " * indent + f"{title(key)}:"
        if isinstance(member, (dict, list)) or "\n" in scalar(member).strip():
            rows += [(name, None), *_nested(member, indent + 2)]
        else:
            rows.append((name, scalar(member).strip()))
    return rows


def stacked(rows: list[Row]) -> list[str]:
    """Rows as lines; neighbours that have values have them under each other, as kubectl aligns them."""
    lines: list[str] = []
    for has_value, group in groupby(rows, key=lambda row: row[1] is not None):
        block = list(group)
        widest = max(len(name) for name, _ in block) + 2 if has_value else 0
        lines += [f"{name.ljust(widest)}{value or ''}".rstrip() for name, value in block]
    return lines


def title(key: str) -> str:
    """`toolCallId` -> `Tool Call ID`."""
    return " ".join(_ACRONYMS.get(w.capitalize(), w[:1].upper() + w[1:]) for w in _WORD.findall(key))


def _nested(member: JsonValue, indent: int) -> list[Row]:
    if isinstance(member, dict):
        return fields(member, indent)
    if isinstance(member, list):
        return [row for item in member for row in _nested(item, indent)]
    return [(" " * indent + line, None) for line in scalar(member).strip().splitlines()]


def _pairs(name: str, pairs: JsonObject, between: str) -> list[Row]:
    shown = [f"{k}{between}{scalar(v)}" for k, v in pairs.items() if not k.endswith("last-applied-configuration")]
    return [(name if i == 0 else "", line) for i, line in enumerate(shown or ["<none>"])]


def _hidden(obj: JsonObject, key: str, value: JsonValue) -> JsonValue:
    """Shows only the size of Secrets, and leaves the conversation out (it is shown below)."""
    if text(obj, "kind") == "Secret" and key == "data" and isinstance(value, dict):
        return {name: f"{len(scalar(v)) * 3 // 4} bytes" for name, v in value.items()}
    if text(obj, "kind") == "TaskRun" and key == "status" and isinstance(value, dict):
        return {name: member for name, member in value.items() if name not in ("messages", "output")}
    return value


def _conversation(client: Client, known: Discovery, obj: JsonObject) -> list[Row]:
    if text(obj, "kind") != "TaskRun":
        return []
    name, path = text(obj, "metadata.name"), known.find("toolcalls").path(text(obj, "metadata.namespace"))
    calls = members(client.get(path, {"labelSelector": label_of_run(name)}), "items")
    told = transcript.entries(History(client, known).whole(obj), calls)
    width = transcript.width_of(sys.stdout)
    said: list[Row] = [(f"  {line}", None) for entry in told for line in transcript.lines(entry, width=width)]
    return [("Conversation:", None), *said] if said else [("Conversation:", "<none yet>")]


def _events(client: Client, obj: JsonObject) -> list[Row]:
    about = f"involvedObject.uid={text(obj, 'metadata.uid')}"
    namespace = text(obj, "metadata.namespace") or "default"
    found = members(client.get(f"/api/v1/namespaces/{namespace}/events", {"fieldSelector": about}), "items")
    if not found:
        return [("Events:", "<none>")]
    rows = [["Type", "Reason", "Age", "From", "Message"], ["----", "------", "----", "----", "-------"]]
    for event in sorted(found, key=_last):
        source = text(event, "reportingComponent") or text(event, "source.component")
        rows.append([text(event, "type"), text(event, "reason"), _age(event), source, text(event, "message")])
    return [("Events:", None), *((f"  {line}", None) for line in aligned(rows))]


def _last(event: JsonObject) -> str:
    times = ("series.lastObservedTime", "lastTimestamp", "eventTime", "metadata.creationTimestamp")
    return next((text(event, path) for path in times if text(event, path)), "")


def _age(event: JsonObject) -> str:
    now = clock.now().isoformat()
    age = elapsed(_last(event), now)
    count = text(event, "series.count") or text(event, "count")
    if count not in ("", "0", "1"):
        first = text(event, "firstTimestamp") or text(event, "eventTime") or _last(event)
        return f"{age} (x{count} over {elapsed(first, now)})"
    return age
