"""A `Status` of the Kubernetes API -> the error that it is: the one mapping, for controllers and commands.

Called by `cluster` and by the command line with what an API server answered in place of an object. Pure.
"""

from __future__ import annotations

from kubechain import errors
from kubechain.errors import ApiError, Cause, Details, Gone
from kubechain.resources.json import JsonObject, JsonValue, lookup

_REASONS: dict[str, type[ApiError]] = {
    **{kind.reason: kind for kind in ApiError.__subclasses__()},
    "Gone": Gone,
    "ServerTimeout": errors.Timeout,
    "ServiceUnavailable": errors.InternalError,
}
_CODES: dict[int, type[ApiError]] = {
    **{kind.code: kind for kind in ApiError.__subclasses__() if kind is not errors.AlreadyExists},
    **dict.fromkeys((502, 503), errors.InternalError),
}
_TOO_LARGE = ("etcdserver: request is too large", "trying to send message larger than max")
"""What etcd and the server's own connection to it say of an object that does not fit; neither names a reason."""


def error_of(code: int, document: JsonValue, said: bytes, retry_after: str = "") -> ApiError:
    """The error in an answer that is no success.

    `document` is the answer decoded, None where it is no JSON; `said` its bytes, for what a proxy says in place of
    the server; `retry_after` the header. `code` 0: there is none, as in a watch.
    """
    asked = int(retry_after) if retry_after.isdecimal() and retry_after.isascii() else 0
    if not isinstance(document, dict) or document.get("kind") != "Status":
        text = f"HTTP {code}: {said.decode(errors='replace').strip()[:200]}"
        if code == 404:
            text = "the server could not find the requested resource"
        return _CODES.get(code, ApiError)(text, Details(retry_after=asked))
    told = document.get("code")
    reason, message = _text(document, "reason"), _text(document, "message")
    type_ = _REASONS.get(reason) or _CODES.get(told if isinstance(told, int) and told else code, ApiError)
    if any(text in message for text in _TOO_LARGE):
        type_, reason = errors.TooLarge, ""
    error = type_(message, _details(document, asked), reason=reason or None)
    if isinstance(error, Gone):
        error.reason, error.continue_token = Gone.reason, _text(document, "metadata.continue")
    return error


def _details(status: JsonObject, asked: int) -> Details:
    listed, wait = lookup(status, "details.causes"), lookup(status, "details.retryAfterSeconds")
    causes = tuple(
        Cause(_text(cause, "reason"), _text(cause, "message"), _text(cause, "field"))
        for cause in (listed if isinstance(listed, list) else [])
    )
    name, group, kind, uid = (_text(status, f"details.{part}") for part in ("name", "group", "kind", "uid"))
    return Details(name, group, kind, uid, causes, wait if isinstance(wait, int) and wait else asked)


def _text(value: JsonValue, path: str) -> str:
    found = lookup(value, path)
    return found if isinstance(found, str) else ""
