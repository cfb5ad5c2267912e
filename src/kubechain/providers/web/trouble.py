"""What is said when a request of a tool gets no answer, in plain words. `web` calls it. Pure.

A sentence names the host, the cause and the next move; it has no path, query, header or message of a library.
"""

from __future__ import annotations

import os
import socket

import aiohttp
from yarl import URL

from kubechain.errors import Terminal, Transient
from kubechain.providers.web.requests import Limits, origin

_MARK = "is refused by KubeChain"
_BROKEN = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError, ConnectionError)


class AddressRefused(OSError):
    """An address that a tool may not connect to; `what` it is."""

    def __init__(self, address: str, what: str) -> None:
        super().__init__(f"{address}, {what}, {_MARK}")
        self.address, self.what = address, what


def not_allowed(host: str, address: str, what: str, limits: Limits) -> Terminal:
    """The error for an address that the manifest does not allow."""
    named = f"{host} is at {address}, {what}" if host != address else f"{host} is {what}"
    return Terminal(
        f"{named}, which tools may not call; set {limits.field}.allowPrivate: true if this is meant",
        reason="AddressRefused",
    )


def overdue(url: URL, limits: Limits) -> Transient:
    """The error for an answer that did not come in time."""
    return Transient(
        f"{origin(url)} did not answer within {limits.timeout or 0:g} s; raise the timeout if it needs longer",
        reason="Timeout",
    )


def overlong(url: URL, limit: int) -> Terminal:
    """The error for an answer that is too large to keep."""
    return Terminal(
        f"the answer of {origin(url)} has more than {limit:,} bytes; ask for a smaller part of it",
        reason="AnswerTooLarge",
    )


def trouble(url: URL, error: BaseException, limits: Limits, *, sent: bool) -> Terminal | Transient:
    """The error for a connection that could not be made, or that broke. `sent`: whether it had begun to answer."""
    if isinstance(error, aiohttp.InvalidURL):
        return Terminal("its address is not one that can be called; correct its url", reason="InvalidURL")
    cause = _below(error)
    if isinstance(cause, AddressRefused):
        return not_allowed(url.host or "", cause.address, cause.what, limits)
    if _MARK in str(cause):  # several addresses, refused and unreachable ones
        return Terminal(
            f"none of the addresses of {url.host} can be called: {_plain(str(cause))}; set "
            f"{limits.field}.allowPrivate: true if this is meant",
            reason="AddressRefused",
        )
    if sent or (not isinstance(error, aiohttp.ClientConnectorError) and isinstance(error, _BROKEN)):
        return Transient(
            f"{origin(url)} closed the connection before its answer was complete", reason="Interrupted"
        )
    if isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return Transient(f"the proxy of the environment did not connect to {origin(url)}", reason="Unreachable")
    if isinstance(error, aiohttp.ClientResponseError):
        return Transient(f"{origin(url)} sent an answer that is not HTTP", reason="Interrupted")
    return Transient(f"{origin(url)} cannot be reached ({_cause(error, cause)})", reason="Unreachable")


def _below(error: BaseException) -> BaseException:
    """What a socket said, where a library wrapped it."""
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        return error.os_error
    return error


def _plain(text: str) -> str:
    return text.replace(f", {_MARK}", "").removeprefix("Multiple exceptions: ")


def _cause(error: BaseException, cause: BaseException) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "the connection timed out"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientSSLError):
        return "the TLS handshake failed"
    if isinstance(cause, socket.gaierror) or isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name does not resolve"
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno).lower()
    return "the connection failed"
