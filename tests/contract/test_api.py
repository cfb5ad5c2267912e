"""What every implementation of the port `Api` does, in terms of our kinds and of nothing behind the port."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
import pytest
from msgspec.structs import replace

from kubechain.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Timeout,
    TooLarge,
)
from kubechain.resources.agent import AGENTS, Agent, AgentSpec
from kubechain.resources.builtin import (
    CONFIG_MAPS,
    LEASES,
    NAMESPACES,
    SECRETS,
    Lease,
    LeaseSpec,
    Namespace,
    Secret,
)
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Kind, T, owner_reference
from kubechain.resources.model import ObjectMeta
from kubechain.resources.reference import Reference
from kubechain.resources.task import TASKS, Task, TaskSpec
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunSpec
from kubechain.resources.tool import TOOLS
from kubechain.runtime.api import Api, Bookmark, Change, DeleteOptions, ListOptions, WatchOptions
from kubechain.runtime.selectors import labels, parse_fields, parse_labels

pytestmark = pytest.mark.timeout(120)
GROUP = "kubechain.humanlayer.dev"
FINALIZER = f"{GROUP}/hold"
READERS = 20
WAIT = 60
"""Seconds; the garbage collector of a real server looks for new kinds every thirty."""


def task(namespace: str, name: str = "t1", **meta: object) -> Task:
    return Task(
        metadata=ObjectMeta(name=name, namespace=namespace, **meta),  # type: ignore[arg-type]
        spec=TaskSpec(agent="a1", user_message="hello"),
    )


def agent(namespace: str, name: str = "a1") -> Agent:
    meta = ObjectMeta(name=name, namespace=namespace)
    return Agent(metadata=meta, spec=AgentSpec(llm_ref=Reference(name="gpt"), system="be brief"))


def run(namespace: str, name: str, of: str) -> TaskRun:
    return TaskRun(metadata=ObjectMeta(name=name, namespace=namespace), spec=TaskRunSpec(task=of))


async def settled(api: Api, obj: Task) -> Task:
    """The object, written twice: a real server stores the default of a status with the first update."""
    return await api.put(TASKS, await api.create(TASKS, obj))


async def take(events: AsyncGenerator[Change[T] | Bookmark, None], count: int) -> list[Change[T]]:
    """The next `count` changes, bookmarks left out."""
    taken: list[Change[T]] = []
    async with asyncio.timeout(WAIT):
        while len(taken) < count:
            event = await anext(events)
            if isinstance(event, Change):
                taken.append(event)
    return taken


async def until_gone(api: Api, kind: Kind[T], name: str, namespace: str) -> None:
    """Returns when the object is not there any more."""
    selector = parse_fields(f"metadata.name={name}")
    async with asyncio.timeout(WAIT):
        page = await api.list(kind, namespace, ListOptions(fields=selector))
        if not page.items:
            return
        options = WatchOptions(fields=selector, since=page.resource_version)
        async with aclosing(api.watch(kind, namespace, options)) as events:
            async for event in events:
                if isinstance(event, Change) and event.type == "DELETED":
                    return


# identity and versions


async def test_a_created_object_gets_identity_and_a_first_generation(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made.metadata.uid)
    assert made.metadata.resource_version.isdigit()
    assert made.metadata.creation_timestamp is not None
    assert made.metadata.generation == 1
    assert await api.get(TASKS, "t1", namespace) == made


async def test_identity_sent_by_a_client_is_ignored_on_create(api: Api, namespace: str) -> None:
    sent = task(namespace, uid="mine", generation=7, creation_timestamp="2001-01-01T00:00:00Z")
    made = await api.create(TASKS, sent)
    assert made.metadata.uid != "mine"
    assert made.metadata.generation == 1
    assert made.metadata.creation_timestamp != "2001-01-01T00:00:00Z"


async def test_a_missing_object_is_named_in_the_error(api: Api, namespace: str) -> None:
    with pytest.raises(NotFound) as caught:
        await api.get(TASKS, "nope", namespace)
    assert caught.value.message == f'tasks.{GROUP} "nope" not found'
    assert (caught.value.details.name, caught.value.details.kind) == ("nope", "tasks")


async def test_a_second_object_of_the_same_name_is_refused(api: Api, namespace: str) -> None:
    await api.create(TASKS, task(namespace))
    with pytest.raises(AlreadyExists) as caught:
        await api.create(TASKS, task(namespace))
    assert caught.value.message == f'tasks.{GROUP} "t1" already exists'


async def test_generate_name_adds_five_letters(api: Api, namespace: str) -> None:
    sent = task(namespace, "", generate_name="t-")
    one, other = await api.create(TASKS, sent), await api.create(TASKS, sent)
    for made in (one, other):
        assert re.fullmatch(r"t-[bcdfghjklmnpqrstvwxz2456789]{5}", made.metadata.name)
    assert one.metadata.name != other.metadata.name


async def test_a_name_that_is_no_dns_name_is_invalid(api: Api, namespace: str) -> None:
    with pytest.raises(Invalid) as caught:
        await api.create(TASKS, task(namespace, "Not_A_Name"))
    assert [c.field for c in caught.value.details.causes] == ["metadata.name"]
    assert caught.value.message.startswith(
        f'Task.{GROUP} "Not_A_Name" is invalid: metadata.name: Invalid value: "Not_A_Name": a lowercase RFC 1123'
    )


async def test_a_label_that_is_no_label_is_invalid(api: Api, namespace: str) -> None:
    with pytest.raises(Invalid) as caught:
        await api.create(TASKS, task(namespace, labels={"ok": "not ok"}))
    assert caught.value.message.startswith(
        f'Task.{GROUP} "t1" is invalid: metadata.labels: Invalid value: "not ok": a valid label must be'
    )


async def test_an_object_in_a_missing_namespace_is_refused(api: Api) -> None:
    with pytest.raises(NotFound) as caught:
        await api.create(TASKS, task("nosuchns"))
    assert caught.value.message == 'namespaces "nosuchns" not found'


async def test_a_version_on_a_new_object_is_refused(api: Api, namespace: str) -> None:
    with pytest.raises(ApiError) as caught:
        await api.create(TASKS, task(namespace, resource_version="1"))
    assert "resourceVersion should not be set on objects to be created" in caught.value.message


async def test_a_dry_run_stores_nothing(api: Api, namespace: str) -> None:
    shown = await api.create(TASKS, task(namespace), dry_run=True)
    assert shown.metadata.uid
    assert shown.metadata.resource_version == ""
    with pytest.raises(NotFound):
        await api.get(TASKS, "t1", namespace)


async def test_an_object_that_no_store_takes_is_refused_as_too_large(api: Api, namespace: str) -> None:
    for megabytes in (2, 4):
        sent = task(namespace)
        sent.spec.user_message = "x" * (megabytes << 20)
        with pytest.raises(TooLarge):
            await api.create(TASKS, sent)


# put


async def test_every_write_takes_a_greater_version(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    first = int(made.metadata.resource_version)
    made.spec.user_message = "other"
    changed = await api.put(TASKS, made)
    assert int(changed.metadata.resource_version) > first
    assert changed.spec.user_message == "other"


async def test_a_put_of_a_stale_version_is_a_conflict(api: Api, namespace: str) -> None:
    stale = await api.create(TASKS, task(namespace))
    fresh = await api.get(TASKS, "t1", namespace)
    fresh.spec.user_message = "first"
    await api.put(TASKS, fresh)
    stale.spec.user_message = "second"
    with pytest.raises(Conflict) as caught:
        await api.put(TASKS, stale)
    assert caught.value.message == (
        f'Operation cannot be fulfilled on tasks.{GROUP} "t1": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


async def test_a_put_of_our_kinds_and_of_leases_needs_a_version(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    made.metadata.resource_version = ""
    with pytest.raises(Invalid) as caught:
        await api.put(TASKS, made)
    assert caught.value.message == (
        f'tasks.{GROUP} "t1" is invalid: metadata.resourceVersion: Invalid value: 0: '
        "must be specified for an update"
    )
    lease = await api.create(LEASES, Lease(metadata=ObjectMeta(name="l", namespace=namespace), spec=LeaseSpec()))
    lease.metadata.resource_version = ""
    with pytest.raises(Invalid, match="must be specified for an update"):
        await api.put(LEASES, lease)


async def test_a_put_of_a_secret_needs_no_version(api: Api, namespace: str) -> None:
    meta = ObjectMeta(name="s", namespace=namespace)
    await api.create(SECRETS, Secret(metadata=meta, data={"k": "YQ=="}))
    changed = await api.put(SECRETS, Secret(metadata=meta, data={"k": "Yg=="}))
    assert changed.value("k") == "b"


async def test_a_put_of_a_missing_object_is_not_found(api: Api, namespace: str) -> None:
    with pytest.raises(NotFound):
        await api.put(TASKS, task(namespace, resource_version="1"))


async def test_a_put_of_another_uid_is_a_conflict(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    made.metadata.uid = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(Conflict, match="Precondition failed: UID in precondition: 00000000-"):
        await api.put(TASKS, made)


async def test_a_put_that_changes_nothing_keeps_the_version(api: Api, namespace: str) -> None:
    made = await settled(api, task(namespace, labels={"a": "b"}))
    again = await api.put(TASKS, made)
    assert again.metadata.resource_version == made.metadata.resource_version


async def test_members_in_another_order_are_no_change(api: Api, namespace: str) -> None:
    made = TASKS.encode(await settled(api, task(namespace)))
    turned = _reversed(msgspec.json.decode(made))
    again = await api.put(TASKS.raw, msgspec.json.format(msgspec.json.encode(turned), indent=2))
    assert TASKS.decode(again).metadata.resource_version == TASKS.decode(made).metadata.resource_version


def _reversed(value: object) -> object:
    if isinstance(value, dict):
        return {k: _reversed(v) for k, v in reversed(value.items())}
    return value


async def test_generation_counts_changes_of_the_spec_alone(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    made.metadata.labels = {"a": "b"}
    labelled = await api.put(TASKS, made)
    assert labelled.metadata.generation == 1
    labelled.spec.user_message = "other"
    assert (await api.put(TASKS, labelled)).metadata.generation == 2


async def test_built_in_kinds_have_no_generation(api: Api, namespace: str) -> None:
    body = b'{"metadata":{"name":"c","namespace":"%s"},"data":{"k":"v"}}' % namespace.encode()
    raw: Kind[bytes] = CONFIG_MAPS.raw
    stored = await api.create(raw, body)
    made = msgspec.json.decode(stored)
    assert "generation" not in made["metadata"]
    assert (made["apiVersion"], made["kind"]) == ("v1", "ConfigMap")


async def test_a_number_in_place_of_a_truth_value_is_a_change(api: Api, namespace: str) -> None:
    raw: Kind[bytes] = TOOLS.raw
    spec = {"function": {"entrypoint": "m:f"}, "parameters": {"default": True}}
    await api.create(raw, msgspec.json.encode({"metadata": {"name": "t", "namespace": namespace}, "spec": spec}))
    merge: JsonObject = {"spec": {"parameters": {"default": 1}}}
    changed = await api.patch(raw, "t", namespace, merge)
    assert b'"generation":2' in changed
    assert b'"parameters":{"default":1}' in changed


# status


async def test_a_new_object_shows_its_initial_status_whatever_was_sent(api: Api, namespace: str) -> None:
    sent = task(namespace)
    sent.status.status = "Ready"
    made = await api.create(TASKS.raw, TASKS.encode(sent))
    assert msgspec.json.decode(made)["status"] == {"ready": False, "status": "Pending"}


async def test_a_put_leaves_the_status_alone(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    made.status.status = "Ready"
    made.spec.user_message = "other"
    changed = await api.put(TASKS, made)
    assert changed.status.status == "Pending"


async def test_put_status_changes_the_status_alone(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    made.status.status, made.status.ready = "Ready", True
    made.spec.user_message = "ignored"
    made.metadata.labels = {"ignored": "too"}
    changed = await api.put_status(TASKS, made)
    assert (changed.status.status, changed.spec.user_message, changed.metadata.labels) == ("Ready", "hello", {})
    assert changed.metadata.generation == 1
    assert int(changed.metadata.resource_version) > int(made.metadata.resource_version)


async def test_put_status_compares_versions(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    stale = await api.get(TASKS, "t1", namespace)
    made.status.status = "Ready"
    await api.put_status(TASKS, made)
    stale.status.status = "Error"
    with pytest.raises(Conflict):
        await api.put_status(TASKS, stale)


async def test_of_many_writers_with_one_version_one_wins(api: Api, namespace: str) -> None:
    await api.create(TASKS, task(namespace))

    async def write(number: int) -> bool:
        mine = await api.get(TASKS, "t1", namespace)
        mine.metadata.resource_version = seen
        mine.status.status_detail = f"writer {number}"
        try:
            await api.put_status(TASKS, mine)
        except Conflict:
            return False
        return True

    seen = (await api.get(TASKS, "t1", namespace)).metadata.resource_version
    assert sum(await asyncio.gather(*(write(n) for n in range(20)))) == 1


# patch


async def test_a_merge_patch_sets_and_removes_members(api: Api, namespace: str) -> None:
    await api.create(TASKS, task(namespace, labels={"a": "1", "b": "2"}))
    changed = await api.patch(
        TASKS, "t1", namespace, {"metadata": {"labels": {"a": None, "c": "3"}}, "spec": {"userMessage": "other"}}
    )
    assert changed.metadata.labels == {"b": "2", "c": "3"}
    assert (changed.spec.user_message, changed.metadata.generation) == ("other", 2)


async def test_a_patch_that_changes_nothing_keeps_the_version(api: Api, namespace: str) -> None:
    made = await settled(api, task(namespace))
    again = await api.patch(TASKS, "t1", namespace, {"spec": {"userMessage": "hello"}})
    assert again.metadata.resource_version == made.metadata.resource_version


async def test_a_version_in_a_patch_is_compared(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    await api.patch(TASKS, "t1", namespace, {"spec": {"userMessage": "other"}})
    stale = {"resourceVersion": made.metadata.resource_version}
    with pytest.raises(Conflict):
        await api.patch(TASKS, "t1", namespace, {"metadata": stale, "spec": {"userMessage": "third"}})  # type: ignore[dict-item]


async def test_a_patch_of_the_status_leaves_the_rest_alone(api: Api, namespace: str) -> None:
    await api.create(TASKS, task(namespace))
    merge = {"status": {"status": "Error"}, "spec": {"userMessage": "ignored"}}
    changed = await api.patch(TASKS, "t1", namespace, merge, status=True)  # type: ignore[arg-type]
    assert (changed.status.status, changed.spec.user_message) == ("Error", "hello")


async def test_patches_at_the_same_time_all_count(api: Api, namespace: str) -> None:
    await api.create(TASKS, task(namespace))
    await asyncio.gather(
        *(api.patch(TASKS, "t1", namespace, {"metadata": {"labels": {f"l{n}": "x"}}}) for n in range(10))
    )
    assert len((await api.get(TASKS, "t1", namespace)).metadata.labels) == 10


# delete


async def test_a_deleted_object_is_gone(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    deletion = await api.delete(TASKS, "t1", namespace)
    assert deletion.gone
    with pytest.raises(NotFound):
        await api.get(TASKS, "t1", namespace)
    again = await api.create(TASKS, task(namespace))
    assert again.metadata.uid != made.metadata.uid


async def test_delete_preconditions_are_compared(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    with pytest.raises(Conflict):
        await api.delete(TASKS, "t1", namespace, DeleteOptions(uid="00000000-0000-0000-0000-000000000000"))
    with pytest.raises(Conflict):
        await api.delete(TASKS, "t1", namespace, DeleteOptions(resource_version="1"))
    uid, version = made.metadata.uid, made.metadata.resource_version
    assert (await api.delete(TASKS, "t1", namespace, DeleteOptions(uid=uid, resource_version=version))).gone


async def test_a_dry_deletion_deletes_nothing(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    await api.delete(TASKS, "t1", namespace, DeleteOptions(dry_run=True))
    assert await api.get(TASKS, "t1", namespace) == made


async def test_a_finalizer_holds_an_object_until_it_is_removed(api: Api, namespace: str) -> None:
    await api.create(TASKS, task(namespace, finalizers=[FINALIZER]))
    deletion = await api.delete(TASKS, "t1", namespace)
    assert not deletion.gone
    held = await api.get(TASKS, "t1", namespace)
    assert held.metadata.deletion_timestamp is not None
    assert (held.metadata.deletion_grace_period_seconds, held.metadata.generation) == (0, 2)
    again = await api.delete(TASKS, "t1", namespace)
    assert not again.gone
    assert again.object.metadata.resource_version == held.metadata.resource_version
    with pytest.raises(AlreadyExists) as caught:
        await api.create(TASKS, task(namespace))
    assert caught.value.message == f'object is being deleted: tasks.{GROUP} "t1" already exists'
    released = await api.patch(TASKS, "t1", namespace, {"metadata": {"finalizers": None}})
    assert released.metadata.uid == held.metadata.uid
    with pytest.raises(NotFound):
        await api.get(TASKS, "t1", namespace)


async def test_an_object_being_deleted_takes_no_new_finalizer(api: Api, namespace: str) -> None:
    await api.create(TASKS, task(namespace, finalizers=[FINALIZER]))
    await api.delete(TASKS, "t1", namespace)
    more = {"metadata": {"finalizers": [FINALIZER, f"{GROUP}/more"]}}
    with pytest.raises(Invalid) as caught:
        await api.patch(TASKS, "t1", namespace, more)  # type: ignore[arg-type]
    assert caught.value.message.endswith(
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        f'found new finalizers []string{{"{GROUP}/more"}}'
    )
    kept = await api.patch(
        TASKS, "t1", namespace, {"spec": {"userMessage": "other"}, "metadata": {"deletionTimestamp": None}}
    )
    assert kept.spec.user_message == "other"
    assert kept.metadata.deletion_timestamp is not None


# garbage


async def child_of(api: Api, owner: Agent, name: str = "t1", **meta: object) -> Task:
    reference = owner_reference(AGENTS, owner.metadata)
    return await api.create(TASKS, task(owner.metadata.namespace, name, owner_references=[reference], **meta))


async def test_dependants_go_after_their_owner(api: Api, namespace: str) -> None:
    owner = await api.create(AGENTS, agent(namespace))
    await child_of(api, owner)
    assert (await api.delete(AGENTS, "a1", namespace)).gone
    await until_gone(api, TASKS, "t1", namespace)


async def test_a_dependant_made_after_its_owner_went_goes_too(api: Api, namespace: str) -> None:
    owner = await api.create(AGENTS, agent(namespace))
    await api.delete(AGENTS, "a1", namespace)
    await child_of(api, owner)
    await until_gone(api, TASKS, "t1", namespace)


async def test_a_dependant_stays_with_the_owner_that_is_left(api: Api, namespace: str) -> None:
    one, other = await api.create(AGENTS, agent(namespace)), await api.create(AGENTS, agent(namespace, "a2"))
    references = [owner_reference(AGENTS, o.metadata) for o in (one, other)]
    references[1].controller = False
    made = await api.create(TASKS, task(namespace, owner_references=references))
    options = WatchOptions(since=made.metadata.resource_version)
    await api.delete(AGENTS, "a1", namespace)
    async with aclosing(api.watch(TASKS, namespace, options)) as events:
        (change,) = await take(events, 1)
    assert change.type == "MODIFIED"
    assert [r.name for r in change.object.metadata.owner_references] == ["a2"]


async def test_foreground_deletion_takes_the_dependants_first(api: Api, namespace: str) -> None:
    owner = await api.create(AGENTS, agent(namespace))
    await child_of(api, owner, finalizers=[FINALIZER])
    deletion = await api.delete(AGENTS, "a1", namespace, DeleteOptions("Foreground"))
    assert not deletion.gone
    assert deletion.object.metadata.finalizers == ["foregroundDeletion"]
    selector = WatchOptions(fields=parse_fields("metadata.name=t1"))
    async with aclosing(api.watch(TASKS, namespace, selector)) as events:
        while (await take(events, 1))[0].object.metadata.deletion_timestamp is None:
            pass
    assert (await api.get(AGENTS, "a1", namespace)).metadata.deletion_timestamp is not None
    await api.patch(TASKS, "t1", namespace, {"metadata": {"finalizers": None}})
    await until_gone(api, AGENTS, "a1", namespace)


async def test_orphaned_dependants_stay_without_their_owner(api: Api, namespace: str) -> None:
    owner = await api.create(AGENTS, agent(namespace))
    await child_of(api, owner)
    other = await api.create(AGENTS, agent(namespace, "a2"))
    await child_of(api, other, "t2")
    await api.delete(AGENTS, "a2", namespace)
    await until_gone(api, TASKS, "t2", namespace)  # who collected the later child has seen the earlier one
    await api.delete(AGENTS, "a1", namespace, DeleteOptions("Orphan"))
    await until_gone(api, AGENTS, "a1", namespace)
    assert (await api.get(TASKS, "t1", namespace)).metadata.owner_references == []


# namespaces


async def test_a_namespace_is_active_and_labelled_with_its_name(api: Api, namespace: str) -> None:
    made = await api.get(NAMESPACES, namespace)
    assert made.status.phase == "Active"
    assert made.spec.finalizers == ["kubernetes"]
    assert made.metadata.labels["kubernetes.io/metadata.name"] == namespace


async def test_a_deleted_namespace_terminates_and_takes_its_contents_along(api: Api, namespace: str) -> None:
    await api.create(TASKS, task(namespace, finalizers=[FINALIZER]))
    await api.create(AGENTS, agent(namespace))
    deletion = await api.delete(NAMESPACES, namespace)
    assert not deletion.gone
    assert deletion.object.status.phase == "Terminating"
    await until_gone(api, AGENTS, "a1", namespace)
    with pytest.raises(Forbidden) as caught:
        await api.create(TASKS, task(namespace, "t2"))
    assert caught.value.message == (
        f'tasks.{GROUP} "t2" is forbidden: unable to create new content in namespace {namespace} '
        "because it is being terminated"
    )
    await api.patch(TASKS, "t1", namespace, {"metadata": {"finalizers": None}})
    await until_gone(api, NAMESPACES, namespace, "")


@pytest.mark.parametrize("name", ["default", "kube-system"])
async def test_standard_namespaces_exist_and_cannot_be_deleted(api: Api, name: str) -> None:
    assert (await api.get(NAMESPACES, name)).status.phase == "Active"
    with pytest.raises(Forbidden, match="this namespace may not be deleted"):
        await api.delete(NAMESPACES, name)


async def test_a_namespace_name_is_a_dns_label(api: Api) -> None:
    with pytest.raises(Invalid, match="must not contain dots"):
        await api.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="a.b")))


# list


async def test_a_list_is_ordered_by_name_and_carries_its_version(api: Api, namespace: str) -> None:
    for name in ("b", "a.x", "a-x", "a"):
        last = await api.create(TASKS, task(namespace, name))
    page = await api.list(TASKS, namespace)
    assert [t.metadata.name for t in page.items] == ["a", "a-x", "a.x", "b"]
    assert int(page.resource_version) >= int(last.metadata.resource_version)
    assert page.continue_token == ""


async def test_a_list_of_a_missing_namespace_is_empty(api: Api) -> None:
    assert (await api.list(TASKS, "nosuchns")).items == []


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("color=red", ["r"]),
        ("color!=red", ["g", "none"]),
        ("color in (red, green)", ["g", "r"]),
        ("color notin (red)", ["g", "none"]),
        ("color", ["g", "r"]),
        ("!color", ["none"]),
        ("color,color!=red", ["g"]),
    ],
)
async def test_label_selectors_pick(api: Api, namespace: str, selector: str, names: list[str]) -> None:
    await api.create(TASKS, task(namespace, "r", labels={"color": "red"}))
    await api.create(TASKS, task(namespace, "g", labels={"color": "green"}))
    await api.create(TASKS, task(namespace, "none"))
    page = await api.list(TASKS, namespace, ListOptions(labels=parse_labels(selector)))
    assert [t.metadata.name for t in page.items] == names


async def test_field_selectors_pick_by_name_and_by_what_the_kind_offers(api: Api, namespace: str) -> None:
    await api.create(TASKS, task(namespace, "t1"))
    await api.create(TASKS, task(namespace, "t2"))
    page = await api.list(
        TASKS, options=ListOptions(fields=parse_fields(f"metadata.name=t2,metadata.namespace={namespace}"))
    )
    assert [t.metadata.name for t in page.items] == ["t2"]
    page = await api.list(TASKS, namespace, ListOptions(fields=parse_fields("metadata.name!=t2")))
    assert [t.metadata.name for t in page.items] == ["t1"]
    active = await api.list(NAMESPACES, options=ListOptions(fields=parse_fields("status.phase=Active")))
    assert namespace in [n.metadata.name for n in active.items]
    with pytest.raises(BadRequest, match=r"field label not supported: spec\.nope"):
        await api.list(TASKS, namespace, ListOptions(fields=parse_fields("spec.nope=x")))


async def test_runs_are_picked_by_task_and_phase(api: Api, namespace: str) -> None:
    for name, of in (("r1", "t1"), ("r2", "t1"), ("r3", "t2")):
        await api.create(TASK_RUNS, run(namespace, name, of))
    await api.patch(TASK_RUNS, "r2", namespace, {"status": {"phase": "Failed"}}, status=True)

    async def picked(selector: str) -> list[str]:
        page = await api.list(TASK_RUNS, namespace, ListOptions(fields=parse_fields(selector)))
        return [found.metadata.name for found in page.items]

    assert await picked("spec.task=t1") == ["r1", "r2"]
    assert await picked("status.phase=Pending") == ["r1", "r3"]
    assert await picked("spec.task=t1,status.phase!=Pending") == ["r2"]
    assert await picked("status.agent=") == ["r1", "r2", "r3"]


async def test_a_watch_of_a_phase_sees_objects_come_into_it_and_leave(api: Api, namespace: str) -> None:
    made = await api.create(TASK_RUNS, run(namespace, "r1", "t1"))
    for phase in ("Running", "Failed", "Failed", "Running"):
        status: JsonObject = {"phase": phase, "turns": 1 if phase == "Failed" else 0}
        await api.patch(TASK_RUNS, "r1", namespace, {"status": status}, status=True)
    last = await api.patch(TASK_RUNS, "r1", namespace, {"status": {"phase": "FinalAnswer"}}, status=True)
    options = WatchOptions(
        fields=parse_fields("status.phase!=Pending,status.phase!=Running"), since=made.metadata.resource_version
    )
    async with aclosing(api.watch(TASK_RUNS, namespace, options)) as events:
        changes = await take(events, 3)
    assert [(c.type, c.object.status.phase) for c in changes] == [
        ("ADDED", "Failed"), ("DELETED", "Failed"), ("ADDED", "FinalAnswer"),
    ]  # fmt: skip
    assert changes[-1].resource_version == last.metadata.resource_version


async def test_pages_show_one_snapshot_whatever_is_written_meanwhile(api: Api, namespace: str) -> None:
    for name in ("a", "b", "c", "d", "e"):
        await api.create(TASKS, task(namespace, name))
    first = await api.list(TASKS, namespace, ListOptions(limit=2))
    assert (len(first.items), first.remaining) == (2, 3)
    await api.delete(TASKS, "c", namespace)
    await api.patch(TASKS, "d", namespace, {"spec": {"userMessage": "changed"}})
    await api.create(TASKS, task(namespace, "bb"))
    second = await api.list(TASKS, namespace, ListOptions(limit=2, continue_token=first.continue_token))
    third = await api.list(TASKS, namespace, ListOptions(limit=2, continue_token=second.continue_token))
    items = first.items + second.items + third.items
    assert [t.metadata.name for t in items] == ["a", "b", "c", "d", "e"]
    assert {t.spec.user_message for t in items} == {"hello"}
    assert {p.resource_version for p in (first, second, third)} == {first.resource_version}
    assert third.continue_token == ""


async def test_pages_of_a_selection_hold_as_many_as_they_may(api: Api, namespace: str) -> None:
    for number in range(6):
        await api.create(TASKS, task(namespace, f"t{number}", labels={"odd": str(number % 2)}))
    first = await api.list(TASKS, namespace, ListOptions(labels=labels(odd="1"), limit=2))
    assert [t.metadata.name for t in first.items] == ["t1", "t3"]
    assert first.remaining is None
    rest = ListOptions(labels=labels(odd="1"), limit=2, continue_token=first.continue_token)
    second = await api.list(TASKS, namespace, rest)
    assert [t.metadata.name for t in second.items] == ["t5"]
    assert second.continue_token == ""


async def test_a_page_that_holds_all_there_is_has_no_token(api: Api, namespace: str) -> None:
    await api.create(TASKS, task(namespace))
    page = await api.list(TASKS, namespace, ListOptions(limit=1))
    assert (len(page.items), page.continue_token) == (1, "")


async def test_bad_versions_and_tokens_are_bad_requests(api: Api, namespace: str) -> None:
    for options in (
        ListOptions(continue_token="garbage"),
        ListOptions(resource_version="abc"),
    ):
        with pytest.raises(BadRequest):
            await api.list(TASKS, namespace, options)
    for name in ("a", "b"):
        await api.create(TASKS, task(namespace, name))
    token = (await api.list(TASKS, namespace, ListOptions(limit=1))).continue_token
    with pytest.raises(BadRequest, match="specifying resource version is not allowed when using continue"):
        await api.list(TASKS, namespace, ListOptions(limit=1, continue_token=token, resource_version="1"))


async def test_a_list_can_be_asked_for_a_former_version(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    await api.delete(TASKS, "t1", namespace)
    then = ListOptions(resource_version=made.metadata.resource_version, match="Exact")
    assert [t.metadata.name for t in (await api.list(TASKS, namespace, then)).items] == ["t1"]
    since = ListOptions(resource_version=made.metadata.resource_version, match="NotOlderThan")
    assert (await api.list(TASKS, namespace, since)).items == []


async def test_a_version_of_the_future_is_not_listed(api: Api, namespace: str) -> None:
    with pytest.raises(Timeout, match="Too large resource version: 9999999, current: "):
        await api.list(TASKS, namespace, ListOptions(resource_version="9999999", match="NotOlderThan"))


# watch


async def test_a_watch_shows_the_present_and_then_every_change(api: Api, namespace: str) -> None:
    await api.create(TASKS, task(namespace))
    async with aclosing(api.watch(TASKS, namespace)) as events:
        assert [c.type for c in await take(events, 1)] == ["ADDED"]
        await api.patch(TASKS, "t1", namespace, {"spec": {"userMessage": "other"}})
        deletion = await api.delete(TASKS, "t1", namespace)
        modified, deleted = await take(events, 2)
    assert (modified.type, modified.object.spec.user_message) == ("MODIFIED", "other")
    assert (deleted.type, deleted.object.spec.user_message) == ("DELETED", "other")
    assert str(deleted.key) == f"{namespace}/t1"
    assert int(deleted.resource_version) > int(modified.resource_version)
    assert deleted.object.metadata.resource_version == deleted.resource_version
    assert deletion.object.metadata.uid == deleted.object.metadata.uid


async def test_a_watch_resumed_from_a_version_sees_every_later_change(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    for number in range(3):
        await api.patch(TASKS, "t1", namespace, {"spec": {"userMessage": f"{number}"}})
    await api.delete(TASKS, "t1", namespace)
    await api.create(TASKS, task(namespace, "t2"))
    options = WatchOptions(since=made.metadata.resource_version)
    async with aclosing(api.watch(TASKS, namespace, options)) as events:
        changes = await take(events, 5)
    assert [(c.type, c.object.spec.user_message) for c in changes] == [
        ("MODIFIED", "0"),
        ("MODIFIED", "1"),
        ("MODIFIED", "2"),
        ("DELETED", "2"),
        ("ADDED", "hello"),
    ]
    versions = [int(c.resource_version) for c in changes]
    assert versions == sorted(set(versions))


async def test_a_watch_begun_amid_writes_misses_and_repeats_nothing(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    count = 60

    async def write() -> None:
        for number in range(count):
            await api.patch(TASKS, "t1", namespace, {"spec": {"userMessage": f"{number}"}})

    async def read() -> list[Change[Task]]:
        options = WatchOptions(since=made.metadata.resource_version)
        async with aclosing(api.watch(TASKS, namespace, options)) as events:
            return await take(events, count)

    async with asyncio.timeout(WAIT), asyncio.TaskGroup() as group:
        writing = group.create_task(write())
        readings = [group.create_task(read()) for _ in range(3)]
        while not writing.done():
            if len(readings) < READERS:
                readings.append(group.create_task(read()))
            await asyncio.wait([writing], timeout=0.01)
    for reading in readings:
        assert [c.object.spec.user_message for c in reading.result()] == [f"{n}" for n in range(count)]


async def test_a_selection_is_entered_and_left(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace, labels={"color": "red"}))
    selection = parse_labels("color=blue")

    async def paint(color: str, message: str) -> None:
        merge = {"metadata": {"labels": {"color": color}}, "spec": {"userMessage": message}}
        await api.patch(TASKS, "t1", namespace, merge)  # type: ignore[arg-type]

    options = WatchOptions(labels=selection, since=made.metadata.resource_version)
    expected = [("ADDED", "2"), ("MODIFIED", "3"), ("DELETED", "3"), ("ADDED", "6"), ("DELETED", "6")]
    async with aclosing(api.watch(TASKS, namespace, options)) as live:
        first = asyncio.ensure_future(take(live, 1))
        for color, message in [
            ("red", "1"),
            ("blue", "2"),
            ("blue", "3"),
            ("red", "4"),
            ("red", "5"),
            ("blue", "6"),
        ]:
            await paint(color, message)
        await api.delete(TASKS, "t1", namespace)
        changes = await first + await take(live, 4)
    assert [(c.type, c.object.spec.user_message) for c in changes] == expected
    assert all(c.object.metadata.resource_version == c.resource_version for c in changes)
    async with aclosing(api.watch(TASKS, namespace, options)) as later:
        assert await take(later, 5) == changes


async def test_a_watch_of_one_name_sees_that_name_alone(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    await api.create(TASKS, task(namespace, "t2"))
    await api.delete(TASKS, "t1", namespace)
    options = WatchOptions(fields=parse_fields("metadata.name=t1"), since=made.metadata.resource_version)
    async with aclosing(api.watch(TASKS, namespace, options)) as events:
        (change,) = await take(events, 1)
    assert (change.type, change.key.name) == ("DELETED", "t1")


async def test_initial_events_end_with_a_bookmark(api: Api, namespace: str) -> None:
    await api.create(TASKS, task(namespace))
    options = WatchOptions(initial_events=True, bookmarks=True)
    async with asyncio.timeout(WAIT), aclosing(api.watch(TASKS, namespace, options)) as events:
        added, bookmark = await anext(events), await anext(events)
        assert isinstance(added, Change)
        assert added.type == "ADDED"
        assert isinstance(bookmark, Bookmark)
        assert bookmark.initial_end
        assert int(bookmark.resource_version) >= int(added.resource_version)
        await api.create(TASKS, task(namespace, "t2"))
        (change,) = await take(events, 1)
    assert (change.type, change.key.name) == ("ADDED", "t2")


async def test_a_write_that_changes_nothing_is_not_seen(api: Api, namespace: str) -> None:
    made = await api.put_status(TASKS, await api.create(TASKS, task(namespace)))
    options = WatchOptions(since=made.metadata.resource_version)
    async with aclosing(api.watch(TASKS, namespace, options)) as events:
        await api.put(TASKS, made)
        await api.put_status(TASKS, made)
        await api.create(TASKS, task(namespace, "t2"))
        (change,) = await take(events, 1)
    assert change.key.name == "t2"


async def test_big_texts_with_strange_line_ends_pass_a_watch_unchanged(api: Api, namespace: str) -> None:
    text = "a\u0085b\u2028c\u2029d\x0be\n" + "\u2028" * 200_000
    sent = task(namespace)
    sent.spec.user_message = text
    await api.create(TASKS, sent)
    async with aclosing(api.watch(TASKS, namespace)) as events:
        (added,) = await take(events, 1)
        await api.patch(TASKS, "t1", namespace, {"metadata": {"labels": {"a": "b"}}})
        (modified,) = await take(events, 1)
    same = [change.object.spec.user_message == text for change in (added, modified)]
    assert same == [True, True]


# ensure, confirm


async def test_ensure_makes_once_and_then_answers_with_what_is_there(api: Api, namespace: str) -> None:
    made = await asyncio.gather(*(api.ensure(TASKS, task(namespace)) for _ in range(5)))
    assert len({m.metadata.uid for m in made}) == 1
    assert await api.ensure(TASKS, task(namespace)) == made[0]


async def test_a_checkpoint_saves_the_status_and_makes_the_children_it_asks_for(api: Api, namespace: str) -> None:
    made = await settled(api, task(namespace))
    there = await api.create(AGENTS, agent(namespace, "a2"))
    wanted = replace(made, status=replace(made.status, status_detail="two agents"))
    saved, children = await api.checkpoint(TASKS, wanted, AGENTS, [agent(namespace, "a1"), agent(namespace, "a2")])
    assert saved == await api.get(TASKS, "t1", namespace)
    assert saved.status.status_detail == "two agents"
    assert list(children) == [await api.get(AGENTS, "a1", namespace), there]


async def test_a_checkpoint_of_an_old_version_makes_no_child(api: Api, namespace: str) -> None:
    old = await settled(api, task(namespace))
    await api.patch(TASKS, "t1", namespace, {"spec": {"userMessage": "other"}})
    with pytest.raises(Conflict):
        await api.checkpoint(TASKS, old, AGENTS, [agent(namespace)])
    with pytest.raises(NotFound):
        await api.get(AGENTS, "a1", namespace)


async def test_a_child_that_cannot_be_made_leaves_the_checkpoint_saved(api: Api, namespace: str) -> None:
    made = await settled(api, task(namespace))
    wanted = replace(made, status=replace(made.status, status_detail="saved"))
    nowhere = agent("no-such-namespace")
    saved, children = await api.checkpoint(TASKS, wanted, AGENTS, [nowhere, agent(namespace)])
    assert (await api.get(TASKS, "t1", namespace)).status.status_detail == saved.status.status_detail == "saved"
    assert [child.metadata.namespace for child in children] == [namespace]


async def test_confirm_holds_for_the_newest_version_alone(api: Api, namespace: str) -> None:
    made = await api.create(TASKS, task(namespace))
    await api.confirm(TASKS, made)
    changed = await api.patch(TASKS, "t1", namespace, {"spec": {"userMessage": "other"}})
    with pytest.raises(Conflict):
        await api.confirm(TASKS, made)
    await api.confirm(TASKS, changed)
    await api.delete(TASKS, "t1", namespace)
    with pytest.raises(NotFound):
        await api.confirm(TASKS, changed)
