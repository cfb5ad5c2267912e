"""Requests that are answered and not stored: reviews of identity, access and tokens.

Called by `http` for POSTs to the review resources. Never writes.
"""

from __future__ import annotations

from typing import cast

import msgspec
from msgspec.structs import replace

from kubechain.errors import BadRequest, Unauthorized
from kubechain.resources.json import JsonObject
from kubechain.server import access, accounts, roles
from kubechain.server.causes import invalid, refuse
from kubechain.server.scope import RequestScope
from kubechain.server.settings import User


async def answer(scope: RequestScope, body: JsonObject) -> JsonObject:
    """The review with its status filled in."""
    kind = scope.target.served.kind
    spec = body.get("spec")
    asked = spec if isinstance(spec, dict) else {}
    review: JsonObject = {
        "kind": kind.kind,
        "apiVersion": kind.api_version,
        "metadata": {"namespace": scope.target.namespace} if kind.namespaced else {},
        **({"spec": asked} if asked else {}),
    }
    match kind.kind:
        case "SelfSubjectReview":
            review["status"] = {"userInfo": info(scope.user)}
        case "TokenReview":
            if not asked.get("token"):
                raise BadRequest("token is required for TokenReview in authentication")
            review["status"] = await _token(scope, asked)
            review["spec"] = {name: value for name, value in asked.items() if name != "token"}
        case "SelfSubjectRulesReview":
            review["status"] = await _rules(scope, str(asked.get("namespace") or ""))
        case "SelfSubjectAccessReview":
            _check(scope, asked)
            review["status"] = await _judged(scope, scope.user, asked)
        case _:
            _check(scope, asked)
            review["status"] = await _judged(scope, _subject(asked), asked)
    return review


def info(user: User) -> JsonObject:
    """`userInfo` of a user."""
    out: JsonObject = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        out["uid"] = user.uid
    if user.extra:
        out["extra"] = {key: list(values) for key, values in user.extra.items()}
    return out


async def _token(scope: RequestScope, spec: JsonObject) -> JsonObject:
    """Who a token stands for, and for which of the audiences that are asked about."""
    asked = spec.get("audiences")
    wanted = [str(a) for a in asked] if isinstance(asked, list) and asked else [accounts.ISSUER]
    try:
        user, audiences = await access.holder(scope.api, scope.settings, str(spec["token"]), wanted)
    except Unauthorized as refused:
        return {"user": {}, "error": refused.message}
    return {"authenticated": True, "user": info(user), "audiences": [*audiences]}


async def _judged(scope: RequestScope, user: User, spec: JsonObject) -> JsonObject:
    """Whether the user may do what `resourceAttributes` or `nonResourceAttributes` describe."""
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if isinstance(resource, dict):
        request = roles.Request(
            *(
                str(resource.get(k) or "")
                for k in ("verb", "group", "resource", "subresource", "namespace", "name")
            )
        )
    else:
        asked = path if isinstance(path, dict) else {}
        request = roles.Request(str(asked.get("verb") or ""), path=str(asked.get("path") or ""))
    allowed = await roles.allows(scope.api, user, request)
    if allowed and roles.MASTERS not in user.groups:
        return {"allowed": True, "reason": "RBAC: allowed"}
    return {"allowed": allowed}


def _check(scope: RequestScope, spec: JsonObject) -> None:
    """Raises Invalid if an access review does not name a user or an action."""
    kind, resource, path = (
        scope.target.served.kind,
        spec.get("resourceAttributes"),
        spec.get("nonResourceAttributes"),
    )
    causes = []
    if not resource and not path:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.append(invalid("spec.resourceAttributes", None, text))
    if isinstance(resource, dict) and isinstance(path, dict):
        shown: JsonObject = {"Path": path.get("path") or "", "Verb": path.get("verb") or ""}
        text = "cannot be specified in combination with resourceAttributes"
        causes.append(invalid("spec.nonResourceAttributes", shown, text))
    if kind.kind != "SelfSubjectAccessReview" and not spec.get("user") and not spec.get("groups"):
        causes.append(invalid("spec.user", "", "at least one of user or group must be specified"))
    if kind.namespaced and isinstance(resource, dict) and resource.get("namespace") != scope.target.namespace:
        causes.append(
            invalid(
                "spec.resourceAttributes.namespace", resource.get("namespace"), "must match metadata.namespace"
            )
        )
    refuse(replace(kind, kind=""), "", causes)


async def _rules(scope: RequestScope, namespace: str) -> JsonObject:
    rules = [rule async for some in roles.granted(scope.api, scope.user, namespace) for rule in some]
    plain = [cast("JsonObject", msgspec.to_builtins(rule)) for rule in rules]
    return {
        "resourceRules": [rule for rule in plain if "nonResourceURLs" not in rule],
        "nonResourceRules": [rule for rule in plain if "nonResourceURLs" in rule],
        "incomplete": False,
    }


def _subject(spec: JsonObject) -> User:
    groups = spec.get("groups")
    names = tuple(str(g) for g in groups) if isinstance(groups, list) else ()
    return User(str(spec.get("user") or ""), names, str(spec.get("uid") or ""))
