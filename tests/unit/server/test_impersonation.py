"""Who the Impersonate-* headers name, what that needs, and which groups come with it."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from kubechain.errors import BadRequest
from kubechain.server.impersonation import completed, needed, wanted
from kubechain.server.settings import User


def headers(*pairs: tuple[str, str]) -> Headers:
    return Headers(raw=[(name.lower().encode(), value.encode()) for name, value in pairs])


def test_without_the_headers_nobody_is_impersonated() -> None:
    assert wanted(headers(("accept", "application/json"))) is None


def test_every_part_that_is_named_is_asked_for() -> None:
    user = wanted(
        headers(
            ("Impersonate-User", "jane"),
            ("Impersonate-Uid", "7"),
            ("Impersonate-Group", "dev"),
            ("Impersonate-Group", "ops"),
            ("Impersonate-Extra-Acme.com%2fProject", "blue"),
        )
    )
    assert user == User("jane", ("dev", "ops"), "7", {"acme.com/project": ("blue",)})
    asked = [(r.group, r.resource, r.subresource, r.namespace, r.name) for r in needed(user)]
    assert asked == [
        ("", "users", "", "", "jane"),
        ("authentication.k8s.io", "uids", "", "", "7"),
        ("", "groups", "", "", "dev"),
        ("", "groups", "", "", "ops"),
        ("authentication.k8s.io", "userextras", "acme.com/project", "", "blue"),
    ]
    assert {r.verb for r in needed(user)} == {"impersonate"}


def test_a_service_account_is_asked_for_in_its_namespace() -> None:
    (request,) = needed(User("system:serviceaccount:team:bot"))
    assert (request.resource, request.namespace, request.name) == ("serviceaccounts", "team", "bot")


@pytest.mark.parametrize(
    ("user", "groups"),
    [
        (User("jane"), ("system:authenticated",)),
        (User("jane", ("dev",)), ("dev", "system:authenticated")),
        (User("jane", ("system:authenticated", "dev")), ("system:authenticated", "dev")),
        (User("jane", ("system:unauthenticated",)), ("system:unauthenticated",)),
        (User("system:anonymous"), ("system:unauthenticated",)),
        (
            User("system:serviceaccount:team:bot"),
            ("system:serviceaccounts", "system:serviceaccounts:team", "system:authenticated"),
        ),
        (User("system:serviceaccount:team:bot", ("dev",)), ("dev", "system:authenticated")),
        (User("system:serviceaccount:No_Name:bot"), ("system:authenticated",)),
        (User("system:serviceaccount:team:bot:more"), ("system:authenticated",)),
    ],
)
def test_groups_come_with_the_name_unless_they_are_given(user: User, groups: tuple[str, ...]) -> None:
    assert completed(user).groups == groups


@pytest.mark.parametrize(
    ("pairs", "shown"),
    [
        ([("Impersonate-Uid", "7")], 'UID:"7", Groups:[]string(nil), Extra:map[string][]string(nil)}'),
        ([("Impersonate-Group", "g"), ("Impersonate-Group", "h")], 'Groups:[]string{"g", "h"}'),
        ([("Impersonate-Extra-Scope", "a")], 'Extra:map[string][]string{"scope":[]string{"a"}}'),
    ],
)
def test_somebody_without_a_name_is_refused(pairs: list[tuple[str, str]], shown: str) -> None:
    with pytest.raises(BadRequest, match="without impersonating a user name") as refused:
        wanted(headers(*pairs))
    assert shown in refused.value.message
