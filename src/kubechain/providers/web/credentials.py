"""The headers that a manifest gives a request: its own, and those that prove who sends it.

`http`, `openapi` and MCP over HTTP call it with the values that `resources.web.values` names, secrets filled in.
Pure; no error has a value in it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from msgspec import Struct

from kubechain.errors import Terminal
from kubechain.resources.reference import Header
from kubechain.resources.web import BEARER, CLIENT_ID, CLIENT_SECRET, PASSWORD, USERNAME, Auth

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_SHORTEST = 6
_FORBIDDEN = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})


class Client(Struct, frozen=True):
    """Whose token is asked for, and where. Two equal clients share one token."""

    token_url: str
    id: str
    secret: str
    scopes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Client({self.token_url!r})"


def headers_of(headers: Sequence[Header], auth: Auth | None, values: Mapping[str, str]) -> dict[str, str]:
    """Names in lower case. Of `auth` only what is known without a token server. Raises Terminal."""
    found = {header.name.lower(): values[f"headers[{at}]"] for at, header in enumerate(headers)}
    if auth is not None and auth.bearer is not None:
        found["authorization"] = f"Bearer {values[BEARER].strip()}"
    if auth is not None and auth.basic is not None:
        found["authorization"] = basic(values[USERNAME], values[PASSWORD])
    for name, value in found.items():
        check_header(name, value)
    return found


def basic(user: str, password: str) -> str:
    """The header value of basic authentication."""
    return "Basic " + b64encode(f"{user.strip()}:{password.strip()}".encode()).decode()


def check_header(name: str, value: str) -> None:
    """Raises Terminal for a header that cannot be sent."""
    if name in _FORBIDDEN:
        raise Terminal(f"header {name} is set by KubeChain itself; remove it", reason="InvalidHeader")
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise Terminal(
            f"header {name[:60]!r} contains a character that no HTTP header may contain; correct it, or the "
            "Secret that its value comes from",
            reason="InvalidHeader",
        )


def client_of(auth: Auth | None, values: Mapping[str, str]) -> Client | None:
    """The client whose token is needed; None where none is."""
    if auth is None or auth.oauth2_client_credentials is None:
        return None
    oauth = auth.oauth2_client_credentials
    secret = values[CLIENT_SECRET].strip()
    return Client(oauth.token_url, values[CLIENT_ID].strip(), secret, tuple(oauth.scopes))


def spellings(secrets: Iterable[str]) -> list[str]:
    """The values of Secrets, and the other forms in which they may come back in an answer; longest first."""
    values = [value.strip() for value in secrets]
    found = {form for v in values for form in (v, b64encode(v.encode()).decode(), quote(v, safe=""))}
    found |= {basic(a, b).removeprefix("Basic ") for a in values[:8] for b in values[:8] if a != b}
    return sorted((form for form in found if len(form) >= _SHORTEST), key=len, reverse=True)
