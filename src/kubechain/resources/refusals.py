"""What is answered where an object is refused, in the words of a Kubernetes API server.

Called by the store. Builds errors, raises none.
"""

from __future__ import annotations

from typing import Any

from kubechain.errors import (
    AlreadyExists,
    BadRequest,
    Cause,
    Conflict,
    Details,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Timeout,
    TooLarge,
)
from kubechain.resources.kind import Kind

_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
_TOO_OLD = "The resourceVersion for the provided list is too old."
_TOKEN_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "  # noqa: S105
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of "
    "the results. Continuing with the provided token results in an inconsistent list - objects that were "
    "created, modified, or deleted between the time the first chunk was returned and now may show up in the list."
)


def bad_value(field: str, value: str, why: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {value}: {why}", field)


class Expired(Gone):
    """A continue token older than the history; `continue_token` goes on with the present instead."""

    def __init__(self, continue_token: str) -> None:
        super().__init__(_TOKEN_TOO_OLD)
        self.continue_token = continue_token


def not_found(kind: Kind[Any], name: str) -> NotFound:
    return NotFound(f'{kind.qualified} "{name}" not found', _plural(kind, name))


def not_served(kind: Kind[Any]) -> NotFound:
    return NotFound("the server could not find the requested resource", _plural(kind, ""))


def already_exists(kind: Kind[Any], name: str, *, terminating: bool = False) -> AlreadyExists:
    text = f'{kind.qualified} "{name}" already exists'
    return AlreadyExists(f"object is being deleted: {text}" if terminating else text, _plural(kind, name))


def conflict(kind: Kind[Any], name: str, why: str = _MODIFIED, *, called: str = "") -> Conflict:
    """`called` is the word for the kind where it is not its plural."""
    word = called or kind.plural
    qualified = f"{word}.{kind.group}" if kind.group else word
    text = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return Conflict(text, Details(name=name, group=kind.group, kind=word))


def forbidden(kind: Kind[Any], name: str, why: str, *causes: Cause) -> Forbidden:
    return Forbidden(f'{kind.qualified} "{name}" is forbidden: {why}', _plural(kind, name, causes))


def terminating_namespace(kind: Kind[Any], name: str, namespace: str) -> Forbidden:
    cause = Cause("NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace")
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    return forbidden(kind, name, why, cause)


def invalid(kind: Kind[Any], name: str, *causes: Cause) -> Invalid:
    """Each cause's message already begins with its sort: `Invalid value: ...`, `Required value: ...`."""
    problems = [f"{c.field}: {c.message}" for c in causes]
    text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
    owner = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    return Invalid(f'{owner} "{name}" is invalid: {text}', Details(name, kind.group, kind.kind, causes=causes))


def unversioned(kind: Kind[Any], name: str) -> Invalid:
    """A real server calls the object by its plural here, and here alone."""
    cause = bad_value("metadata.resourceVersion", "0", "must be specified for an update")
    text = f'{kind.qualified} "{name}" is invalid: {cause.field}: {cause.message}'
    return Invalid(text, Details(name, kind.group, kind.plural, causes=(cause,)))


def undecodable(kind: Kind[Any], error: Exception) -> BadRequest:
    return BadRequest(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {error}')


def too_large(kind: Kind[Any], name: str, size: int, limit: int) -> TooLarge:
    return TooLarge(
        f'etcdserver: request is too large: {kind.qualified} "{name}" would be {size} bytes, '
        f"the limit is {limit}; move its big parts to objects of their own",
        _plural(kind, name),
    )


def too_old_version(wanted: int, oldest: int) -> Gone:
    return Gone(f"too old resource version: {wanted} ({oldest})")


def too_old_list() -> Gone:
    return Gone(_TOO_OLD)


def future_version(wanted: int, current: int) -> Timeout:
    cause = Cause("ResourceVersionTooLarge", "Too large resource version")
    text = f"Timeout: Too large resource version: {wanted}, current: {current}"
    return Timeout(text, Details(causes=(cause,), retry_after=1))


def no_version(text: str) -> BadRequest:
    return BadRequest(
        f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
    )


def _plural(kind: Kind[Any], name: str, causes: tuple[Cause, ...] = ()) -> Details:
    return Details(name=name, group=kind.group, kind=kind.plural, causes=causes)
