"""JSON merge patch (RFC 7386).

Called by the store and the server for `application/merge-patch+json`. Pure: neither argument is changed,
parts that the patch does not touch are shared with the result.
"""

from __future__ import annotations

from kubechain.resources.json import JsonValue


def merge_patch(target: JsonValue, patch: JsonValue) -> JsonValue:
    """`target` with `patch` merged into it: null removes a member, lists and scalars are replaced whole."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            merged[name] = merge_patch(merged.get(name), value)
        else:
            merged[name] = value
    return merged
