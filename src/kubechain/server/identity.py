"""The parts of an object that belong to its address or to the server, whatever a client sends.

Called by `write` before anything else looks at a new object. Pure: arguments are not changed.
"""

from __future__ import annotations

from kubechain.errors import BadRequest, Cause, Conflict, Details, Invalid
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import Kind
from kubechain.server.paths import Target

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


def addressed(target: Target, obj: JsonObject) -> JsonObject:
    """The object with apiVersion, kind, namespace and name of its address. Raises BadRequest, Invalid."""
    kind, metadata = target.served.kind, metadata_of(obj)
    _check_type(kind, obj, text(metadata, "name"))
    namespace, name = text(metadata, "namespace"), text(metadata, "name")
    if namespace != target.namespace and namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    if target.name and name != target.name:
        if name:
            raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
        name = target.name
    placed: JsonObject = {"name": name} if name else {}
    if target.namespace:
        placed["namespace"] = target.namespace
    return {**obj, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": {**metadata, **placed}}


def fresh(kind: Kind[bytes], obj: JsonObject) -> JsonObject:
    """An object as a create takes it: nothing in it that only the server sets. Raises BadRequest."""
    metadata = metadata_of(obj)
    if text(metadata, "resourceVersion"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    kept = {k: v for k, v in metadata.items() if k not in _SERVER_OWNED and k != "resourceVersion"}
    return {k: v for k, v in obj.items() if k != "status" or not kind.has_status} | {"metadata": kept}


def successor(kind: Kind[bytes], old: JsonObject, new: JsonObject, *, status_only: bool) -> JsonObject:
    """What an update makes of `old`: everything but status, or status alone. Raises Conflict (another uid)."""
    before, after = metadata_of(old), metadata_of(new)
    uid = text(after, "uid")
    if uid and uid != before.get("uid"):
        raise _other_uid(kind, text(before, "name"), uid, text(before, "uid"))
    version = text(after, "resourceVersion") or text(before, "resourceVersion")
    if status_only:
        metadata = {**before, "resourceVersion": version}
        if "managedFields" in after:
            metadata["managedFields"] = after["managedFields"]
        return _with_status({**old, "metadata": metadata}, new)
    kept = {k: v for k, v in after.items() if k not in _SERVER_OWNED}
    owned = {k: before[k] for k in _SERVER_OWNED if k in before}
    moved: JsonObject = {**new, "metadata": {**kept, **owned, "resourceVersion": version}}
    return _with_status(moved, old) if kind.has_status else moved


def needs_version(kind: Kind[bytes], obj: JsonObject) -> None:
    """Raises Invalid for a replacement that does not say which version it replaces, where the kind wants that."""
    metadata = metadata_of(obj)
    if text(metadata, "resourceVersion") not in ("", "0") or not (kind.ours or kind.plural == "leases"):
        return
    shown = text(metadata, "resourceVersion") or "0"
    detail = f"Invalid value: {shown if shown == '0' else repr(shown)}: must be specified for an update"
    raise invalid(kind, text(metadata, "name"), "metadata.resourceVersion", "FieldValueInvalid", detail)


def invalid(kind: Kind[bytes], name: str, field: str, reason: str, detail: str) -> Invalid:
    """`Agent.GROUP "x" is invalid: FIELD: DETAIL`, with its one cause."""
    subject = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    details = Details(name, kind.group, kind.kind, causes=(Cause(reason, detail, field),))
    return Invalid(f'{subject} "{name}" is invalid: {field}: {detail}', details)


def _check_type(kind: Kind[bytes], obj: JsonObject, name: str) -> None:
    api_version, own = obj.get("apiVersion"), obj.get("kind")
    if api_version not in (None, "", kind.api_version):
        raise BadRequest(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({kind.api_version})"
        )
    if own in (None, "", kind.kind):
        return
    if kind.ours:
        raise invalid(kind, name, "kind", "FieldValueInvalid", f'Invalid value: "{own}": must be {kind.kind}')
    raise BadRequest(f'{own} in version "{kind.version}" cannot be handled as a {kind.kind}')


def _with_status(obj: JsonObject, source: JsonObject) -> JsonObject:
    status: JsonValue = source.get("status")
    out = {k: v for k, v in obj.items() if k != "status"}
    return out if status is None else {**out, "status": status}


def _other_uid(kind: Kind[bytes], name: str, wanted: str, held: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on {kind.qualified} "{name}": '
        f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {held}",
        Details(name=name, group=kind.group, kind=kind.plural, uid=wanted),
    )
