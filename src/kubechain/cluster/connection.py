"""The port `Connection` to one API server, and its requests.

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
    """The server did not answer. It is not known whether it did what was asked."""

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
        """Number of answers by method, HTTP code and reason of a refusal; code 0: no answer."""
        ...

    async def send(self, request: Request) -> bytes:
        """The body of a successful answer. Raises errors.ApiError."""
        ...

    def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        """The lines of a successful answer, until the server or the network ends it. Raises errors.ApiError."""
        ...
