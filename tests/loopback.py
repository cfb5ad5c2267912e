"""The guard that makes real model hosts impossible in tests: only loopback can be connected to.

A conftest takes the fixture `only_loopback` from here; a test that would leave this machine gets an OSError.
"""

import errno
import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest


def is_loopback(host: object) -> bool:
    """Whether the name or address stays on this machine."""
    if host is None or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    resolve, connect = socket.getaddrinfo, socket.socket.connect

    def guarded_resolve(host: Any, *rest: Any, **named: Any) -> Any:
        if not is_loopback(host):
            raise OSError(errno.EHOSTUNREACH, f"a test wants to reach {host!r}")
        return resolve(host, *rest, **named)

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not is_loopback(address[0]):
            raise OSError(errno.EHOSTUNREACH, f"a test wants to reach {address!r}")
        connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)
    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    yield
