"""Tokens of service accounts: created by `serviceaccounts/NAME/token`, verified on every request.

Called by `tokens` and `access`. A token is a JWT signed with the server's own key (HS256) with the claims of
Kubernetes; nothing is stored. It is valid until it expires, or its account or bound Secret is deleted.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from kubechain.errors import NotFound, Unauthorized
from kubechain.resources.builtin import SECRETS, SERVICE_ACCOUNTS
from kubechain.resources.kind import Kind
from kubechain.runtime.api import Api
from kubechain.server.causes import shown
from kubechain.server.impersonation import account_groups
from kubechain.server.settings import User

ISSUER = "https://kubechain.local"
CREDENTIAL = "authentication.kubernetes.io/credential-id"
_HEADER = {"alg": "HS256", "typ": "JWT"}
_LEEWAY = timedelta(minutes=1)
"""How long what is being deleted still counts."""
_ENDED = "service account token has been invalidated"


class Ref(msgspec.Struct, omit_defaults=True):
    """An object, and which one of that name."""

    name: str = ""
    uid: str = ""


class Bound(msgspec.Struct, omit_defaults=True):
    """What a token stands for and falls with."""

    namespace: str = ""
    serviceaccount: Ref = msgspec.field(default_factory=Ref)
    secret: Ref | None = None


class Claims(msgspec.Struct, omit_defaults=True):
    """What a token says; times in seconds since 1970."""

    sub: str
    exp: int
    iat: int
    aud: list[str]
    bound: Bound = msgspec.field(default_factory=Bound, name="kubernetes.io")
    jti: str = ""
    nbf: int = 0
    uid: str = ""
    """Of the account, in tokens of earlier builds."""
    iss: str = msgspec.field(default_factory=lambda: ISSUER)


class _Meta(msgspec.Struct, rename="camel"):
    uid: str = ""
    deletion_timestamp: str = ""


class _Object(msgspec.Struct):
    metadata: _Meta


def sign(claims: Claims, key: bytes) -> str:
    """The token that carries the claims."""
    signed = _b64(msgspec.json.encode(_HEADER)) + b"." + _b64(msgspec.json.encode(claims))
    return (signed + b"." + _b64(_mac(signed, key))).decode()


def verify(token: str, key: bytes) -> Claims | None:
    """The claims of a token that this key signed."""
    signed, _, signature = token.encode().rpartition(b".")
    if not signed or not hmac.compare_digest(_b64(_mac(signed, key)), signature):
        return None
    return msgspec.json.decode(_unb64(signed.partition(b".")[2]), type=Claims)


def audiences(claims: Claims, wanted: Sequence[str]) -> list[str]:
    """The audiences that the token is valid for. Raises Unauthorized if there are none."""
    found = [audience for audience in claims.aud if audience in wanted]
    if not found:
        made, asked = (" ".join(map(shown, names)) for names in (claims.aud, wanted))
        raise Unauthorized(f"token audiences [{made}] is invalid for the target audiences [{asked}]")
    return found


async def account(api: Api, claims: Claims, now: datetime) -> User:
    """The user of a token. Raises Unauthorized if it has expired, or its account or bound Secret was deleted."""
    if claims.exp <= now.timestamp():
        raise Unauthorized("service account token has expired")
    _, _, namespace, name = claims.sub.split(":", 3)
    uid = claims.bound.serviceaccount.uid or claims.uid
    if not await _lives(api, SERVICE_ACCOUNTS.raw, Ref(name, uid), namespace, now):
        raise Unauthorized(f"service account {namespace}/{name} has been deleted")
    secret = claims.bound.secret
    if secret is not None and not await _lives(api, SECRETS.raw, secret, namespace, now):
        raise Unauthorized(_ENDED)
    extra = {CREDENTIAL: (f"JTI={claims.jti}",)} if claims.jti else {}
    return User(claims.sub, account_groups(namespace), uid, extra)


async def _lives(api: Api, kind: Kind[bytes], ref: Ref, namespace: str, now: datetime) -> bool:
    try:
        document = await api.get(kind, ref.name, namespace)
    except NotFound:
        return False
    found = msgspec.json.decode(document, type=_Object).metadata
    going = found.deletion_timestamp
    return found.uid == ref.uid and (not going or datetime.fromisoformat(going) >= now - _LEEWAY)


def _mac(signed: bytes, key: bytes) -> bytes:
    return hmac.new(key, signed, hashlib.sha256).digest()


def _b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _unb64(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
