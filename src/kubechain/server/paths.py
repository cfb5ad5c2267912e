"""A URL path -> the resource, object and subresource it names.

Called by `http` for everything below /api and /apis. Pure.
"""

from __future__ import annotations

from msgspec import Struct

from kubechain.server.served import Served, Subresource, catalogue


class RequestInfo(Struct, frozen=True):
    """The object or collection that a request names.

    `name` is empty for a collection; `watching`: the old `/watch/` path.
    """

    served: Served
    namespace: str = ""
    name: str = ""
    subresource: Subresource | None = None
    watching: bool = False

    def verb(self, method: str, *, watch: bool) -> str:
        """The verb of the Kubernetes API, as roles name it; "" where the method makes no sense here."""
        if method in ("GET", "HEAD"):
            if self.watching or (watch and not self.name):
                return "watch"
            return "get" if self.name else "list"
        if method == "DELETE":
            return "delete" if self.name else "deletecollection"
        if method == "POST":
            # A name in the URL of a custom resource that is created is not looked at.
            named = bool(self.name) and not (self.served.kind.ours and self.subresource is None)
            return "create" if named == (self.subresource is not None) else ""
        return {"PUT": "update", "PATCH": "patch"}.get(method, "") if self.name else ""


def resolve(path: str) -> RequestInfo | None:
    """What a path names: `/api/v1/...` and `/apis/GROUP/VERSION/...`, or None where there is no such resource."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        return _below("", parts[1], parts[2:])
    if parts[0] == "apis" and len(parts) > 3:
        return _below(parts[1], parts[2], parts[3:])
    return None


def _below(group: str, version: str, parts: list[str]) -> RequestInfo | None:
    if not all(parts):
        return None
    watching = parts[0] == "watch" and len(parts) > 1
    if watching:
        parts = parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2 and not (group == "" and parts[2] in ("status", "finalize")):
        namespace, parts = parts[1], parts[2:]
    if len(parts) > 3:
        return None
    served = catalogue().get((group, version, parts[0]))
    if served is None or (namespace and not served.kind.namespaced):
        return None
    name = parts[1] if len(parts) > 1 else ""
    if name and served.kind.namespaced and not namespace:
        return None
    subresource = served.subresource(parts[2]) if len(parts) > 2 else None
    if len(parts) > 2 and subresource is None:
        return None
    return RequestInfo(served, namespace, name, subresource, watching)
