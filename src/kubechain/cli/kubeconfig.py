"""Which API server to talk to, and as whom: the current context of a kubeconfig.

Read by `client`; `cluster.contexts` reads the files. Never runs a credential plugin, never writes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from kubechain.cli.exits import CommandError, NotRunning
from kubechain.cli.state import state_home
from kubechain.cluster.contexts import Chosen, Entry, chosen
from kubechain.errors import SettingsError


@dataclass(frozen=True)
class Target:
    """A server and the credentials for it; PEM texts, "" where there is none."""

    server: str
    namespace: str = "default"
    authority: str = ""
    verify: bool = True
    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)


def locate(flag: str | None) -> Path:
    """The kubeconfig to use: the flag, else the first file of $KUBECONFIG, else that of `kubechain up`."""
    if flag:
        return Path(flag).expanduser()
    listed = [Path(entry).expanduser() for entry in os.environ.get("KUBECONFIG", "").split(os.pathsep) if entry]
    return next((path for path in listed if path.exists()), listed[0] if listed else state_home() / "kubeconfig")


def load(path: Path) -> Target:
    """The target of the file's current context. Raises NotRunning (no file), CommandError (no use)."""
    if not path.exists():
        raise NotRunning(
            f"there is no kubeconfig at {path}: start KubeChain with `kubechain up`, "
            "or name a kubeconfig with --kubeconfig or $KUBECONFIG"
        )
    try:
        return _target(chosen([path]))
    except SettingsError as error:
        raise CommandError(str(error)) from None


def _target(found: Chosen) -> Target:
    user = found.user
    if {"exec", "auth-provider"} & user.content.keys():
        raise CommandError(
            f"kubeconfig {user.path} gets its credentials from a plugin, which this command does not run: "
            "use kubectl"
        )
    return Target(
        server=found.cluster.text("server").rstrip("/"),
        namespace=found.context.text("namespace") or "default",
        authority=found.cluster.pem("certificate-authority", "the cluster's certificate authority"),
        verify=found.cluster.text("insecure-skip-tls-verify") != "true",
        token=user.text("token") or _token_in(user),
        certificate=user.pem("client-certificate", "the client certificate"),
        key=user.pem("client-key", "the client key"),
    )


def _token_in(user: Entry) -> str:
    file = user.text("tokenFile")
    try:
        return (user.path.parent / file).read_text().strip() if file else ""
    except (OSError, ValueError) as error:
        raise CommandError(f"kubeconfig {user.path}: the token file cannot be read: {error}") from None
