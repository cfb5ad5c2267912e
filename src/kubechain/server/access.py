"""Authentication and authorization: bearer tokens, impersonation, roles.

Called by `http` first, for every request. Tokens are compared in constant time and never printed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from starlette.datastructures import Headers

from kubechain.errors import BadRequest, Details, Forbidden, Unauthorized
from kubechain.resources.builtin import NAMESPACES
from kubechain.runtime.api import Api
from kubechain.runtime.selectors import parse_fields
from kubechain.server import accounts, impersonation, roles
from kubechain.server.paths import RequestInfo
from kubechain.server.settings import ServerSettings, User

PUBLIC = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})
"""What answers without a token."""


async def who(api: Api, settings: ServerSettings, headers: Headers) -> User:
    """The user of a request, or the one it impersonates. Raises Unauthorized, Forbidden."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized("Unauthorized")
    try:
        user, _ = await holder(api, settings, token.strip(), [accounts.ISSUER])
    except Unauthorized:
        raise Unauthorized("Unauthorized") from None
    return await impersonated(api, user, headers)


async def holder(
    api: Api, settings: ServerSettings, token: str, audiences: Sequence[str]
) -> tuple[User, Sequence[str]]:
    """The user that a token stands for, and which of the audiences it is for. Raises Unauthorized: why."""
    digest = hashlib.sha256(token.encode()).digest()
    found = None
    for known, user in settings.tokens.items():
        if hmac.compare_digest(hashlib.sha256(known.encode()).digest(), digest):
            found = user
    if found is not None and accounts.ISSUER in audiences:
        return impersonation.authenticated(found), [accounts.ISSUER]
    claims = accounts.verify(token, settings.signing_key) if token.count(".") == 2 else None
    if claims is None:
        raise Unauthorized("invalid bearer token")
    try:
        known_to = accounts.audiences(claims, audiences)
        user = await accounts.account(api, claims, settings.clock())
    except Unauthorized as refused:
        raise Unauthorized(f"[invalid bearer token, {refused.message}]") from None
    return impersonation.authenticated(user), known_to


async def impersonated(api: Api, user: User, headers: Headers) -> User:
    """The user that the Impersonate-* headers name, else the user. Raises BadRequest, Forbidden."""
    wanted = impersonation.wanted(headers)
    if wanted is None:
        return user
    for request in impersonation.needed(wanted):
        if not await roles.allows(api, user, request):
            raise refusal(user, request)
    return impersonation.completed(wanted)


async def check(api: Api, user: User, verb: str, target: RequestInfo, query: Mapping[str, str]) -> None:
    """Raises Forbidden, with the text of a real API server, when the user may not do it."""
    kind = target.served.kind
    subresource = target.subresource.name if target.subresource else ""
    name = target.name or (_selected(query) if verb in ("list", "watch") else "")
    namespace = target.name if kind.key == NAMESPACES.key else target.namespace  # a namespace is in itself
    request = roles.Request(verb, kind.group, kind.plural, subresource, namespace, name)
    if not await roles.allows(api, user, request):
        raise refusal(user, request)


async def check_path(api: Api, user: User, verb: str, path: str) -> None:
    """The same for a path that is not a resource."""
    if not await roles.allows(api, user, roles.Request(verb, path=path)):
        raise Forbidden(f'forbidden: User "{user.name}" cannot {verb} path "{path}"')


def refusal(user: User, request: roles.Request) -> Forbidden:
    """The refusal of one request."""
    resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    subject = f"{request.resource}.{request.group}" if request.group else request.resource
    if request.name:
        subject += f' "{request.name}"'
    where = f'in the namespace "{request.namespace}"' if request.namespace else "at the cluster scope"
    return Forbidden(
        f'{subject} is forbidden: User "{user.name}" cannot {request.verb} resource "{resource}" '
        f'in API group "{request.group}" {where}',
        Details(name=request.name, group=request.group, kind=request.resource),
    )


def _selected(query: Mapping[str, str]) -> str:
    """The one name that a list or watch selects. Rights on that name are enough for it."""
    try:
        return parse_fields(query.get("fieldSelector", "")).equal_to("metadata.name") or ""
    except BadRequest:
        return ""
