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
from kubechain.server.scope import RequestScope
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


async def create(scope: RequestScope) -> Response:
    """A new object: 201 and its stored form."""
    form_of(scope.accept)
    options = write_options(scope.query, scope.user_agent)
    body, size = await object_in(scope, options.validation)
    return await written(scope, await _create(scope, options, _addressed(scope, body), size, applied=False), 201)


async def update(scope: RequestScope) -> Response:
    """The whole object, or its status, replaced."""
    form_of(scope.accept)
    options = write_options(scope.query, scope.user_agent, "UpdateOptions")
    sent, size = await object_in(scope, options.validation)
    body = _addressed(scope, sent)
    return await written(scope, await _update(scope, options, lambda old: body, size))


async def patch(scope: RequestScope) -> Response:
    """The object, or its status, changed by one of four kinds of patch."""
    form_of(scope.accept)
    options = write_options(scope.query, scope.user_agent, "PatchOptions")
    kind, media, body = scope.target.served.kind, media_type(scope), await scope.body()
    accepted = [JSON_PATCH, MERGE_PATCH, *(() if kind.ours else (STRATEGIC_PATCH,)), APPLY_PATCH]
    if media not in accepted:
        raise (
            unsupported(", ".join(accepted)) if kind.ours else UnsupportedMediaType("415: Unsupported Media Type")
        )
    if media == APPLY_PATCH:
        return await _apply(scope, options, body)
    if options.force:
        raise force_needs_apply()
    faults: list[str] = []
    size = weight(media, body)
    change = _change(scope, media, await scope.work(size, _patch_in, body, faults))

    def patched(old: JsonObject) -> JsonObject:
        new, unknown = strict.patched(_of_the_same(kind, old, change(old)), kind)
        found = [*faults, *unknown]
        if found and options.validation == "Strict":
            raise strict.patch_refusal(new, kind, found)
        scope.warnings[:] = found if options.validation == "Warn" else []
        return new

    return await written(scope, await _update(scope, options, patched, size))


async def delete(scope: RequestScope) -> Response:
    """One object: `Status` when it is gone, the object while finalizers hold it."""
    options, target = delete_options(scope.query, await _options_in(scope)), scope.target
    done = await scope.api.delete(target.served.stored, target.name, target.namespace, options)
    return scope.answer(_deleted(scope, done))


async def delete_collection(scope: RequestScope) -> Response:
    """Every object that the selectors match; answers with the list of them."""
    options, target = delete_options(scope.query, await _options_in(scope)), scope.target
    page = await scope.api.list(target.served.stored, target.namespace, list_options(scope.query, target))
    removed = []
    for document in page.items:
        metadata = identity.metadata_of(msgspec.json.decode(document))
        try:
            await scope.api.delete(
                target.served.stored,
                identity.text(metadata, "name"),
                identity.text(metadata, "namespace"),
                options,
            )
        except NotFound:
            continue
        removed.append(target.served.show(document))
    about: JsonObject = {"resourceVersion": page.resource_version}
    return await answer(scope, await collection(target.served.kind, Form(), about, removed))


async def _options_in(scope: RequestScope) -> JsonObject:
    """DeleteOptions. Raises BadRequest where the body is something else."""
    body = await plain_in(scope, "DeleteOptions")
    kind, version = str(body.get("kind") or "DeleteOptions"), str(body.get("apiVersion") or "v1")
    if kind != "DeleteOptions":
        where = 'in scheme "pkg/runtime/scheme.go:111"'
        raise BadRequest(f'no kind "{kind}" is registered for version "{version}" {where}')
    return body


def _deleted(scope: RequestScope, done: Deletion[bytes]) -> bytes | JsonObject:
    kind = scope.target.served.kind
    if not done.gone:
        return scope.target.served.show(done.object)
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


def _change(scope: RequestScope, media: str, value: JsonValue) -> Change:
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
        kind = scope.target.served.kind
        return lambda old: strategic(kind, old, value)
    return lambda old: _object(merge_patch(old, value))


def _object(value: object) -> JsonObject:
    if not isinstance(value, dict):
        raise BadRequest("the patch leaves no object")
    return cast("JsonObject", value)


async def _apply(scope: RequestScope, options: WriteOptions, body: bytes) -> Response:
    """Server-side apply: creates (201) or merges what the manager owns (200)."""
    manager, target = scope.query.get("fieldManager", ""), scope.target
    if not manager:
        raise apply_needs_manager()
    size = weight(APPLY_PATCH, body)
    config, faults = await scope.work(size, _applied_in, scope, body)
    report(scope, options.validation, faults)
    config = _addressed(scope, config)
    if "managedFields" in identity.metadata_of(config):
        raise BadRequest("metadata.managedFields must be nil")
    kind, now = target.served.stored, scope.settings.clock()
    subresource = target.subresource.name if target.subresource else ""
    config = _to_stored(scope, config)

    def merged(live: JsonObject | None) -> JsonObject:
        return apply(kind, live, config, manager, options.force, now, subresource)

    try:
        return await written(scope, await _update(scope, options, merged, size, applied=True))
    except NotFound:
        if subresource:
            raise
    if uid := identity.text(identity.metadata_of(config), "uid"):
        raise _no_such_uid(scope, uid)
    new = await scope.work(size, merged, None)
    return await written(scope, await _create(scope, options, new, size, applied=True), 201)


def _no_such_uid(scope: RequestScope, uid: str) -> Conflict:
    """The refusal of an apply that means one object, which is gone."""
    kind, name = scope.target.served.kind, scope.target.name
    text = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
    return Conflict(
        f'Operation cannot be fulfilled on {kind.qualified} "{name}": {text}',
        Details(name=name, group=kind.group, kind=kind.plural),
    )


def _applied_in(scope: RequestScope, body: bytes) -> tuple[JsonObject, list[str]]:
    """The configuration in an apply patch, named by its URL where it does not say. Raises BadRequest."""
    value = yaml_value(body, "error decoding YAML: error converting YAML to JSON")
    if isinstance(value, dict):
        if not value.get("kind"):
            raise BadRequest(f"invalid object type: /{value.get('apiVersion') or ''}, Kind=")
        meta = value.get("metadata")
        if isinstance(meta, dict | None) and not (meta or {}).get("name"):
            body = msgspec.json.encode({**value, "metadata": {**(meta or {}), "name": scope.target.name}})
    return strict.decode(body, scope.target.served.kind, as_yaml=True)


async def _create(
    scope: RequestScope, options: WriteOptions, body: JsonObject, size: int, *, applied: bool
) -> bytes:
    await escalation.confirm(scope, None, body)
    document, warnings = await scope.work(size, _created, scope, options, body, applied=applied)
    scope.warnings.extend(warnings)
    stored = await scope.api.create(scope.target.served.stored, document, dry_run=options.dry_run)
    return scope.target.served.show(stored)


def _created(
    scope: RequestScope, options: WriteOptions, body: JsonObject, *, applied: bool
) -> tuple[bytes, list[str]]:
    """The new object as it is to be stored, and what a client is to be warned of."""
    kind = scope.target.served.stored
    new, warnings = each_owner_once(identity.fresh(kind, body if applied else _to_stored(scope, body)))
    new = admit(kind, new, None, address=_address(scope))
    warnings += undomained(new)
    _encoded(new)  # what is too large is refused before anything is made of it
    return _encoded(new if applied else _tracked(scope, options, None, new)), warnings


async def _update(
    scope: RequestScope, options: WriteOptions, change: Change, size: int, *, applied: bool = False
) -> bytes:
    """Read, change, write; again when the object moved between and the change does not name a version."""
    served, target = scope.target.served, scope.target
    for left in reversed(range(TRIES)):
        stored = await scope.api.get(served.stored, target.name, target.namespace)
        larger = max(size, len(stored))
        new, again = await scope.work(larger, _changed, scope, options, change, stored, applied=applied)
        if escalation.guarded(scope):
            await escalation.confirm(scope, msgspec.json.decode(stored), msgspec.json.decode(new))
        try:
            document = await _put(scope, options, new)
        except Conflict:
            if not left or not again:
                raise
            continue
        return served.show(document)
    raise AssertionError("the last try returns or raises")


def _changed(
    scope: RequestScope, options: WriteOptions, change: Change, stored: bytes, *, applied: bool
) -> tuple[bytes, bool]:
    """The object as it is to be stored, and whether it names no other version than the one it was made from."""
    served = scope.target.served
    old: JsonObject = msgspec.json.decode(stored)
    new = change(served.to_shown(old) if served.to_shown and not applied else old)
    if exceeds(new):
        raise BadRequest(f"the changed object {TOO_DEEP}")
    if not applied:
        new = _to_stored(scope, _addressed(scope, new))
    new, warnings = each_owner_once(new)
    scope.warnings.extend(warnings)
    new = _admitted(scope, options, old, new, applied=applied)
    versions = {identity.text(identity.metadata_of(o), "resourceVersion") for o in (old, new)}
    if not identity.metadata_of(new).get("managedFields"):
        new = {**new, "metadata": {**identity.metadata_of(new), "managedFields": [{}]}}
    return _encoded(new), len(versions) == 1


def _admitted(
    scope: RequestScope, options: WriteOptions, old: JsonObject, new: JsonObject, *, applied: bool
) -> JsonObject:
    kind, status_only = scope.target.served.stored, scope.target.subresource is not None
    new = identity.successor(kind, old, new, status_only=status_only)
    new = admit(kind, new, old, status_only=status_only, address=_address(scope))
    _encoded(new)  # what is too large is refused before anything is made of it
    return new if applied else _tracked(scope, options, old, new)


async def _put(scope: RequestScope, options: WriteOptions, document: bytes) -> bytes:
    put = scope.api.put_status if scope.target.subresource is not None else scope.api.put
    return await put(scope.target.served.stored, document, dry_run=options.dry_run)


def _tracked(scope: RequestScope, options: WriteOptions, old: JsonObject | None, new: JsonObject) -> JsonObject:
    kind = scope.target.served.stored
    subresource = scope.target.subresource.name if scope.target.subresource else ""
    return track_update(kind, old, new, options.manager, kind.api_version, subresource, scope.settings.clock())


def _address(scope: RequestScope) -> Kind[bytes] | None:
    """The kind that the URL names, where the store keeps another."""
    return scope.target.served.kind if scope.target.served.kind is not scope.target.served.stored else None


def _addressed(scope: RequestScope, obj: JsonObject) -> JsonObject:
    return match_request(obj, scope.target.served.kind, scope.target.namespace, scope.target.name)


def _to_stored(scope: RequestScope, obj: JsonObject) -> JsonObject:
    return scope.target.served.to_stored(obj) if scope.target.served.to_stored else obj


def _encoded(obj: JsonObject) -> bytes:
    document = msgspec.json.encode(obj)
    if len(document) > MAX_OBJECT:
        raise TooLarge(
            f"Request entity too large: an object takes at most {MAX_OBJECT} bytes, got {len(document)}"
        )
    return document
