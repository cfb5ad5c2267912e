"""A request and where it may go: pure data, and what follows from a redirect.

`web` sends requests. Credentials, and every header that a manifest sets, go to the origin that the manifest names
and to no other.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace
from yarl import URL

from kubechain.errors import Terminal

REDIRECTS = frozenset({301, 302, 303, 307, 308})
FOLLOWED = 5
"""Redirects that are followed in one call."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Limits(Struct, frozen=True):
    """What one object allows: `field` is where its manifest says so, such as `spec.http`.

    `timeout`: seconds for everything, None for no limit of its own.
    """

    field: str
    allow_private: bool = False
    timeout: float | None = None
    redirects: int = FOLLOWED


class Request(Struct, frozen=True):
    """`url` is sent as it is. `headers` may go to any origin, `private` headers only to that of `url`."""

    method: str
    url: URL
    headers: Mapping[str, str] = {}
    private: Mapping[str, str] = {}
    body: bytes | None = None


def redirected(request: Request, status: int, location: str | None) -> Request | None:
    """The request that follows from an answer; None where it is not a redirect. Raises Terminal."""
    if status not in REDIRECTS or not location:
        return None
    url = _target(request, location)
    keeps = status in (307, 308) or request.method in SAFE
    method, body = (request.method, request.body) if keeps else ("GET", None)
    same = url.origin() == request.url.origin()
    if request.url.scheme == "https" and url.scheme != "https":
        raise _refused(request, url, "which is not encrypted")
    if not same and method not in SAFE:
        raise _refused(request, url, f"and a {method} is not sent to another origin")
    return replace(request, method=method, url=url, body=body, private=request.private if same else {})


def _target(request: Request, location: str) -> URL:
    try:
        url = request.url.join(URL(location)).with_user(None)
        if url.scheme in ("http", "https") and url.host:
            return url
    except ValueError:
        pass
    raise Terminal(
        f"{request.url.host} redirects to something that is not an HTTP address", reason="RedirectRefused"
    )


def _refused(request: Request, url: URL, why: str) -> Terminal:
    return Terminal(
        f"{request.url.host} redirects to {origin(url)}, {why}; set that address in the manifest if it is the "
        "right one",
        reason="RedirectRefused",
    )


def origin(url: URL) -> str:
    """Scheme, host and port: what may be shown of an address."""
    return str(url.origin())
