"""Which objects a command line asks for: by type and name, by selectors, or by the manifests of files.

Used by `get`, `wait`, `delete` and `settle`. Reads through one client; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kubechain.cli import document, options
from kubechain.cli.client import Client
from kubechain.cli.discover import Discovery, Resource
from kubechain.cli.exits import CommandError
from kubechain.cli.objects import members, text
from kubechain.resources.json import JsonObject


@dataclass(frozen=True)
class Selectors:
    """Which objects of a type: those with these labels and these fields; "" is no condition."""

    labels: str = ""
    fields: str = ""

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)


EVERY = Selectors()


@dataclass(frozen=True)
class Wanted:
    """Objects of one resource: all of them in a namespace ("" is every namespace), or one by name."""

    resource: Resource
    namespace: str
    name: str = ""
    selectors: Selectors = EVERY

    @property
    def path(self) -> str:
        return self.resource.path(self.namespace, self.name)

    @property
    def query(self) -> dict[str, str]:
        picked = {"labelSelector": self.selectors.labels, "fieldSelector": self.selectors.fields}
        return {key: value for key, value in picked.items() if value}


def resolve(
    words: tuple[str, ...], known: Discovery, namespace: str, selectors: Selectors = EVERY
) -> list[Wanted]:
    """What the words of the command line ask for. Raises CommandError."""
    if len(words) == 1 and "/" not in words[0]:
        return [Wanted(r, namespace if r.namespaced else "", "", selectors) for r in known.all(words[0])]
    if selectors:
        raise CommandError("selectors (-l, --field-selector) go with a TYPE and no names: leave out one of them")
    named = [(known.find(kind), name) for kind, name in options.references(words)]
    if not namespace and any(resource.namespaced for resource, _ in named):
        raise CommandError("an object cannot be asked for by name in every namespace: use -n instead of -A")
    return [Wanted(r, namespace if r.namespaced else "", name) for r, name in named]


def in_manifests(client: Client, known: Discovery, sources: Iterable[str], *, recursive: bool) -> list[Wanted]:
    """The objects that manifests name, in their order. Raises CommandError."""
    return [_of(client, known, manifest) for _, manifest in document.read(sources, recursive=recursive)]


def _of(client: Client, known: Discovery, manifest: JsonObject) -> Wanted:
    resource = known.of_object(manifest)
    namespace = text(manifest, "metadata.namespace") or client.namespace
    return Wanted(resource, namespace if resource.namespaced else "", text(manifest, "metadata.name"))


def fetch(client: Client, wanted: Wanted) -> list[JsonObject]:
    """The objects themselves, each with its apiVersion and kind."""
    answer = client.get(wanted.path, wanted.query)
    if wanted.name:
        return [answer]
    head: JsonObject = {"apiVersion": wanted.resource.api_version, "kind": wanted.resource.kind}
    return [head | item for item in members(answer, "items")]


def each(client: Client, wanted: Iterable[Wanted]) -> list[Wanted]:
    """Every object by its name: a type becomes those of its objects that are there now."""
    found: list[Wanted] = []
    for one in wanted:
        if one.name:
            found.append(one)
        else:
            for obj in fetch(client, one):
                where = text(obj, "metadata.namespace")
                found.append(Wanted(one.resource, where, text(obj, "metadata.name")))
    return found
