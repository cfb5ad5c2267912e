"""Impersonation: the user that the Impersonate-* headers of a request name, if the caller may impersonate it.

Called by `access` once it knows who asks. Every part that is named (the user or service account, uid, groups,
extra values) needs the verb `impersonate` on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from msgspec.structs import replace
from starlette.datastructures import Headers

from kubechain.errors import BadRequest
from kubechain.server.causes import shown
from kubechain.server.metadata import dns_label, subdomain
from kubechain.server.roles import Request
from kubechain.server.settings import User

_AUTHENTICATION = "authentication.k8s.io"
_EXTRA = "impersonate-extra-"
_AUTHENTICATED, _UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
ANONYMOUS = "system:anonymous"


def wanted(headers: Headers) -> User | None:
    """The user that the headers name, None where they name none. Raises BadRequest for a nameless one."""
    extra: dict[str, tuple[str, ...]] = {}
    for header, value in headers.items():
        if header.startswith(_EXTRA):
            key = unquote(header.removeprefix(_EXTRA)).lower()
            extra[key] = (*extra.get(key, ()), value)
    name, uid = headers.get("impersonate-user", ""), headers.get("impersonate-uid", "")
    user = User(name, tuple(headers.getlist("impersonate-group")), uid, extra)
    if name:
        return user
    if user.groups or uid or extra:
        raise BadRequest(f"requested {_shown(user)} without impersonating a user name")
    return None


def needed(user: User) -> Iterator[Request]:
    """What whoever wants to be this user must be allowed to do."""
    if account := service_account(user.name):
        namespace, name = account
        yield Request("impersonate", "", "serviceaccounts", namespace=namespace, name=name)
    else:
        yield Request("impersonate", "", "users", name=user.name)
    if user.uid:
        yield Request("impersonate", _AUTHENTICATION, "uids", name=user.uid)
    for group in user.groups:
        yield Request("impersonate", "", "groups", name=group)
    for key, values in user.extra.items():
        for value in values:
            yield Request("impersonate", _AUTHENTICATION, "userextras", key, name=value)


def completed(user: User) -> User:
    """The user with the groups that come with the name."""
    groups = user.groups
    if not groups and (account := service_account(user.name)):
        groups = account_groups(account[0])
    return authenticated(replace(user, groups=groups))


def authenticated(user: User) -> User:
    """The user with the group that everyone who is someone belongs to, or nobody."""
    group = _UNAUTHENTICATED if user.name == ANONYMOUS else _AUTHENTICATED
    if group in user.groups or _UNAUTHENTICATED in user.groups:
        return user
    return replace(user, groups=(*user.groups, group))


def account_groups(namespace: str) -> tuple[str, ...]:
    """The groups of every service account of a namespace."""
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")


def service_account(name: str) -> tuple[str, str] | None:
    """Namespace and name of the service account that a user name stands for."""
    match name.split(":"):
        case ["system", "serviceaccount", namespace, account] if not (dns_label(namespace) or subdomain(account)):
            return namespace, account
    return None


def _shown(user: User) -> str:
    """The user as a Kubernetes API server writes one."""
    groups = f"{{{', '.join(map(shown, user.groups))}}}" if user.groups else "(nil)"
    lists = (f"{shown(key)}:[]string{{{', '.join(map(shown, values))}}}" for key, values in user.extra.items())
    extra = f"{{{', '.join(lists)}}}" if user.extra else "(nil)"
    return (
        f'&user.DefaultInfo{{Name:"", UID:{shown(user.uid)}, Groups:[]string{groups}, '
        f"Extra:map[string][]string{extra}}}"
    )
