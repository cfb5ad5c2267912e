"""Which rules a ClusterRole gathers from others."""

from __future__ import annotations

from msgspec import convert, json

from kubechain.app.roles import Role, gather, gathered, install_roles
from kubechain.resources.builtin import CLUSTER_ROLES
from kubechain.runtime.clock import now
from kubechain.store.engine import Store

GET, LIST = {"verbs": ["get"]}, {"verbs": ["list"]}


def role(name: str, *rules: dict[str, list[str]], **labels: str) -> Role:
    return convert({"metadata": {"name": name, "labels": labels}, "rules": rules}, Role)


def gathering(*selectors: object) -> Role:
    said = {"metadata": {"name": "sum"}, "rules": [LIST], "aggregationRule": {"clusterRoleSelectors": selectors}}
    return convert(said, Role)


def test_rules_come_in_the_order_of_names_each_once_and_the_own_ones_go() -> None:
    total = gathering({"matchLabels": {"a": "1"}}, {"matchExpressions": [{"key": "b", "operator": "Exists"}]})
    others = [role("z", GET, a="1"), role("b", LIST, GET, b=""), role("c", {"verbs": ["watch"]}, a="2"), total]
    assert gathered(total, others) == [LIST, GET]


def test_a_role_without_selectors_gathers_nothing() -> None:
    assert not role("plain", GET).gathers
    assert not gathering().gathers


async def test_what_is_gathered_goes_through_and_a_second_look_changes_nothing() -> None:
    async with Store.open(None, clock=now) as store:
        await install_roles(store)
        assert not await gather(store)
        rules = {name: len((await read(store, name)).rules or ()) for name in ("view", "edit", "admin")}
        assert 0 < rules["view"] < rules["edit"] < rules["admin"]
        before = (await store.list(CLUSTER_ROLES.raw)).resource_version
        await install_roles(store)
        assert (await store.list(CLUSTER_ROLES.raw)).resource_version == before


async def test_a_role_that_cannot_be_understood_keeps_no_other_from_its_rules() -> None:
    selector = {"matchExpressions": [{"key": "a", "operator": "Near"}]}
    wrong = {"metadata": {"name": "wrong"}, "aggregationRule": {"clusterRoleSelectors": [selector]}}
    async with Store.open(None, clock=now) as store:
        await store.create(CLUSTER_ROLES.raw, json.encode(wrong))
        await install_roles(store)
        assert (await read(store, "view")).rules


async def read(store: Store, name: str) -> Role:
    document: bytes = await store.get(CLUSTER_ROLES.raw, name)
    return json.decode(document, type=Role)
