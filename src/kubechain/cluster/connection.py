"""What may be asked of one API server, and the port that asks it.

`http` implements it; `remote` and whoever else speaks to that server use it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

from msgspec import Struct

from kubechain.errors import InternalError

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"


class Unreachable(InternalError):
    """The server gave no answer: whether it did what was asked is not known."""

    code, reason = 503, "ServiceUnavailable"


class Request(Struct, frozen=True):
    """`path` begins with a slash; `body` None for none."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes | None = None
    content_type: str = JSON
    accept: str = JSON


class Connection(Protocol):
    """One API server, spoken to as one user. A write is sent once."""

    @property
    def answered(self) -> Counter[tuple[str, ...]]:
        """Answers so far by method, HTTP code and the reason of a refusal; code 0: there was none."""
        ...

    async def send(self, request: Request) -> bytes:
        """The body of a good answer. Raises errors.ApiError."""
        ...

    def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        """The lines of a good answer, until the server or the network ends it. Raises errors.ApiError."""
        ...
