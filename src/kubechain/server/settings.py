"""The settings of the server, and its users.

Built by the composition root and by tests; read by `http` and `access`. Never prints a token or a key.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from kubechain.resources.model import Clock
from kubechain.runtime.metrics import Reading


class User(Struct, frozen=True):
    """The user that a token or impersonation headers stand for."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = {}


ADMIN = User("kubechain-admin", ("system:masters", "system:authenticated"))


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Address, TLS files (both or none) and bearer tokens; port 0 picks a free one.

    `signing_key` signs the tokens of service accounts: with the default they end with the process.
    """

    clock: Clock
    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    private_key: Path | None = None
    tokens: Mapping[str, User] = field(default_factory=dict, repr=False)
    signing_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    metrics: Callable[[], Iterable[Reading]] | None = field(default=None, repr=False)
    """What /metrics shows; None: there is no such path."""

    @property
    def loopback(self) -> bool:
        return self.host in ("127.0.0.1", "::1", "localhost")
