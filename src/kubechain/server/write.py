"""POST, PUT, PATCH, DELETE: from a request to one write of the store.

Called by `http`. Every change takes the same road: address -> server-owned fields -> admission -> managed
fields -> store. A patch without a resource version is tried again when another write came between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import msgspec
from starlette.responses import Response

from kubechain.errors import BadRequest, Conflict, Details, NotFound, TooLarge, UnsupportedMediaType
from kubechain.resources.builtin import SERVICE_ACCOUNTS
from kubechain.resources.json import JsonObject, JsonValue, exceeds
from kubechain.resources.kind import Kind
from kubechain.runtime.api import Deletion
from kubechain.runtime.patches import merge_patch
from kubechain.server import escalation, identity, strict
from kubechain.server.accept import Form, form_of
from kubechain.server.admission import admit, match_request
from kubechain.server.bodies import media_type, object_in, plain_in, report, unsupported, weight, yaml_value
from kubechain.server.call import Call
from kubechain.server.causes import invalid, refuse, shown
from kubechain.server.fields import apply, track_update
from kubechain.server.jsonpatch import json_patch
from kubechain.server.jsontext import TOO_DEEP, NotJson, parse
from kubechain.server.lists import answer
from kubechain.server.metadata import each_owner_once, undomained
from kubechain.server.patches import strategic
from kubechain.server.query import (
    WriteOptions,
    apply_needs_manager,
    delete_options,
    force_needs_apply,
    list_options,
    write_options,
)
from kubechain.server.read import collection, written
from kubechain.server.status import success
from kubechain.server.typed import word_of

Change = Callable[[JsonObject], JsonObject]
TRIES = 50
"""Of a patch that names no version; every lost one means that another write went through."""
MAX_OBJECT = 3 * 512 * 1024
MAX_OPERATIONS = 10_000
_UNDECODABLE = "error decoding patch: json: cannot unmarshal"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


async def create(call: Call) -> Response:
    """A new object: 201 and its stored form."""
    form_of(call.accept)
    options = write_options(call.query, call.user_agent)
    body, size = await object_in(call, options.validation)
    return await written(call, await _create(call, options, _addressed(call, body), size, applied=False), 201)


async def update(call: Call) -> Response:
    """The whole object, or its status, replaced."""
    form_of(call.accept)
    options = write_options(call.query, call.user_agent, "UpdateOptions")
    sent, size = await object_in(call, options.validation)
    body = _addressed(call, sent)
    return await written(call, await _update(call, options, lambda old: body, size))


async def patch(call: Call) -> Response:
    """The object, or its status, changed by one of four kinds of patch."""
    form_of(call.accept)
    options = write_options(call.query, call.user_agent, "PatchOptions")
    kind, media, body = call.target.served.kind, media_type(call), await call.body()
    accepted = [JSON_PATCH, MERGE_PATCH, *(() if kind.ours else (STRATEGIC_PATCH,)), APPLY_PATCH]
    if media not in accepted:
        raise (
            unsupported(", ".join(accepted)) if kind.ours else UnsupportedMediaType("415: Unsupported Media Type")
        )
    if media == APPLY_PATCH:
        return await _apply(call, options, body)
    if options.force:
        raise force_needs_apply()
    faults: list[str] = []
    size = weight(media, body)
    change = _change(call, media, await call.work(size, _patch_in, body, faults))

    def patched(old: JsonObject) -> JsonObject:
        new, unknown = strict.patched(_of_the_same(kind, old, change(old)), kind)
        found = [*faults, *unknown]
        if found and options.validation == "Strict":
            raise strict.patch_refusal(new, kind, found)
        call.warnings[:] = found if options.validation == "Warn" else []
        return new

    return await written(call, await _update(call, options, patched, size))


async def delete(call: Call) -> Response:
    """One object: `Status` when it is gone, the object while finalizers hold it."""
    options, target = delete_options(call.query, await _options_in(call)), call.target
    done = await call.api.delete(target.served.stored, target.name, target.namespace, options)
    return call.answer(_deleted(call, done))


async def delete_collection(call: Call) -> Response:
    """Every object that the selectors match; answers with the list of them."""
    options, target = delete_options(call.query, await _options_in(call)), call.target
    page = await call.api.list(target.served.stored, target.namespace, list_options(call.query, target))
    removed = []
    for document in page.items:
        metadata = identity.metadata_of(msgspec.json.decode(document))
        try:
            await call.api.delete(
                target.served.stored,
                identity.text(metadata, "name"),
                identity.text(metadata, "namespace"),
                options,
            )
        except NotFound:
            continue
        removed.append(target.served.show(document))
    about: JsonObject = {"resourceVersion": page.resource_version}
    return await answer(call, await collection(target.served.kind, Form(), about, removed))


async def _options_in(call: Call) -> JsonObject:
    """DeleteOptions. Raises BadRequest where the body is something else."""
    body = await plain_in(call, "DeleteOptions")
    kind, version = str(body.get("kind") or "DeleteOptions"), str(body.get("apiVersion") or "v1")
    if kind != "DeleteOptions":
        where = 'in scheme "pkg/runtime/scheme.go:111"'
        raise BadRequest(f'no kind "{kind}" is registered for version "{version}" {where}')
    return body


def _deleted(call: Call, done: Deletion[bytes]) -> bytes | JsonObject:
    kind = call.target.served.kind
    if not done.gone:
        return call.target.served.show(done.object)
    removed: JsonObject = msgspec.json.decode(done.object)
    metadata = identity.metadata_of(removed)
    if kind.key == SERVICE_ACCOUNTS.key:  # alone among the kinds served here it is shown once more
        ended = ("deletionTimestamp", "deletionGracePeriodSeconds")
        return {**removed, "metadata": {k: v for k, v in metadata.items() if k not in ended}}
    name, uid = identity.text(metadata, "name"), identity.text(metadata, "uid")
    return success(Details(name=name, group=kind.group, kind=kind.plural, uid=uid))


def _patch_in(body: bytes, repeated: list[str]) -> JsonValue:
    """What a patch says. Raises BadRequest."""
    try:
        return parse(body, repeated)
    except NotJson as error:
        raise BadRequest(f"error decoding patch: {error.fault}") from None


def _of_the_same(kind: Kind[bytes], old: JsonObject, new: JsonObject) -> JsonObject:
    """The patched object. Raises Invalid where it is no longer the same object, or none."""
    if kind.ours and not new.get("kind"):
        raise strict.patch_refusal(new, kind, [f"Object 'Kind' is missing in '{shown(new)}'"], strictly=False)
    was, uid = (identity.text(identity.metadata_of(obj), "uid") for obj in (old, new))
    if uid and uid != was:
        wrong = invalid("metadata.uid", uid, "field is immutable")
        refuse(kind, identity.text(identity.metadata_of(old), "name"), [wrong, wrong])
    return new


def _change(call: Call, media: str, value: JsonValue) -> Change:
    """A patch as a function of the object. Raises BadRequest, TooLarge."""
    if media == JSON_PATCH:
        if not isinstance(value, list):
            raise BadRequest(f"{_UNDECODABLE} object into Go value of type []handlers.jsonPatchOp")
        if wrong := next((word_of(o) for o in value if not isinstance(o, dict)), ""):
            raise BadRequest(f"{_UNDECODABLE} {wrong} into Go value of type handlers.jsonPatchOp")
        if len(value) > MAX_OPERATIONS:
            raise TooLarge(f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(value)}")
        return lambda old: _object(json_patch(old, value))
    if not isinstance(value, dict):
        raise BadRequest(f"{_UNDECODABLE} {word_of(value)} into Go value of type map[string]interface {{}}")
    if media == STRATEGIC_PATCH:
        kind = call.target.served.kind
        return lambda old: strategic(kind, old, value)
    return lambda old: _object(merge_patch(old, value))


def _object(value: object) -> JsonObject:
    if not isinstance(value, dict):
        raise BadRequest("the patch leaves no object")
    return cast("JsonObject", value)


async def _apply(call: Call, options: WriteOptions, body: bytes) -> Response:
    """Server-side apply: creates (201) or merges what the manager owns (200)."""
    manager, target = call.query.get("fieldManager", ""), call.target
    if not manager:
        raise apply_needs_manager()
    size = weight(APPLY_PATCH, body)
    config, faults = await call.work(size, _applied_in, call, body)
    report(call, options.validation, faults)
    config = _addressed(call, config)
    if "managedFields" in identity.metadata_of(config):
        raise BadRequest("metadata.managedFields must be nil")
    kind, now = target.served.stored, call.settings.clock()
    subresource = target.subresource.name if target.subresource else ""
    config = _to_stored(call, config)

    def merged(live: JsonObject | None) -> JsonObject:
        return apply(kind, live, config, manager, options.force, now, subresource)

    try:
        return await written(call, await _update(call, options, merged, size, applied=True))
    except NotFound:
        if subresource:
            raise
    if uid := identity.text(identity.metadata_of(config), "uid"):
        raise _no_such_uid(call, uid)
    new = await call.work(size, merged, None)
    return await written(call, await _create(call, options, new, size, applied=True), 201)


def _no_such_uid(call: Call, uid: str) -> Conflict:
    """The refusal of an apply that means one object, which is gone."""
    kind, name = call.target.served.kind, call.target.name
    text = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
    return Conflict(
        f'Operation cannot be fulfilled on {kind.qualified} "{name}": {text}',
        Details(name=name, group=kind.group, kind=kind.plural),
    )


def _applied_in(call: Call, body: bytes) -> tuple[JsonObject, list[str]]:
    """The configuration in an apply patch, named by its URL where it does not say. Raises BadRequest."""
    value = yaml_value(body, "error decoding YAML: error converting YAML to JSON")
    if isinstance(value, dict):
        if not value.get("kind"):
            raise BadRequest(f"invalid object type: /{value.get('apiVersion') or ''}, Kind=")
        meta = value.get("metadata")
        if isinstance(meta, dict | None) and not (meta or {}).get("name"):
            body = msgspec.json.encode({**value, "metadata": {**(meta or {}), "name": call.target.name}})
    return strict.decode(body, call.target.served.kind, as_yaml=True)


async def _create(call: Call, options: WriteOptions, body: JsonObject, size: int, *, applied: bool) -> bytes:
    await escalation.confirm(call, None, body)
    document, warnings = await call.work(size, _created, call, options, body, applied=applied)
    call.warnings.extend(warnings)
    stored = await call.api.create(call.target.served.stored, document, dry_run=options.dry_run)
    return call.target.served.show(stored)


def _created(call: Call, options: WriteOptions, body: JsonObject, *, applied: bool) -> tuple[bytes, list[str]]:
    """The new object as it is to be stored, and what a client is to be warned of."""
    kind = call.target.served.stored
    new, warnings = each_owner_once(identity.fresh(kind, body if applied else _to_stored(call, body)))
    new = admit(kind, new, None, address=_address(call))
    warnings += undomained(new)
    _encoded(new)  # what is too large is refused before anything is made of it
    return _encoded(new if applied else _tracked(call, options, None, new)), warnings


async def _update(call: Call, options: WriteOptions, change: Change, size: int, *, applied: bool = False) -> bytes:
    """Read, change, write; again when the object moved between and the change does not name a version."""
    served, target = call.target.served, call.target
    for left in reversed(range(TRIES)):
        stored = await call.api.get(served.stored, target.name, target.namespace)
        larger = max(size, len(stored))
        new, again = await call.work(larger, _changed, call, options, change, stored, applied=applied)
        if escalation.guarded(call):
            await escalation.confirm(call, msgspec.json.decode(stored), msgspec.json.decode(new))
        try:
            document = await _put(call, options, new)
        except Conflict:
            if not left or not again:
                raise
            continue
        return served.show(document)
    raise AssertionError("the last try returns or raises")


def _changed(
    call: Call, options: WriteOptions, change: Change, stored: bytes, *, applied: bool
) -> tuple[bytes, bool]:
    """The object as it is to be stored, and whether it names no other version than the one it was made from."""
    served = call.target.served
    old: JsonObject = msgspec.json.decode(stored)
    new = change(served.to_shown(old) if served.to_shown and not applied else old)
    if exceeds(new):
        raise BadRequest(f"the changed object {TOO_DEEP}")
    if not applied:
        new = _to_stored(call, _addressed(call, new))
    new, warnings = each_owner_once(new)
    call.warnings.extend(warnings)
    new = _admitted(call, options, old, new, applied=applied)
    versions = {identity.text(identity.metadata_of(o), "resourceVersion") for o in (old, new)}
    if not identity.metadata_of(new).get("managedFields"):
        new = {**new, "metadata": {**identity.metadata_of(new), "managedFields": [{}]}}
    return _encoded(new), len(versions) == 1


def _admitted(call: Call, options: WriteOptions, old: JsonObject, new: JsonObject, *, applied: bool) -> JsonObject:
    kind, status_only = call.target.served.stored, call.target.subresource is not None
    new = identity.successor(kind, old, new, status_only=status_only)
    new = admit(kind, new, old, status_only=status_only, address=_address(call))
    _encoded(new)  # what is too large is refused before anything is made of it
    return new if applied else _tracked(call, options, old, new)


async def _put(call: Call, options: WriteOptions, document: bytes) -> bytes:
    put = call.api.put_status if call.target.subresource is not None else call.api.put
    return await put(call.target.served.stored, document, dry_run=options.dry_run)


def _tracked(call: Call, options: WriteOptions, old: JsonObject | None, new: JsonObject) -> JsonObject:
    kind = call.target.served.stored
    subresource = call.target.subresource.name if call.target.subresource else ""
    return track_update(kind, old, new, options.manager, kind.api_version, subresource, call.settings.clock())


def _address(call: Call) -> Kind[bytes] | None:
    """The kind that the URL names, where the store keeps another."""
    return call.target.served.kind if call.target.served.kind is not call.target.served.stored else None


def _addressed(call: Call, obj: JsonObject) -> JsonObject:
    return match_request(obj, call.target.served.kind, call.target.namespace, call.target.name)


def _to_stored(call: Call, obj: JsonObject) -> JsonObject:
    return call.target.served.to_stored(obj) if call.target.served.to_stored else obj


def _encoded(obj: JsonObject) -> bytes:
    document = msgspec.json.encode(obj)
    if len(document) > MAX_OBJECT:
        raise TooLarge(
            f"Request entity too large: an object takes at most {MAX_OBJECT} bytes, got {len(document)}"
        )
    return document
