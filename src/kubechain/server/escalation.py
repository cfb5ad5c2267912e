"""Checks roles and bindings that are written: users cannot grant rights that they do not hold.

Called by `write` before it stores one. The verbs `escalate` (on a role) and `bind` (on the role of a binding) lift
this, as on a Kubernetes API server; members of system:masters are never asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from kubechain.errors import Details, Forbidden, NotFound
from kubechain.resources.json import JsonObject, JsonValue, lookup
from kubechain.resources.refusals import not_found
from kubechain.server import roles
from kubechain.server.causes import shown
from kubechain.server.roles import RBAC, PolicyRule, Request
from kubechain.server.scope import RequestScope

_COLLECTED = ("ownerReferences", "finalizers", "managedFields")
"""Metadata that the garbage collector changes, whatever it holds itself."""


def guarded(scope: RequestScope) -> bool:
    """Whether a write of this kind can grant rights to somebody."""
    return scope.target.served.kind.group == RBAC and roles.MASTERS not in scope.user.groups


async def confirm(scope: RequestScope, old: JsonObject | None, new: JsonObject) -> None:
    """Raises Forbidden where the user would grant what they do not hold, NotFound where the role is missing."""
    if not guarded(scope) or (old is not None and _lasting(old) == _lasting(new)):
        return
    if scope.target.served.kind.kind in ("Role", "ClusterRole"):
        await _confirm_role(scope, old, new)
    else:
        await _confirm_binding(scope, new)


async def _confirm_role(scope: RequestScope, old: JsonObject | None, new: JsonObject) -> None:
    kind, namespace = scope.target.served.kind, scope.target.namespace
    request = Request("escalate", RBAC, kind.plural, namespace=namespace, name=scope.target.name)
    if await roles.allows(scope.api, scope.user, request):
        return
    held = await roles.held(scope.api, scope.user, namespace)
    _compare(scope, new, held, roles.rules_in(new))
    if (_gathers(new) or _gathers(old or {})) and missing(held, roles.EVERYTHING):
        raise _refusal(scope, new, "must have cluster-admin privileges to use the aggregationRule")


async def _confirm_binding(scope: RequestScope, new: JsonObject) -> None:
    kind, name = (str(lookup(new, f"roleRef.{member}") or "") for member in ("kind", "name"))
    namespace = scope.target.namespace
    plural = {"Role": "roles", "ClusterRole": "clusterroles"}.get(kind, "")
    if not plural or not name or (kind == "Role" and not namespace):
        return  # admission refuses it
    request = Request("bind", RBAC, plural, namespace=namespace, name=name)
    if await roles.allows(scope.api, scope.user, request):
        return
    try:
        granted = await roles.rules_of(scope.api, kind, name, namespace)
    except NotFound:  # a real server names the kind of the binding, and the name of the role
        raise not_found(scope.target.served.kind, name) from None
    _compare(scope, new, await roles.held(scope.api, scope.user, namespace), granted)


def _compare(
    scope: RequestScope, new: JsonObject, held: Sequence[PolicyRule], granted: Sequence[PolicyRule]
) -> None:
    lacking = missing(held, granted)
    if lacking:
        groups = " ".join(map(shown, scope.user.groups))
        doing = "is attempting to grant RBAC permissions not currently held"
        told = "\n".join(sorted({_shown(rule) for rule in compact(lacking)}))
        raise _refusal(scope, new, f"user {shown(scope.user.name)} (groups=[{groups}]) {doing}:\n{told}")


def _refusal(scope: RequestScope, new: JsonObject, text: str) -> Forbidden:
    kind, metadata = scope.target.served.kind, new.get("metadata")
    name = str(metadata.get("name") or "") if isinstance(metadata, dict) else ""
    about = Details(name=name, group=kind.group, kind=kind.plural)
    return Forbidden(f"{kind.qualified} {shown(name)} is forbidden: {text}", about)


def missing(held: Sequence[PolicyRule], granted: Sequence[PolicyRule]) -> list[PolicyRule]:
    """What is granted and not held, each a rule of one verb on one thing."""
    single = (part for rule in granted for part in _parts(rule))
    return [part for part in single if not any(rule.covers(part) for rule in held)]


def compact(rules: Sequence[PolicyRule]) -> list[PolicyRule]:
    """Rules of one thing each, those about the same thing made one."""
    found: dict[tuple[str, ...], PolicyRule] = {}
    for rule in rules:
        about = (*rule.api_groups, "\0", *rule.resources, "\0", *rule.resource_names)
        key = (*about, *rule.verbs, *rule.non_resource_urls) if rule.non_resource_urls else about
        known = found.get(key)
        found[key] = rule if known is None else replace(known, verbs=[*known.verbs, *rule.verbs])
    return list(found.values())


def _parts(rule: PolicyRule) -> Iterator[PolicyRule]:
    for group in rule.api_groups:
        for resource in rule.resources:
            for verb in rule.verbs:
                for names in [[name] for name in rule.resource_names] or [[]]:
                    yield PolicyRule([verb], [group], [resource], names)
    for url in rule.non_resource_urls:
        for verb in rule.verbs:
            yield PolicyRule([verb], non_resource_urls=[url])


def _shown(rule: PolicyRule) -> str:
    members = (
        ("APIGroups", rule.api_groups),
        ("Resources", rule.resources),
        ("NonResourceURLs", rule.non_resource_urls),
        ("ResourceNames", rule.resource_names),
        ("Verbs", rule.verbs),
    )
    return "{" + ", ".join(f"{name}:[{' '.join(map(shown, v))}]" for name, v in members if v) + "}"


def _gathers(role: JsonObject) -> bool:
    aggregation = role.get("aggregationRule")
    return isinstance(aggregation, dict) and bool(aggregation.get("clusterRoleSelectors"))


def _lasting(obj: JsonObject) -> JsonObject:
    """The object without what the garbage collector changes."""
    metadata: JsonValue = obj.get("metadata")
    kept = {k: v for k, v in metadata.items() if k not in _COLLECTED} if isinstance(metadata, dict) else {}
    return {**obj, "metadata": kept}
