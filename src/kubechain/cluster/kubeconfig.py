"""Returns the `Target` that a context of the kubeconfig files names, for the controllers.

Called by `remote.connect`; `contexts` reads the files. A credential plugin is run later, when a request needs it.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from kubechain.cluster.contexts import Entry, chosen
from kubechain.cluster.credentials import Credentials, Fixed, Identity, Plugin, PluginSettings, TokenFile
from kubechain.cluster.target import Target
from kubechain.errors import SettingsError
from kubechain.resources.json import JsonObject
from kubechain.resources.model import Clock


class _Kebab(msgspec.Struct, rename="kebab"):
    """Every scalar is text, so that a token of digits stays a text."""


class _Cluster(_Kebab):
    server: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""


class _Variable(msgspec.Struct):
    name: str
    value: str = ""


class _Exec(msgspec.Struct, rename="camel"):
    command: str
    api_version: str = "client.authentication.k8s.io/v1"
    args: list[str] = []
    env: list[_Variable] = []
    install_hint: str = ""
    provide_cluster_info: bool = False


class _User(_Kebab):
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    exec: _Exec | None = None
    auth_provider: dict[str, Any] | None = None
    username: str = ""
    as_: str = msgspec.field(default="", name="as")
    as_uid: str = ""
    as_groups: list[str] = []


T = TypeVar("T", _Cluster, _User)


def load(paths: Sequence[Path], context: str, clock: Clock) -> Target:
    """The target of a context, "" for the current one. Raises SettingsError."""
    found = chosen(paths, context)
    cluster, user = _typed(found.cluster, "cluster", _Cluster), _typed(found.user, "user", _User)
    if cluster.proxy_url:
        raise SettingsError(
            f"kubeconfig {found.cluster.path}: proxy-url is not supported; reach the server directly"
        )
    authority = found.cluster.pem("certificate-authority", "the cluster's certificate authority")
    return Target(
        server=cluster.server.rstrip("/"),
        credentials=_credentials(found.user, user, _told(cluster, authority), clock),
        namespace=found.context.text("namespace") or "default",
        authority=authority,
        verify=not cluster.insecure_skip_tls_verify,
        server_name=cluster.tls_server_name,
        impersonate=_impersonated(user),
    )


def _typed(entry: Entry, what: str, type_: type[T]) -> T:
    try:
        return msgspec.convert(entry.content, type_, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"kubeconfig {entry.path} cannot be read: its {what}: {error}") from None


def _credentials(entry: Entry, user: _User, cluster: JsonObject, clock: Clock) -> Credentials:
    if user.auth_provider or user.username:
        what = "an auth-provider" if user.auth_provider else "a password"
        raise SettingsError(f"kubeconfig {entry.path}: a user with {what} is not supported; use a token or exec")
    certificate = entry.pem("client-certificate", "the client certificate")
    key = entry.pem("client-key", "the client key")
    identity = Identity(user.token, certificate, key)
    if user.exec is not None and not user.token:
        return Plugin(_plugin(entry, user.exec, cluster), identity, clock)
    if user.token_file:
        return TokenFile(entry.path.parent / user.token_file, identity)
    return Fixed(identity)


def _plugin(entry: Entry, exec_: _Exec, cluster: JsonObject) -> PluginSettings:
    beside = os.sep in exec_.command and not Path(exec_.command).is_absolute()
    return PluginSettings(
        command=str(entry.path.parent / exec_.command) if beside else exec_.command,
        args=tuple(exec_.args),
        env=tuple((v.name, v.value) for v in exec_.env),
        api_version=exec_.api_version,
        install_hint=exec_.install_hint,
        cluster=cluster if exec_.provide_cluster_info else None,
    )


def _told(cluster: _Cluster, authority: str) -> JsonObject:
    """The cluster, in the form that a plugin gets it."""
    told: JsonObject = {"server": cluster.server, "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify}
    if authority:
        told["certificate-authority-data"] = base64.b64encode(authority.encode()).decode()
    if cluster.tls_server_name:
        told["tls-server-name"] = cluster.tls_server_name
    return told


def _impersonated(user: _User) -> tuple[tuple[str, str], ...]:
    headers = [("Impersonate-User", user.as_), ("Impersonate-Uid", user.as_uid)]
    headers += [("Impersonate-Group", group) for group in user.as_groups]
    return tuple((name, value) for name, value in headers if value)
