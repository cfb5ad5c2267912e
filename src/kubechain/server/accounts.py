"""Tokens of service accounts: created by `serviceaccounts/NAME/token`, verified on every request.

Called by `reviews` and `access`. A token is a JWT signed with the server's own key (HS256); nothing is stored.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

import msgspec

from kubechain.errors import NotFound
from kubechain.resources.builtin import SERVICE_ACCOUNTS
from kubechain.runtime.api import Api
from kubechain.server.settings import User

ISSUER = "https://kubechain.local"
_HEADER = {"alg": "HS256", "typ": "JWT"}


class Claims(msgspec.Struct):
    """What a token says; times in seconds since 1970."""

    sub: str
    exp: int
    iat: int
    aud: list[str]
    uid: str
    iss: str = ISSUER


class _Meta(msgspec.Struct):
    uid: str = ""


class _Account(msgspec.Struct):
    metadata: _Meta


def sign(claims: Claims, key: bytes) -> str:
    """The token that carries the claims."""
    signed = _b64(msgspec.json.encode(_HEADER)) + b"." + _b64(msgspec.json.encode(claims))
    return (signed + b"." + _b64(_mac(signed, key))).decode()


def verify(token: str, key: bytes, now: float) -> Claims | None:
    """The claims of a token that this key signed and that has not expired."""
    signed, _, signature = token.encode().rpartition(b".")
    if not signed or not hmac.compare_digest(_b64(_mac(signed, key)), signature):
        return None
    claims = msgspec.json.decode(_unb64(signed.partition(b".")[2]), type=Claims)
    return claims if claims.exp > now else None


async def account(api: Api, claims: Claims) -> User | None:
    """The user of a token. None if its account was deleted or is a new one with the same name."""
    _, _, namespace, name = claims.sub.split(":", 3)
    try:
        document = await api.get(SERVICE_ACCOUNTS.raw, name, namespace)
    except NotFound:
        return None
    stored = msgspec.json.decode(document, type=_Account)
    if stored.metadata.uid != claims.uid:
        return None
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(claims.sub, groups, claims.uid)


def _mac(signed: bytes, key: bytes) -> bytes:
    return hmac.new(key, signed, hashlib.sha256).digest()


def _b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _unb64(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
