"""Role-based access control.

Called by `access` and `reviews`. Reads roles and bindings through the port `Api`, never writes, never caches.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import msgspec

from kubechain.errors import NotFound
from kubechain.resources.builtin import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from kubechain.resources.json import JsonObject
from kubechain.runtime.api import Api
from kubechain.server.settings import User

MASTERS = "system:masters"
RBAC = "rbac.authorization.k8s.io"


class Request(msgspec.Struct, frozen=True):
    """A verb on a resource, or on a `path` that is not a resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class PolicyRule(msgspec.Struct, rename="camel", omit_defaults=True):
    """One rule of a role."""

    verbs: list[str] = []
    api_groups: list[str] = []
    resources: list[str] = []
    resource_names: list[str] = []
    non_resource_urls: list[str] = msgspec.field(default_factory=list, name="nonResourceURLs")

    def allows(self, request: Request) -> bool:
        if not _one_of(self.verbs, request.verb):
            return False
        if request.path:
            return any(_path_matches(url, request.path) for url in self.non_resource_urls)
        if not _one_of(self.api_groups, request.group) or not self._names_resource(request):
            return False
        return not self.resource_names or request.name in self.resource_names

    def covers(self, part: PolicyRule) -> bool:
        """Whether whoever has this rule has the part too: a rule of one verb on one thing."""
        return (
            all(_one_of(self.verbs, verb) for verb in part.verbs)
            and all(_one_of(self.api_groups, group) for group in part.api_groups)
            and all(self._covers_resource(resource) for resource in part.resources)
            and (not self.resource_names or _all_in(part.resource_names, self.resource_names))
            and all(any(_path_covers(u, url) for u in self.non_resource_urls) for url in part.non_resource_urls)
        )

    def _covers_resource(self, resource: str) -> bool:
        _, slash, subresource = resource.partition("/")
        return _one_of(self.resources, resource) or (bool(slash) and f"*/{subresource}" in self.resources)

    def _names_resource(self, request: Request) -> bool:
        if not request.subresource:
            return _one_of(self.resources, request.resource)
        full = f"{request.resource}/{request.subresource}"
        return _one_of(self.resources, full) or f"*/{request.subresource}" in self.resources


class _Role(msgspec.Struct):
    rules: list[PolicyRule] | None = None


class _Subject(msgspec.Struct):
    kind: str = ""
    name: str = ""
    namespace: str = ""

    def is_user(self, user: User, namespace: str) -> bool:
        match self.kind:
            case "User":
                return self.name == user.name
            case "Group":
                return self.name in user.groups
            case "ServiceAccount":
                return user.name == f"system:serviceaccount:{self.namespace or namespace}:{self.name}"
        return False


class _RoleRef(msgspec.Struct):
    kind: str = ""
    name: str = ""


class _Binding(msgspec.Struct, rename="camel"):
    role_ref: _RoleRef
    subjects: list[_Subject] | None = None


_OWN = ["selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"]
EVERYONE = (
    PolicyRule(["create"], ["authentication.k8s.io", "authorization.k8s.io"], _OWN),
    PolicyRule(["get"], non_resource_urls=["/", "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"]),
    PolicyRule(["get"], non_resource_urls=["/healthz", "/livez", "/readyz", "/version", "/version/"]),
)
"""What every authenticated user may do."""

EVERYTHING = [PolicyRule(["*"], ["*"], ["*"]), PolicyRule(["*"], non_resource_urls=["*"])]
"""What cluster-admin may do, and everyone in system:masters."""

_ROLE = msgspec.json.Decoder(_Role)
_BINDING = msgspec.json.Decoder(_Binding)


async def allows(api: Api, user: User, request: Request) -> bool:
    """Whether the user may do it. Members of system:masters may do everything."""
    if MASTERS in user.groups:
        return True
    async for rules in granted(api, user, request.namespace):
        if any(rule.allows(request) for rule in rules):
            return True
    return False


async def granted(api: Api, user: User, namespace: str) -> AsyncIterator[Iterable[PolicyRule]]:
    """The rules that apply to the user, everywhere and in the namespace (where one is given)."""
    if MASTERS in user.groups:
        yield EVERYTHING
        return
    if "system:authenticated" in user.groups:
        yield EVERYONE
    for document in (await api.list(CLUSTER_ROLE_BINDINGS.raw)).items:
        yield await _bound(api, user, document, "")
    if namespace:
        for document in (await api.list(ROLE_BINDINGS.raw, namespace)).items:
            yield await _bound(api, user, document, namespace)


async def held(api: Api, user: User, namespace: str) -> list[PolicyRule]:
    """The same, in one list."""
    return [rule async for rules in granted(api, user, namespace) for rule in rules]


async def rules_of(api: Api, kind: str, name: str, namespace: str) -> list[PolicyRule]:
    """The rules of a Role or ClusterRole. Raises NotFound."""
    try:
        document = await (
            api.get(ROLES.raw, name, namespace) if kind == "Role" else api.get(CLUSTER_ROLES.raw, name)
        )
    except NotFound:
        if kind == "ClusterRole" and name == "cluster-admin":
            return EVERYTHING  # whatever becomes of the stored one
        raise
    return _ROLE.decode(document).rules or []


def rules_in(role: JsonObject) -> list[PolicyRule]:
    """The rules of a role as a client sends it."""
    rules = role.get("rules")
    sent = [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []
    said = [{name: value for name, value in rule.items() if value is not None} for rule in sent]
    return msgspec.convert(said, list[PolicyRule])


async def _bound(api: Api, user: User, document: bytes, namespace: str) -> list[PolicyRule]:
    """The rules of the role in a binding, none where the binding is not about this user."""
    binding = _BINDING.decode(document)
    if not any(subject.is_user(user, namespace) for subject in binding.subjects or ()):
        return []
    try:
        return await rules_of(api, binding.role_ref.kind, binding.role_ref.name, namespace)
    except NotFound:
        return []


def _one_of(allowed: list[str], wanted: str) -> bool:
    return "*" in allowed or wanted in allowed


def _all_in(names: list[str], allowed: list[str]) -> bool:
    return bool(names) and all(name in allowed for name in names)


def _path_matches(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


def _path_covers(pattern: str, path: str) -> bool:
    return path == pattern or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))
