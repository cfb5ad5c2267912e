"""The entries of `metadata.managedFields`: read, kept up to date on writes that are not applies, written back.

Called by the HTTP layer (`track_update`) and by `apply`. A write that changes nothing leaves all entries alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, cast

from msgspec import Struct

from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import Kind
from kubechain.resources.model import timestamp
from kubechain.server.fields.paths import Difference, Path, Paths, decode, difference, encode
from kubechain.server.structure import structure

MAX_UPDATE_ENTRIES = 10
_EMPTY: dict[str, JsonObject] = {"Lease": {"spec": {}}}
"""What a new object has before anybody wrote to it, where that is not nothing."""
ANCIENT = "ancient-changes"
_SERVERS = ("name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields")
UNTRACKED: Paths = frozenset(
    [
        *[("f:apiVersion",), ("f:kind",), ("f:metadata",), ("f:metadata", "f:resourceVersion")],
        *[("f:metadata", f"f:{name}") for name in _SERVERS],
        *[("f:metadata", f"f:{name}") for name in ("deletionTimestamp", "deletionGracePeriodSeconds")],
    ]
)


class Manager(Struct, frozen=True):
    """Who writes, how, and through which version and subresource: the identity of an entry."""

    name: str
    operation: Literal["Apply", "Update"]
    api_version: str
    subresource: str = ""


class Claim(Struct, frozen=True):
    """The paths of a manager and when they last changed."""

    paths: Paths
    time: str


Claims = dict[Manager, Claim]


def read(obj: JsonObject | None) -> Claims:
    """The claims in an object; an entry that cannot be read claims nothing."""
    meta = (obj or {}).get("metadata")
    entries = meta.get("managedFields") if isinstance(meta, dict) else None
    claims: Claims = {}
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or entry.get("operation") not in ("Apply", "Update"):
            continue
        text = {name: str(entry.get(name) or "") for name in ("manager", "apiVersion", "subresource", "time")}
        operation = cast("Literal['Apply', 'Update']", entry["operation"])
        manager = Manager(text["manager"], operation, text["apiVersion"], text["subresource"])
        claims[manager] = Claim(frozenset(decode(entry.get("fieldsV1"))), text["time"])
    return claims


def written(obj: JsonObject, claims: Claims) -> JsonObject:
    """The object with these claims in it; claims to nothing are left out."""
    entries = [_entry(manager, claim) for manager, claim in _ordered(_capped(claims)) if claim.paths]
    meta = obj.get("metadata")
    kept = {n: v for n, v in meta.items() if n != "managedFields"} if isinstance(meta, dict) else {}
    return {**obj, "metadata": {**kept, **({"managedFields": entries} if entries else {})}}


def _ordered(claims: Claims) -> list[tuple[Manager, Claim]]:
    return sorted(
        claims.items(), key=lambda c: (c[0].operation, c[1].time, c[0].name, c[0].api_version, c[0].subresource)
    )


def _entry(manager: Manager, claim: Claim) -> JsonValue:
    entry: JsonObject = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        "time": claim.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": encode(claim.paths),
    }
    return {**entry, "subresource": manager.subresource} if manager.subresource else entry


def _capped(claims: Claims) -> Claims:
    """The oldest Update entries joined into one where there are too many."""
    updates = [(m, c) for m, c in _ordered(claims) if m.operation == "Update" and c.paths]
    surplus = len(updates) - MAX_UPDATE_ENTRIES
    if surplus <= 0:
        return claims
    old = [(m, c) for m, c in updates if m.name == ANCIENT or not m.subresource][: surplus + 1]
    rest = {m: c for m, c in claims.items() if m not in dict(old)}
    paths = frozenset[Path]().union(*(c.paths for _, c in old))
    rest[Manager(ANCIENT, "Update", old[-1][0].api_version)] = Claim(paths, old[-1][1].time)
    return rest


def tracked(paths: Iterable[Path], kind: Kind[Any], subresource: str) -> Paths:
    """Without what no manager owns, and what this endpoint does not write."""
    kept = {path for path in paths if path not in UNTRACKED}
    if subresource == "status":
        kept = {path for path in kept if path[0] == "f:status"}
    elif kind.has_status:
        kept = {path for path in kept if path[0] != "f:status"}
    if kind.kind == "Namespace":  # spec.finalizers is the server's own
        kept = {path for path in kept if path[0] != "f:spec"}
    return frozenset(kept)


def without(claims: Claims, taken: dict[Manager, Paths], removed: set[Path]) -> Claims:
    """The claims less what was taken from each and what is gone for all."""
    return {
        manager: Claim(claim.paths - taken.get(manager, frozenset()) - removed, claim.time)
        for manager, claim in claims.items()
    }


def before_first_apply(kind: Kind[Any], live: JsonObject) -> Claims:
    """The claim of those who wrote an object before anybody applied to it."""
    found = difference(structure(kind), {}, live)
    meta = live.get("metadata")
    since = str(meta.get("creationTimestamp") or "") if isinstance(meta, dict) else ""
    mine = tracked(found.added, kind, "")
    return {Manager("before-first-apply", "Update", kind.api_version): Claim(mine, since)}


def resets(obj: JsonObject) -> bool:
    """Whether the client asks for all claims to be forgotten: a list of one empty entry."""
    meta = obj.get("metadata")
    return isinstance(meta, dict) and meta.get("managedFields") == [{}]


def track_update(
    kind: Kind[Any],
    old: JsonObject | None,
    new: JsonObject,
    manager: str,
    api_version: str,
    subresource: str,
    now: datetime,
) -> JsonObject:
    """`new` with managedFields that say what this write added, changed and removed."""
    if resets(new):
        return written(new, {})
    claims = read(new) or read(old)
    if old is not None and not claims:  # nobody has asked for ownership to be tracked
        return written(new, {})
    found: Difference = difference(structure(kind), old or _EMPTY.get(kind.kind, {}), new)
    mine = tracked(found.added | found.changed, kind, subresource)
    claims = without(claims, dict.fromkeys(claims, mine), found.removed)
    me = Manager(manager, "Update", api_version, subresource)
    if mine:
        before = claims[me].paths if me in claims else frozenset()
        claims[me] = Claim(before | mine, timestamp(now))
    return written(new, claims)
