"""Sets the parts of an object that the server controls, whatever a client sends.

Called by `write` first, for every new object. Pure: arguments are not changed.
"""

from __future__ import annotations

from kubechain.errors import Conflict, Details
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import Kind

_SERVER_OWNED = (
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
)


def metadata_of(obj: JsonObject) -> JsonObject:
    """The object's metadata, empty where it has none."""
    metadata = obj.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def text(metadata: JsonObject, member: str) -> str:
    """A member of metadata, "" where it is absent or no text."""
    value = metadata.get(member)
    return value if isinstance(value, str) else ""


def fresh(kind: Kind[bytes], obj: JsonObject) -> JsonObject:
    """An object for a create, without the fields that only the server sets."""
    kept = {k: v for k, v in metadata_of(obj).items() if k not in _SERVER_OWNED}
    return {k: v for k, v in obj.items() if k != "status" or not kind.has_status} | {"metadata": kept}


def successor(kind: Kind[bytes], old: JsonObject, new: JsonObject, *, status_only: bool) -> JsonObject:
    """What an update makes of `old`: everything but status, or status alone. Raises Conflict (uid or version).

    Our kinds must say which version they replace; admission refuses those that do not.
    """
    before, after = metadata_of(old), metadata_of(new)
    uid = text(after, "uid")
    if uid and uid != before.get("uid"):
        raise _other_uid(kind, text(before, "name"), uid, text(before, "uid"))
    version = text(after, "resourceVersion")
    if version not in ("", "0", before.get("resourceVersion")):
        raise _other_version(kind, text(before, "name"))
    if version in ("", "0") and not (kind.ours or kind.plural == "leases"):
        version = text(before, "resourceVersion")
    if status_only:
        metadata = {**before, "resourceVersion": version}
        if "managedFields" in after:
            metadata["managedFields"] = after["managedFields"]
        return _with_status({**old, "metadata": metadata}, new)
    kept = {k: v for k, v in after.items() if k not in _SERVER_OWNED}
    owned = {k: before[k] for k in _SERVER_OWNED if k in before}
    if "deletionTimestamp" in after and "deletionTimestamp" not in before:
        owned["deletionTimestamp"] = after["deletionTimestamp"]  # admission refuses it
    moved: JsonObject = {**new, "metadata": {**kept, **owned, "resourceVersion": version}}
    return _with_status(moved, old) if kind.has_status else moved


def _with_status(obj: JsonObject, source: JsonObject) -> JsonObject:
    status: JsonValue = source.get("status")
    out = {k: v for k, v in obj.items() if k != "status"}
    return out if status is None else {**out, "status": status}


def _other_version(kind: Kind[bytes], name: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on {kind.qualified} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
        Details(name=name, group=kind.group, kind=kind.plural),
    )


def _other_uid(kind: Kind[bytes], name: str, wanted: str, held: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on {kind.qualified} "{name}": '
        f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {held}",
        Details(name=name, group=kind.group, kind=kind.plural, uid=wanted),
    )
