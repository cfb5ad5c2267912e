"""Everything that can go wrong, as one tree.

    KubechainError
    ├── SettingsError                 a flag, a variable or a file that the program cannot use
    ├── ApiError                      an answer of the Kubernetes API that is not a success
    │   ├── BadRequest      400
    │   ├── Unauthorized    401
    │   ├── Forbidden       403
    │   ├── NotFound        404
    │   ├── MethodNotAllowed 405
    │   ├── NotAcceptable   406
    │   ├── AlreadyExists   409
    │   ├── Conflict        409
    │   ├── Gone            410
    │   ├── TooLarge        413
    │   ├── UnsupportedMediaType 415
    │   ├── Invalid         422
    │   ├── TooManyRequests 429       (retry_after, seconds)
    │   ├── InternalError   500
    │   └── Timeout         504       (retry_after, seconds)
    └── ProviderError                 an answer of a model or a tool that is not a success
        ├── Transient                 may succeed later (retry_after, seconds, if the other side named a time)
        └── Terminal                  the same call will never succeed (reason: CamelCase word)

A message names the object, the cause, and what to do next. Catch the narrowest class. Besides the worker, only
code that reports any failure to whoever waits for it catches Exception.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class KubechainError(Exception):
    """The root: catching it catches every error that this program raises on purpose."""


class SettingsError(KubechainError):
    """A flag, an environment variable or a file that the program was started with cannot be used."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of `Status.details.causes`: `field` is a JSON path such as `spec.llmRef.name`."""

    reason: str
    message: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Details:
    """`Status.details`; `kind` is the plural for NotFound and Conflict, the kind for Invalid."""

    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    causes: tuple[Cause, ...] = field(default=())
    retry_after: int = 0


class ApiError(KubechainError):
    """An answer of the Kubernetes API: HTTP `code`, CamelCase `reason`, one sentence, details."""

    code = 500
    reason = "InternalError"

    def __init__(self, message: str, details: Details | None = None, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details or Details()
        if reason is not None:
            self.reason = reason


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    code, reason = 409, "Conflict"


class Gone(ApiError):
    """A resource version or a continue token that is older than the history kept."""

    code, reason = 410, "Expired"
    continue_token: str = ""
    """Where the answer offers one: goes on with the present instead."""


class TooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    code, reason = 500, "InternalError"


class Timeout(ApiError):
    code, reason = 504, "Timeout"


class ProviderError(KubechainError):
    """A model or a tool did not do what was asked."""


class Transient(ProviderError):
    """May succeed later; `retry_after` in seconds when the other side named a time.

    `wait` (seconds) is set by a controller that decides itself when to try again, and shows it in the object.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        reason: str = "Transient",
        wait: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.reason = reason
        self.wait = wait


class Terminal(ProviderError):
    """Will not succeed, even if it is repeated; `reason` is the condition's CamelCase reason."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
