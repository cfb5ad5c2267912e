"""Errors for failures of the connection to a model server, in plain words.

connections.py and the adapters call it. Pure. People never see the messages of libraries
(`<TransferEncodingError ...>`, `ssl:default`).
"""

from __future__ import annotations

import os
import socket

import aiohttp

from kubechain.agents.ports.model import Endpoint
from kubechain.errors import Transient
from kubechain.providers.models.endpoints import host, root, subject
from kubechain.providers.models.quoting import quote

_BROKEN = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError, ConnectionError)
"""What a connection ends with that was there."""


def unreachable(endpoint: Endpoint, error: BaseException) -> Transient:
    """The error for a connection that could not be made, or that broke before there was an answer."""
    if isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return _proxy(endpoint, error)
    if isinstance(error, aiohttp.ClientResponseError):
        return garbled(endpoint, "an answer that is not HTTP")
    if not isinstance(error, aiohttp.ClientConnectorError) and isinstance(error, _BROKEN):
        return Transient(
            f"{subject(endpoint)}: {host(root(endpoint))} closed the connection before it answered; "
            "KubeChain tries again",
            reason="Unreachable",
        )
    return Transient(
        f"{subject(endpoint)}: the connection to {host(root(endpoint))} failed ({_cause(endpoint, error)}); "
        f"KubeChain tries again; {_advice(error)} if the error persists",
        reason="Unreachable",
    )


def cut(endpoint: Endpoint) -> Transient:
    """The error for an answer that ends early. The part that arrived is not used."""
    return Transient(
        f"{subject(endpoint)}: the answer of {host(root(endpoint))} ended too early; KubeChain tries again",
        reason="Interrupted",
    )


def _proxy(endpoint: Endpoint, error: aiohttp.ClientError) -> Transient:
    who = "the proxy of spec.proxyURL" if endpoint.llm.spec.proxy_url else "the proxy of HTTPS_PROXY or HTTP_PROXY"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        what = f"did not connect to {host(root(endpoint))} (it answered {error.status})"
    else:
        what = f"cannot be reached ({_cause(endpoint, error)})"
    return Transient(f"{subject(endpoint)}: {who} {what}; KubeChain tries again", reason="Unreachable")


def _cause(endpoint: Endpoint, error: BaseException) -> str:
    """Why no connection was made."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "it timed out"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"certificate verify failed: {quote(endpoint, _verification(error))}"
    if isinstance(error, aiohttp.ClientSSLError):
        return "the TLS handshake failed"
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, socket.gaierror):
        return "its name does not resolve"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return quote(endpoint, str(error)) or type(error).__name__


def _verification(error: aiohttp.ClientConnectorCertificateError) -> str:
    return str(getattr(error.certificate_error, "verify_message", "")) or "the certificate is not trusted"


def _advice(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "name its certificate authority in spec.caBundle"
    return "check spec.parameters.baseURL"


def overdue(endpoint: Endpoint, seconds: float) -> Transient:
    """The error for a reply that did not arrive in time."""
    return Transient(
        f"{subject(endpoint)}: {host(root(endpoint))} sent nothing usable within {seconds:g} s; "
        "KubeChain tries again; raise spec.parameters.timeout if the model needs longer",
        reason="Timeout",
    )


def garbled(endpoint: Endpoint, what: str, body: bytes = b"") -> Transient:
    """The error for an answer that came but cannot be read as a reply; `what` completes "sent ..."."""
    words = quote(endpoint, body[:4096].decode("utf-8", "replace"))
    shown = f': "{words}"' if words else ""
    return Transient(
        f"{subject(endpoint)}: {host(root(endpoint))} sent {what}{shown}; KubeChain tries again; "
        "check spec.parameters.baseURL if the error persists",
        reason="UnreadableReply",
    )
