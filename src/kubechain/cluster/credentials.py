"""Credentials for an API server: a fixed identity, a token file that is rotated, or a credential plugin.

Created by `kubeconfig` and `target`, and used by `http` for every request. Never logs or shows a token.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import msgspec

from kubechain.errors import Unauthorized
from kubechain.resources.json import JsonObject
from kubechain.resources.model import Clock, moment

Monotonic = Callable[[], float]
REREAD_SECONDS = 10.0
"""How old a token read from a file may be; the kubelet writes a new one long before the old one ends."""
PLUGIN_SECONDS = 60.0
LEEWAY = timedelta(seconds=30)
"""How long before its end a plugin's credential is not used any more."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A bearer token and a client certificate with its key (PEM), "" where there is none."""

    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)


class Credentials(Protocol):
    """Where identities come from."""

    async def identity(self) -> Identity:
        """The current identity, cached while it is valid. Raises Unauthorized."""
        ...

    def refused(self) -> None:
        """Called when the server refused the identity: the next one is read again."""
        ...


class Fixed:
    """An identity that never changes."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def identity(self) -> Identity:
        return self._identity

    def refused(self) -> None:
        pass


class TokenFile:
    """A token in a file that another program renews, such as the kubelet."""

    def __init__(self, path: Path, other: Identity | None = None, monotonic: Monotonic = time.monotonic) -> None:
        self._path = path
        self._other = other or Identity()
        self._monotonic = monotonic
        self._held: Identity | None = None
        self._read_at = 0.0

    async def identity(self) -> Identity:
        if self._held is not None and self._monotonic() - self._read_at < REREAD_SECONDS:
            return self._held
        self._read_at = self._monotonic()
        try:
            token = (await asyncio.to_thread(self._path.read_text)).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unauthorized(f"token file {self._path} cannot be read: {error}") from None
        self._held = Identity(token, self._other.certificate, self._other.key)
        return self._held

    def refused(self) -> None:
        self._held = None


class PluginSettings(msgspec.Struct, frozen=True):
    """The `exec` of a kubeconfig user. `cluster` is passed to the plugin if `provideClusterInfo` is set."""

    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    api_version: str = "client.authentication.k8s.io/v1"
    install_hint: str = ""
    cluster: JsonObject | None = None


class _Status(msgspec.Struct, rename="camel"):
    token: str = ""
    expiration_timestamp: str | None = None
    client_certificate_data: str = ""
    client_key_data: str = ""


class _Credential(msgspec.Struct):
    status: _Status


class Plugin:
    """A program that prints an ExecCredential. It is run again when that one ends or is refused."""

    def __init__(self, settings: PluginSettings, other: Identity, clock: Clock) -> None:
        self._settings = settings
        self._other = other
        self._clock = clock
        self._held: Identity | None = None
        self._until: str | None = None
        self._asking = asyncio.Lock()

    async def identity(self) -> Identity:
        async with self._asking:
            if self._held is None or self._ended():
                self._held, self._until = await self._ask()
            return self._held

    def refused(self) -> None:
        self._held = None

    def _ended(self) -> bool:
        return self._until is not None and self._clock() + LEEWAY >= moment(self._until)

    async def _ask(self) -> tuple[Identity, str | None]:
        printed = await self._run()
        try:
            status = msgspec.json.decode(printed, type=_Credential).status
            if status.expiration_timestamp is not None:
                moment(status.expiration_timestamp)
        except (msgspec.MsgspecError, ValueError):
            raise Unauthorized(
                f"credential plugin {self._settings.command} printed no ExecCredential with a status"
            ) from None
        certificate = status.client_certificate_data or self._other.certificate
        key = status.client_key_data or self._other.key
        return Identity(status.token, certificate, key), status.expiration_timestamp

    async def _run(self) -> bytes:
        """What the plugin prints to stdout. Its stderr is that of this program, as with kubectl."""
        command = self._settings.command
        try:
            process = await asyncio.create_subprocess_exec(
                command,
                *self._settings.args,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, **dict(self._settings.env), "KUBERNETES_EXEC_INFO": self._request()},
            )
        except OSError as error:
            hint = f": {self._settings.install_hint}" if self._settings.install_hint else ""
            raise Unauthorized(f"credential plugin {command} cannot be run ({error.strerror}){hint}") from None
        try:
            async with asyncio.timeout(PLUGIN_SECONDS):
                printed, _ = await process.communicate()
        except TimeoutError:
            raise Unauthorized(
                f"credential plugin {command} did not answer within {PLUGIN_SECONDS:.0f} s"
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode != 0:
            raise Unauthorized(f"credential plugin {command} ended with exit code {process.returncode}")
        return printed

    def _request(self) -> str:
        spec: JsonObject = {"interactive": False}
        if self._settings.cluster is not None:
            spec["cluster"] = self._settings.cluster
        return json.dumps({"apiVersion": self._settings.api_version, "kind": "ExecCredential", "spec": spec})
