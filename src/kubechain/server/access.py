"""Authentication and authorization: bearer tokens, impersonation, roles.

Called by `http` first, for every request. Tokens are compared in constant time and never printed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

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
    user = await holder(api, settings, token.strip()) if scheme.lower() == "bearer" else None
    if user is None:
        raise Unauthorized("Unauthorized")
    return await impersonated(api, user, headers)


async def holder(api: Api, settings: ServerSettings, token: str) -> User | None:
    """The user that a token stands for."""
    digest = hashlib.sha256(token.encode()).digest()
    found = None
    for known, user in settings.tokens.items():
        if hmac.compare_digest(hashlib.sha256(known.encode()).digest(), digest):
            found = user
    if found is None and token.count(".") == 2:
        claims = accounts.verify(token, settings.signing_key, settings.clock().timestamp())
        found = await accounts.account(api, claims) if claims else None
    return impersonation.authenticated(found) if found else None


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
