"""TokenRequest: a new token of a service account, for whom and as long as is asked, bound to a Secret if need be.

Called by `http` for POSTs to `serviceaccounts/NAME/token`. Never writes.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from kubechain.errors import BadRequest, Conflict, Details
from kubechain.resources.builtin import SECRETS, SERVICE_ACCOUNTS, Plain
from kubechain.resources.json import JsonObject, JsonValue, lookup
from kubechain.resources.kind import Kind
from kubechain.resources.model import timestamp
from kubechain.resources.refusals import not_found
from kubechain.server import accounts
from kubechain.server.accounts import Bound, Claims, Ref
from kubechain.server.causes import invalid, refuse
from kubechain.server.scope import RequestScope

_HOUR = 3600
_REQUEST = Kind("authentication.k8s.io", "v1", "TokenRequest", "tokenrequests", Plain)
_NEVER_HERE: dict[str, Kind[Any]] = {
    "Pod": Kind("", "v1", "Pod", "pods", Plain),
    "Node": Kind("", "v1", "Node", "nodes", Plain, namespaced=False),
}
"""What tokens are bound to on a cluster, and which this server has none of."""


async def account_token(scope: RequestScope, body: JsonObject) -> JsonObject:
    """The TokenRequest with a new token of the service account in its status. Raises ApiError."""
    name, namespace = scope.target.name, scope.target.namespace
    _check_address(body, name, namespace)
    uid = _uid(await scope.api.get(SERVICE_ACCOUNTS.raw, name, namespace))
    _check_uid(body, name, uid)
    lifetime = _lifetime(body)
    reference = lookup(body, "spec.boundObjectRef")
    secret = await _secret(scope, reference) if isinstance(reference, dict) else None
    audiences = lookup(body, "spec.audiences")
    wanted = [str(a) for a in audiences] if isinstance(audiences, list) and audiences else [accounts.ISSUER]
    issued = int(scope.settings.clock().timestamp())
    claims = Claims(
        f"system:serviceaccount:{namespace}:{name}",
        issued + lifetime,
        issued,
        wanted,
        Bound(namespace, Ref(name, uid), secret),
        jti=str(uuid.uuid4()),
        nbf=issued,
    )
    spec: JsonObject = {"audiences": cast("list[JsonValue]", wanted), "expirationSeconds": lifetime}
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid,
            "creationTimestamp": timestamp(scope.settings.clock()),
        },
        "spec": {**spec, **({"boundObjectRef": reference} if secret else {})},
        "status": {
            "token": accounts.sign(claims, scope.settings.signing_key),
            "expirationTimestamp": timestamp(datetime.fromtimestamp(claims.exp, UTC)),
        },
    }


def _check_address(body: JsonObject, name: str, namespace: str) -> None:
    """Raises Invalid or BadRequest where the request names another account than its URL."""
    if lookup(body, "metadata.namespace") not in (None, "", namespace):
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    said = lookup(body, "metadata.name")
    if said and said != name:
        text = "must match the service account name if specified"
        refuse(_REQUEST, name, [invalid("metadata.name", said, text)])


def _check_uid(body: JsonObject, name: str, uid: str) -> None:
    wanted = lookup(body, "metadata.uid")
    if wanted and wanted != uid:
        text = f"the UID in the token request ({wanted}) does not match the UID of the service account ({uid})"
        raise _conflict(_REQUEST.group, _REQUEST.kind, name, text)


def _lifetime(body: JsonObject) -> int:
    seconds = lookup(body, "spec.expirationSeconds")
    lifetime = seconds if isinstance(seconds, int) else _HOUR
    fault = ""
    if lifetime < 600:
        fault = "may not specify a duration less than 10 minutes"
    if lifetime > 1 << 32:
        fault = "may not specify a duration larger than 2^32 seconds"
    refuse(_REQUEST, "", [invalid("spec.expirationSeconds", lifetime, fault)] if fault else [])
    return lifetime


async def _secret(scope: RequestScope, reference: JsonObject) -> Ref:
    """The Secret that the token shall fall with. Raises NotFound, Conflict, BadRequest."""
    version, kind, name, uid = (str(reference.get(k) or "") for k in ("apiVersion", "kind", "name", "uid"))
    core = "/" not in version
    if not core or kind not in ("Secret", *_NEVER_HERE):
        raise BadRequest(f"cannot bind token to object of type {'/' if core else ''}{version}, Kind={kind}")
    if not name:
        raise BadRequest("Name parameter required.")
    if kind in _NEVER_HERE:
        raise not_found(_NEVER_HERE[kind], name)
    held = _uid(await scope.api.get(SECRETS.raw, name, scope.target.namespace))
    if uid and uid != held:
        known = f"the UID in the bound object reference ({uid}) does not match the UID in record"
        raise _conflict("", kind, name, f"{known}. The object might have been deleted and then recreated")
    return Ref(name, held)


def _uid(document: bytes) -> str:
    return str(msgspec.json.decode(document)["metadata"]["uid"])


def _conflict(group: str, kind: str, name: str, text: str) -> Conflict:
    qualified = f"{kind}.{group}" if group else kind
    about = Details(name=name, group=group, kind=kind)
    return Conflict(f'Operation cannot be fulfilled on {qualified} "{name}": {text}', about)
