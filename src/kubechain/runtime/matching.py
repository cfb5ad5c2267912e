"""Which objects a list or a watch is about: namespace, label and field selectors over JSON documents.

Called by the store. Looks into a document only when a selector asks for more than its name.
"""

from __future__ import annotations

from typing import Any

from kubechain.errors import BadRequest
from kubechain.resources.builtin import EVENTS
from kubechain.resources.document import meta_of
from kubechain.resources.fields import reader
from kubechain.resources.kind import Kind
from kubechain.runtime.selectors import FieldSelector, LabelSelector

_BY_ADDRESS = ("metadata.name", "metadata.namespace")
_EVENT_FIELDS = {
    "involvedObject": "regarding",
    "source": "deprecatedSource.component",
    "reportingComponent": "reportingController",
}


class Matcher:
    """The conditions of one list or watch, parsed once. Raises BadRequest for a field that none may select by."""

    def __init__(self, kind: Kind[Any], namespace: str, labels: LabelSelector, fields: FieldSelector) -> None:
        for requirement in fields.requirements:
            if not _selectable(kind, requirement.key):
                raise BadRequest(f"field label not supported: {requirement.key}")
        self._labels = labels
        self._address = FieldSelector(tuple(r for r in fields.requirements if r.key in _BY_ADDRESS))
        self._fields = FieldSelector(tuple(r for r in fields.requirements if r.key not in _BY_ADDRESS))
        stored = _stored_event_path if kind.key == EVENTS.key else str
        self._read = reader({r.key: stored(r.key) for r in self._fields.requirements})
        self.namespace = namespace or fields.equal_to("metadata.namespace") or ""
        self.name = fields.equal_to("metadata.name")
        self.looks_inside = bool(labels or self._fields)
        self.selects = bool(labels or fields)

    def accepts_address(self, namespace: str, name: str) -> bool:
        if self.namespace and namespace != self.namespace:
            return False
        if not self._address:
            return True
        return self._address.matches(lambda path: name if path == "metadata.name" else namespace)

    def accepts(self, body: bytes) -> bool:
        """Whether a document, its address accepted already, is what is asked for."""
        if self._labels and not self._labels.matches(meta_of(body).labels):
            return False
        if not self._fields:
            return True
        texts = self._read(body)
        return self._fields.matches(lambda path: texts[path])


def _selectable(kind: Kind[Any], path: str) -> bool:
    if path in _BY_ADDRESS or path in kind.selectable:
        return True
    return kind.key == EVENTS.key and path.replace("regarding.", "involvedObject.") in kind.selectable


def _stored_event_path(path: str) -> str:
    """Events are selected by the names of core/v1 and stored under those of events.k8s.io/v1."""
    head, dot, rest = path.partition(".")
    return _EVENT_FIELDS.get(head, head) + dot + rest
