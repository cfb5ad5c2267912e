"""Server-side apply: merges the configuration of one manager into the live object, and respects fields of others.

Called by the HTTP layer for `application/apply-patch+yaml`. Raises Conflict if a value differs from what another
manager has set, unless the apply is forced. Fields that the manager no longer lists, and nobody else owns, are
removed.
"""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from kubechain.errors import BadRequest, Cause, Conflict, Details
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import Kind
from kubechain.resources.model import timestamp
from kubechain.server.causes import MAX_CAUSES
from kubechain.server.fields.managers import (
    UNTRACKED,
    Claim,
    Manager,
    before_first_apply,
    read,
    tracked,
    without,
    written,
)
from kubechain.server.fields.paths import (
    Path,
    Paths,
    Undeclared,
    atomic,
    child,
    closure,
    difference,
    element,
    elements,
    items,
    of_object,
    shown,
)
from kubechain.server.structure import structure

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def apply(
    kind: Kind[Any],
    live: JsonObject | None,
    config: JsonObject,
    manager: str,
    force: bool,
    now: datetime,
    subresource: str = "",
) -> JsonObject:
    """The live object (None: not there yet) with `config` merged in; raises Conflict, BadRequest."""
    schema, claims = structure(kind), read(live)
    if live is not None and not claims:
        claims = before_first_apply(kind, live)
    me = Manager(manager, "Apply", kind.api_version, subresource)
    try:
        wishes = tracked(of_object(schema, config), kind, subresource)
    except Undeclared as error:
        raise BadRequest(f"failed to create typed patch object ({_described(kind, config)}): {error}") from error
    before = claims.pop(me, None)
    wanted = _writable(config, kind, subresource)
    merged = _merge(schema, live or {}, wanted)
    assert isinstance(merged, dict)  # noqa: S101 - two objects merge into one
    if before is not None:
        owned = wishes.union(*(claim.paths for claim in claims.values()))
        merged = _without(schema, merged, closure(before.paths) - closure(owned) - UNTRACKED)
    changes = difference(schema, live or {}, merged)
    touched = tracked(changes.added | changes.changed, kind, subresource)
    taken = {other: claim.paths & touched for other, claim in claims.items()}
    taken = {other: paths for other, paths in taken.items() if paths}
    if taken and not force and not _migrates(manager, live, schema, taken):
        raise _conflict(kind, config, taken)
    unchanged = live is not None and before is not None and before.paths == wishes and not changes
    claims = without(claims, taken, changes.removed)
    claims[me] = before if unchanged and before is not None else Claim(wishes, timestamp(now))
    return written(_remembered(manager, merged, config), claims)


def _described(kind: Kind[Any], config: JsonObject) -> str:
    meta = config.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    name = "/".join(str(meta[part]) for part in ("namespace", "name") if meta.get(part))
    return f"{name}; {kind.api_version}, Kind={kind.kind}"


def _writable(config: JsonObject, kind: Kind[Any], subresource: str) -> JsonObject:
    """The half of the object that this endpoint writes."""
    if subresource == "status":
        return {name: value for name, value in config.items() if name == "status"}
    return {n: v for n, v in config.items() if n != "status"} if kind.has_status else config


def _merge(schema: JsonObject, live: JsonValue, wish: JsonValue) -> JsonValue:
    if type(live) is not type(wish) or atomic(schema, wish):
        return wish
    if isinstance(live, dict) and isinstance(wish, dict):
        new = {n: _merge(child(schema, n), live[n], w) if n in live else w for n, w in wish.items()}
        return {**live, **new}
    ours = elements(schema, wish)
    known = elements(schema, live)
    kept: list[JsonValue] = [
        _merge(items(schema), item, ours[key]) if key in ours else item for key, item in known.items()
    ]
    return [*kept, *(item for key, item in ours.items() if key not in known)]


def _without(schema: JsonObject, value: JsonObject, gone: set[Path], at: Path = ()) -> JsonObject:
    """The object less the members and items at these paths."""
    if not gone:
        return value
    out: JsonObject = {}
    for name, member in value.items():
        here = (*at, f"f:{name}")
        if here not in gone:
            out[name] = _thinned(child(schema, name), member, gone, here)
    return out


def _thinned(schema: JsonObject, value: JsonValue, gone: set[Path], at: Path) -> JsonValue:
    if atomic(schema, value):
        return value
    if isinstance(value, dict):
        return _without(schema, value, gone, at)
    kept: list[JsonValue] = []
    for item in value if isinstance(value, list) else []:
        here = (*at, element(schema, item))
        if here not in gone:
            kept.append(_thinned(items(schema), item, gone, here))
    return kept


def _conflict(kind: Kind[Any], config: JsonObject, taken: dict[Manager, Paths]) -> Conflict:
    most = {other: islice(sorted(paths), MAX_CAUSES) for other, paths in taken.items()}
    clashes = sorted((_named(other), shown(path)) for other, paths in most.items() for path in paths)
    causes = tuple(Cause("FieldManagerConflict", f"conflict with {who}", path) for who, path in clashes)
    if len(clashes) == 1:
        text = f"Apply failed with 1 conflict: conflict with {clashes[0][0]}: {clashes[0][1]}"
    else:
        lines = []
        for who in dict.fromkeys(who for who, _ in clashes):
            lines.append(f"conflicts with {who}:")
            lines += [f"- {path}" for name, path in clashes if name == who]
        text = f"Apply failed with {len(clashes)} conflicts: " + "\n".join(lines)
    return Conflict(text, Details(causes=causes))


def _named(manager: Manager) -> str:
    name = f'"{manager.name}"'
    if manager.subresource:
        name += f' with subresource "{manager.subresource}"'
    return f"{name} using {manager.api_version}" if manager.operation == "Update" else name


def _last_applied(obj: JsonObject | None) -> JsonObject | None:
    meta = (obj or {}).get("metadata")
    notes = meta.get("annotations") if isinstance(meta, dict) else None
    text = notes.get(LAST_APPLIED) if isinstance(notes, dict) else None
    try:
        value = msgspec.json.decode(text) if isinstance(text, str) else None
    except msgspec.DecodeError:
        return None
    return value if isinstance(value, dict) else None


def _migrates(manager: str, live: JsonObject | None, schema: JsonObject, taken: dict[Manager, Paths]) -> bool:
    """kubectl moving from client-side to server-side apply may take what it applied itself."""
    applied = _last_applied(live) if manager == "kubectl" else None
    if live is None or applied is None:
        return False
    try:
        own = closure(of_object(schema, applied))
    except Undeclared:
        return False
    since = difference(schema, applied, live)
    own -= since.added | since.changed | since.removed
    return all(path in own for paths in taken.values() for path in paths)


def _remembered(manager: str, merged: JsonObject, config: JsonObject) -> JsonObject:
    """kubectl's annotation of what was applied last kept current, where there is one."""
    if manager != "kubectl" or _last_applied(merged) is None:
        return merged
    meta = merged["metadata"]
    notes = meta.get("annotations") if isinstance(meta, dict) else None
    if not isinstance(meta, dict) or not isinstance(notes, dict):
        return merged
    text = msgspec.json.encode(config, order="sorted").decode() + "\n"
    return {**merged, "metadata": {**meta, "annotations": {**notes, LAST_APPLIED: text}}}
