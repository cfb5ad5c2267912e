"""Answers to requests for paths or methods that do not exist, as a real server words them.

Called by `http`. A group of CRDs is answered by another part of a real server than what is built in.
"""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response

from kubechain.errors import ApiError, BadRequest, Details, MethodNotAllowed, NotFound
from kubechain.resources.kind import GROUP
from kubechain.server.paths import RequestInfo
from kubechain.server.served import catalogue, group_versions

_NOT_FOUND = "the server could not find the requested resource"
_NOT_ALLOWED = "the server does not allow this method on the requested resource"
_VERBS = {"POST": "create", "DELETE": "delete"}


def page() -> Response:
    """The plain 404 page."""
    return PlainTextResponse("404 page not found\n", 404)


def path(path: str) -> Response:
    """The answer to a path at which there is nothing. Raises NotFound where it is a `Status`."""
    match path.strip("/").split("/"):
        case ["apis", group, version, *rest] if group == GROUP:
            below = rest[2:] if rest[:1] == ["namespaces"] else rest
            if len(below) > 2 and (served := catalogue().get((group, version, below[0]))):
                kind = served.kind
                text = f'{kind.qualified} "{below[1]}" not found'
                raise NotFound(text, Details(below[1], kind.group, kind.plural))
        case ["apis", group, version, *rest] if rest and (group, version) in group_versions():
            raise NotFound(_NOT_FOUND)
        case ["api", *rest] if rest and not path.startswith("//"):
            raise NotFound(_NOT_FOUND)
        case ["version", *_]:
            raise NotFound(_NOT_FOUND)
        case ["openapi", "v3", *_]:
            return Response(status_code=404)
    return page()


def method(method: str, target: RequestInfo) -> ApiError:
    """The refusal of a method that does not go with a target."""
    kind = target.served.kind
    if "get" not in target.served.verbs and target.name:
        return NotFound(_NOT_FOUND)
    if not kind.ours:
        return MethodNotAllowed(_NOT_ALLOWED)
    if method in ("PUT", "PATCH") and not target.name:
        return BadRequest("name must be provided")
    verb = _VERBS.get(method, "")
    text = f'{verb} is not supported on resources of kind "{kind.qualified}"'
    return MethodNotAllowed(text, Details(group=kind.group, kind=kind.plural))
