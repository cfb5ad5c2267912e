"""Which resources the server has, and the one that a word on the command line means.

Built by the commands that take a TYPE or a manifest. Asks the server once per command; keeps nothing on disk.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubechain.cli.client import Client
from kubechain.cli.exits import CommandError
from kubechain.cli.objects import members, text
from kubechain.resources.json import JsonObject, JsonValue

_ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the server: its names and where its objects lie."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`taskruns.kubechain.humanlayer.dev`; core resources without a group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def title(self) -> str:
        """`taskrun.kubechain.humanlayer.dev`, the prefix of names that kubectl prints."""
        return f"{self.singular}.{self.group}" if self.group else self.singular

    def path(self, namespace: str, name: str = "") -> str:
        """The URL path of the collection or of one object; namespace "" means all of them."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")

    def answers_to(self, word: str) -> bool:
        """Whether a word names it: plural, singular, kind or short name, with or without the group."""
        names = {self.plural, self.singular, self.kind.lower(), *self.short_names}
        bare, _, group = word.partition(".")
        return bare in names and (not group or group in (self.group, f"{self.version}.{self.group}"))


class Discovery:
    """The resources of one server, core ones first."""

    def __init__(self, resources: list[Resource]) -> None:
        self.resources = resources

    @classmethod
    def of(cls, client: Client) -> Discovery:
        """Asks the server."""
        found: list[Resource] = []
        for root in ("/api", "/apis"):
            for group in members(client.get(root, accept=_ACCEPT), "items"):
                found += _resources(group)
        return cls(found)

    def find(self, word: str) -> Resource:
        """The resource that a word means. Raises CommandError, with the nearest names."""
        word = word.lower()
        for resource in self.resources:
            if resource.answers_to(word):
                return resource
        from difflib import get_close_matches

        known = [name for r in self.resources for name in (r.plural, r.singular, *r.short_names)]
        near = get_close_matches(word, known, 1)
        hint = f": did you mean {near[0]}?" if near else ": `kubechain get --help` shows how to name one"
        raise CommandError(f'the server doesn\'t have a resource type "{word}"{hint}')

    def all(self, word: str) -> list[Resource]:
        """The resources of a category, or of a comma-separated list of words."""
        category = [r for r in self.resources if word.lower() in r.categories and "list" in r.verbs]
        return category or [self.find(part) for part in word.split(",") if part]

    def of_object(self, obj: JsonObject) -> Resource:
        """The resource that a manifest's apiVersion and kind mean. Raises CommandError."""
        api_version, kind = text(obj, "apiVersion"), text(obj, "kind")
        for resource in self.resources:
            if (resource.api_version, resource.kind) == (api_version, kind):
                return resource
        raise CommandError(
            f'no matches for kind "{kind}" in version "{api_version}": correct the manifest, '
            "or install the CustomResourceDefinition first"
        )


def _resources(group: JsonObject) -> list[Resource]:
    """The resources of one APIGroupDiscovery, in the group's preferred (first) version."""
    name = text(group, "metadata.name")
    versions = members(group, "versions")
    if not versions:
        return []
    version = text(versions[0], "version")
    return [
        Resource(
            group=name,
            version=version,
            kind=text(found, "responseKind.kind"),
            plural=text(found, "resource"),
            singular=text(found, "singularResource"),
            namespaced=text(found, "scope") == "Namespaced",
            short_names=_words(found.get("shortNames")),
            categories=_words(found.get("categories")),
            verbs=_words(found.get("verbs")),
        )
        for found in members(versions[0], "resources")
    ]


def _words(value: JsonValue) -> tuple[str, ...]:
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, list) else ()
