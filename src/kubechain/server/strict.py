"""Request bodies -> objects, with the report of what a strict reader refuses: duplicate and unknown fields.

Called by the HTTP layer for every write; it raises on the report, warns of it or drops it, as `fieldValidation`
says. Judges form only; `admission` judges content. Texts are those of a Kubernetes API server.
"""

from __future__ import annotations

import json
from typing import Any

from kubechain.errors import BadRequest, Details, Invalid
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import Kind
from kubechain.resources.yamlscalars import NotYaml
from kubechain.server.causes import invalid, shown
from kubechain.server.jsontext import NotJson, parse
from kubechain.server.manifest import load
from kubechain.server.messages import message_of, messages
from kubechain.server.schema import fit
from kubechain.server.typed import Mistyped, read, word_of

MAX_SHOWN = 10_000
"""Characters of an object in an error text."""
_TYPE_META = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)


def decode(body: bytes, kind: Kind[Any], *, as_yaml: bool = False) -> tuple[JsonObject, list[str]]:
    """The object in a request body, and what a strict reader refuses in it; raises BadRequest."""
    repeated: list[str] = []
    try:
        value = load(body, repeated) if as_yaml else parse(body, repeated)
        given = _type_meta(value, kind)
    except (_Unrecognized, NotJson, NotYaml) as error:
        text = f"the object provided is unrecognized (must be of type {kind.kind}): {error} ({_summary(body)})"
        raise BadRequest(text) from error
    version = str(given.get("apiVersion") or "").rpartition("/")[2] or kind.version
    blame = f'{given.get("kind") or kind.kind} in version "{version}" cannot be handled as a {kind.kind}'
    try:
        obj, unknown = typed(given, kind)
    except Mistyped as error:
        raise BadRequest(f"{blame}: {error}") from error
    if kind.ours and obj.get("apiVersion", "") != kind.api_version:
        raise BadRequest(
            f"the API version in the data ({obj.get('apiVersion', '')}) "
            f"does not match the expected API version ({kind.api_version})"
        )
    return obj, [*repeated, *unknown]


def typed(obj: JsonObject, kind: Kind[Any]) -> tuple[JsonObject, list[str]]:
    """The object, metadata (and all of a built-in kind) normalised, and its unknown fields; raises Mistyped."""
    unknown: list[str] = []
    message = message_of(kind)
    if message is not None:
        _same_type(obj, kind)
        whole = {**read(message, obj, unknown), "apiVersion": kind.api_version, "kind": kind.kind}
        return whole, _said(unknown)
    out = dict(obj)
    if "metadata" in obj:
        meta = obj["metadata"]
        ordered = dict(sorted(meta.items())) if isinstance(meta, dict) else meta
        out["metadata"] = read(messages()["ObjectMeta"], ordered or {}, unknown, root=False)
    if obj.get("kind") != kind.kind:
        return out, []
    pruned: list[str] = []
    fit(kind.schema, out, unknown=pruned)
    return out, _said([f"metadata.{path}" for path in unknown] + sorted(pruned))


def _said(unknown: list[str]) -> list[str]:
    return [f'unknown field "{path}"' for path in unknown]


def patched(obj: JsonObject, kind: Kind[Any]) -> tuple[JsonObject, list[str]]:
    """`typed` for the object that a patch leads to; raises Invalid."""
    try:
        return typed(obj, kind)
    except Mistyped as error:
        raise _bad_patch(obj, kind, str(error)) from error


def refusal(kind: Kind[Any], report: list[str]) -> BadRequest:
    """What a strict server answers to a body with that report."""
    text = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'
    return BadRequest(f"{text}: strict decoding error: {', '.join(report)}")


def patch_refusal(obj: JsonObject, kind: Kind[Any], report: list[str], *, strictly: bool = True) -> Invalid:
    """What a (strict) server answers to a patch that leads to an object with that report."""
    return _bad_patch(obj, kind, f"{'strict decoding error: ' if strictly else ''}{', '.join(report)}")


def _bad_patch(obj: JsonObject, kind: Kind[Any], detail: str) -> Invalid:
    # A real server shows the whole object; secrets must not reach error texts.
    text = "<secret contents redacted>" if kind.kind == "Secret" else shown(obj)[:MAX_SHOWN]
    cause = invalid("patch", text, detail)
    return Invalid(f' "" is invalid: patch: {cause.message}', Details(causes=(cause,)))


class _Unrecognized(ValueError):
    """The body is no object of any kind."""


def _type_meta(value: JsonValue, kind: Kind[Any]) -> JsonObject:
    prefix = "couldn't get version/kind; json parse error: json: cannot unmarshal"
    if not isinstance(value, dict | None):
        word = {list: "array", str: "string", bool: "bool"}.get(type(value), "number")
        raise _Unrecognized(f"{prefix} {word} into Go value of type {_TYPE_META}")
    obj = value or {}
    for name in ("kind", "apiVersion"):
        given = obj.get(name)
        if given is not None and not isinstance(given, str):
            word = {list: "array", dict: "object", bool: "bool"}.get(type(given), "number")
            raise _Unrecognized(f"{prefix} {word} into Go struct field .{name} of type string")
    if kind.ours and not obj.get("kind"):
        text = json.dumps(value, ensure_ascii=False)[:MAX_SHOWN]  # of which a real server shows all
        raise _Unrecognized(f"Object 'Kind' is missing in '{text}'")
    return obj


def _same_type(obj: JsonObject, kind: Kind[Any]) -> None:
    given, version = obj.get("kind") or kind.kind, obj.get("apiVersion") or kind.api_version
    for name, value in (("kind", given), ("apiVersion", version)):
        if not isinstance(value, str):
            field = f"{kind.kind}.{name} of type string"
            raise Mistyped(f"json: cannot unmarshal {word_of(value)} into Go struct field {field}")
    if (given, version) == (kind.kind, kind.api_version):
        return
    if version == kind.api_version and given in messages():
        old, new = f"{kind.version}.{given}", f"{kind.group.partition('.')[0] or 'core'}.{kind.kind}"
        raise Mistyped(f"converting ({old}) to ({new}): unknown conversion")
    raise Mistyped(
        f'no kind "{given}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111"'
    )


def _summary(body: bytes) -> str:
    if not body:
        return "<empty>"
    if body.startswith(b"{"):
        return body.decode(errors="replace") if len(body) <= 30 else body[:30].decode(errors="replace") + " ..."
    return body.hex() if len(body) <= 30 else body[:30].hex() + " ..."
