"""kubeconfig files -> the `Target` that a context names.

Called by `connect`. Reads files and nothing else; a credential plugin is run later, when a request needs it.
Several files are one, as for kubectl: of two entries of a name the first counts, paths belong to their file.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from kubechain.cluster.credentials import Credentials, Fixed, Identity, Plugin, PluginSettings, TokenFile
from kubechain.cluster.target import Target
from kubechain.errors import SettingsError
from kubechain.resources.json import JsonObject
from kubechain.resources.model import Clock


class _Kebab(msgspec.Struct, rename="kebab"):
    """Every scalar is text: the file is read without guessing types, so that a token of digits stays one."""


class _Cluster(_Kebab):
    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
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
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    exec: _Exec | None = None
    auth_provider: dict[str, Any] | None = None
    username: str = ""
    as_: str = msgspec.field(default="", name="as")
    as_uid: str = ""
    as_groups: list[str] = []


class _Context(_Kebab):
    cluster: str = ""
    user: str = ""
    namespace: str = ""


class _Named(msgspec.Struct):
    name: str
    cluster: _Cluster | None = None
    user: _User | None = None
    context: _Context | None = None


class _Config(_Kebab):
    current_context: str = ""
    clusters: list[_Named] = []
    users: list[_Named] = []
    contexts: list[_Named] = []


E_ = TypeVar("E_", _Cluster, _User, _Context)


class _File(msgspec.Struct, frozen=True):
    path: Path
    config: _Config

    def text(self, data: str, file: str, what: str) -> str:
        """PEM that stands in the file in base64, or in another file beside it. Raises SettingsError."""
        try:
            if data:
                return base64.b64decode(data, validate=False).decode()
            return (self.path.parent / file).read_text() if file else ""
        except (OSError, ValueError, binascii.Error) as error:
            raise SettingsError(f"kubeconfig {self.path}: {what} cannot be read: {error}") from None


def load(paths: Sequence[Path], context: str, clock: Clock) -> Target:
    """The target of a context, "" for the current one. Raises SettingsError."""
    files = [_File(path, _read(path)) for path in paths if path.exists()]
    if not files:
        raise SettingsError(f"there is no kubeconfig at {', '.join(map(str, paths))}: name one with --kubeconfig")
    wanted = context or next((f.config.current_context for f in files if f.config.current_context), "")
    if not wanted:
        raise SettingsError(f"kubeconfig {files[0].path} has no current context: choose one with --context")
    _, chosen = _found(files, "context", wanted, _Context)
    cluster_file, cluster = _found(files, "cluster", chosen.cluster, _Cluster)
    if not cluster.server:
        raise SettingsError(f"kubeconfig {cluster_file.path}: cluster {chosen.cluster!r} names no server")
    if cluster.proxy_url:
        raise SettingsError(
            f"kubeconfig {cluster_file.path}: proxy-url is not supported; reach the server directly"
        )
    user_file, user = _found(files, "user", chosen.user, _User) if chosen.user else (files[0], _User())
    authority = cluster_file.text(
        cluster.certificate_authority_data, cluster.certificate_authority, "the cluster's certificate authority"
    )
    return Target(
        server=cluster.server.rstrip("/"),
        credentials=_credentials(user_file, user, _told(cluster, authority), clock),
        namespace=chosen.namespace or "default",
        authority=authority,
        verify=not cluster.insecure_skip_tls_verify,
        server_name=cluster.tls_server_name,
        impersonate=_impersonated(user),
    )


def _read(path: Path) -> _Config:
    import yaml  # only a process that reads a kubeconfig pays for it

    try:
        read = yaml.load(path.read_text(), getattr(yaml, "CBaseLoader", yaml.BaseLoader))  # noqa: S506
        return msgspec.convert(_without_nulls(read) or {}, _Config, strict=False)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise SettingsError(f"kubeconfig {path} cannot be read: {error}") from None


def _without_nulls(node: object) -> object:
    """Members that say nothing (`env: null`) are as good as absent."""
    if isinstance(node, dict):
        return {k: _without_nulls(v) for k, v in node.items() if v not in ("", "~", "null")}
    return [_without_nulls(item) for item in node] if isinstance(node, list) else node


def _found(files: Sequence[_File], what: str, name: str, type_: type[E_]) -> tuple[_File, E_]:
    for file in files:
        for named in getattr(file.config, f"{what}s"):
            entry = getattr(named, what)
            if named.name == name and isinstance(entry, type_):
                return file, entry
    places = ", ".join(str(file.path) for file in files)
    raise SettingsError(
        f"kubeconfig {places} has no {what} named {name!r}: `kubectl config view` shows what it has"
    )


def _credentials(file: _File, user: _User, cluster: JsonObject, clock: Clock) -> Credentials:
    if user.auth_provider or user.username:
        what = "an auth-provider" if user.auth_provider else "a password"
        raise SettingsError(f"kubeconfig {file.path}: a user with {what} is not supported; use a token or exec")
    certificate = file.text(user.client_certificate_data, user.client_certificate, "the client certificate")
    key = file.text(user.client_key_data, user.client_key, "the client key")
    identity = Identity(user.token, certificate, key)
    if user.exec is not None and not user.token:
        return Plugin(_plugin(file, user.exec, cluster), identity, clock)
    if user.token_file:
        return TokenFile(file.path.parent / user.token_file, identity)
    return Fixed(identity)


def _plugin(file: _File, exec_: _Exec, cluster: JsonObject) -> PluginSettings:
    beside = os.sep in exec_.command and not Path(exec_.command).is_absolute()
    return PluginSettings(
        command=str(file.path.parent / exec_.command) if beside else exec_.command,
        args=tuple(exec_.args),
        env=tuple((v.name, v.value) for v in exec_.env),
        api_version=exec_.api_version,
        install_hint=exec_.install_hint,
        cluster=cluster if exec_.provide_cluster_info else None,
    )


def _told(cluster: _Cluster, authority: str) -> JsonObject:
    """The cluster as a plugin is told of it."""
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
