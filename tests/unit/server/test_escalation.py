"""Which rights somebody lacks who grants others some."""

from __future__ import annotations

import pytest

from kubechain.server.escalation import compact, missing
from kubechain.server.roles import EVERYTHING, PolicyRule, rules_in

READ_SECRETS = PolicyRule(["get", "list"], [""], ["secrets"])


@pytest.mark.parametrize(
    ("held", "granted"),
    [
        ([READ_SECRETS], PolicyRule(["list"], [""], ["secrets"])),
        ([READ_SECRETS], PolicyRule(["list"], [""], ["secrets"], ["one"])),
        ([PolicyRule(["get"], [""], ["secrets"]), PolicyRule(["list"], [""], ["secrets"])], READ_SECRETS),
        ([PolicyRule(["*"], ["*"], ["*"])], PolicyRule(["*"], ["g", ""], ["agents/status", "*"])),
        ([PolicyRule(["get"], ["g"], ["*/status"])], PolicyRule(["get"], ["g"], ["agents/status"])),
        ([PolicyRule(["get"], [""], ["secrets"], ["a", "b"])], PolicyRule(["get"], [""], ["secrets"], ["b"])),
        ([PolicyRule(["get"], non_resource_urls=["/api/*"])], PolicyRule(["get"], non_resource_urls=["/api/v1"])),
        (EVERYTHING, PolicyRule(["post"], non_resource_urls=["/metrics", "*"])),
    ],
)
def test_rights_that_are_held_may_be_granted(held: list[PolicyRule], granted: PolicyRule) -> None:
    assert missing(held, [granted]) == []


@pytest.mark.parametrize(
    ("held", "granted"),
    [
        ([], READ_SECRETS),
        ([READ_SECRETS], PolicyRule(["*"], [""], ["secrets"])),
        ([READ_SECRETS], PolicyRule(["get"], ["*"], ["secrets"])),
        ([READ_SECRETS], PolicyRule(["get"], [""], ["*"])),
        ([READ_SECRETS], PolicyRule(["get"], [""], ["secrets/status"])),
        ([PolicyRule(["get"], [""], ["secrets"], ["a"])], PolicyRule(["get"], [""], ["secrets"])),
        ([PolicyRule(["get"], [""], ["secrets"], ["a"])], PolicyRule(["get"], [""], ["secrets"], ["b"])),
        ([PolicyRule(["*"], ["*"], ["*"])], PolicyRule(["get"], non_resource_urls=["/metrics"])),
        ([PolicyRule(["get"], non_resource_urls=["/api/*"])], PolicyRule(["get"], non_resource_urls=["/apis"])),
    ],
)
def test_rights_that_are_not_held_are_missing(held: list[PolicyRule], granted: PolicyRule) -> None:
    assert missing(held, [granted]) != []


def test_only_what_is_missing_is_named_and_one_thing_once() -> None:
    lacking = missing(
        [PolicyRule(["get"], [""], ["secrets"])], [PolicyRule(["get", "list", "watch"], [""], ["secrets"])]
    )
    assert compact(lacking) == [PolicyRule(["list", "watch"], [""], ["secrets"])]


def test_members_that_are_null_are_none() -> None:
    assert rules_in({"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"], "resources": None}, None]}) == [
        PolicyRule(["get"], non_resource_urls=["/x"])
    ]
    assert rules_in({"rules": None}) == []
