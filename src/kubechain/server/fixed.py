"""Resources whose objects never change: our CRDs, and the services that do not exist.

Called by `read` and `watch` in place of the store.
"""

from __future__ import annotations

import msgspec

from kubechain.errors import Details, NotFound
from kubechain.resources.json import JsonObject, JsonValue, lookup
from kubechain.runtime.api import ListOptions, Page
from kubechain.server.served import Served

VERSION = "1"


def get(served: Served, name: str) -> bytes:
    """One of the objects. Raises NotFound."""
    for obj in served.fixed or ():
        if lookup(obj, "metadata.name") == name:
            return msgspec.json.encode(obj)
    kind = served.kind
    raise NotFound(f'{kind.qualified} "{name}" not found', Details(name=name, group=kind.group, kind=kind.plural))


def page(served: Served, options: ListOptions) -> Page[bytes]:
    """All of them that the selectors match, in one page."""
    items = [msgspec.json.encode(obj) for obj in served.fixed or () if _matches(obj, options)]
    return Page(sorted(items), VERSION)


def _matches(obj: JsonObject, options: ListOptions) -> bool:
    labels = lookup(obj, "metadata.labels")
    held = {k: str(v) for k, v in labels.items()} if isinstance(labels, dict) else {}
    return options.labels.matches(held) and options.fields.matches(lambda path: _text(lookup(obj, path)))


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""
