"""Which API server to talk to, and as whom: the current context of a kubeconfig.

Read by `client`. Reads files and nothing else; never runs a credential plugin, never writes.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from kubechain.cli import blocks
from kubechain.cli.exits import CommandError, NotRunning
from kubechain.cli.objects import mapping, members, text
from kubechain.resources.json import JsonObject, JsonValue


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


def state_home() -> Path:
    """The folder in which `kubechain up` keeps its state when it is not told another."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "kubechain"


def locate(flag: str | None) -> Path:
    """The kubeconfig to use: the flag, else the first file of $KUBECONFIG, else that of `kubechain up`."""
    if flag:
        return Path(flag).expanduser()
    listed = [Path(entry).expanduser() for entry in os.environ.get("KUBECONFIG", "").split(os.pathsep) if entry]
    return next((path for path in listed if path.exists()), listed[0] if listed else state_home() / "kubeconfig")


def load(path: Path) -> Target:
    """The target of the file's current context. Raises NotRunning (no file), CommandError (no use)."""
    try:
        config = parse(path.read_text())
    except FileNotFoundError:
        raise NotRunning(
            f"there is no kubeconfig at {path}: start KubeChain with `kubechain up`, "
            "or name a kubeconfig with --kubeconfig or $KUBECONFIG"
        ) from None
    except (OSError, ValueError) as error:
        raise CommandError(f"kubeconfig {path} cannot be read: {error}") from None
    context = _entry(config, "context", text(config, "current-context"), path)
    cluster = _entry(config, "cluster", text(context, "cluster"), path)
    user = _entry(config, "user", text(context, "user"), path) if text(context, "user") else {}
    if "exec" in user or "auth-provider" in user:
        raise CommandError(
            f"kubeconfig {path} gets its credentials from a plugin, which this command does not run: use kubectl"
        )
    token_file = text(user, "tokenFile")
    return Target(
        server=text(cluster, "server").rstrip("/"),
        namespace=text(context, "namespace") or "default",
        authority=_pem(cluster, "certificate-authority", path),
        verify=text(cluster, "insecure-skip-tls-verify") != "true",
        token=text(user, "token") or (Path(token_file).read_text().strip() if token_file else ""),
        certificate=_pem(user, "client-certificate", path),
        key=_pem(user, "client-key", path),
    )


def parse(document: str) -> JsonObject:
    """The content of a kubeconfig, JSON or YAML. Raises ValueError."""
    config: JsonValue = json.loads(document) if document.lstrip().startswith("{") else blocks.parse(document)
    if config is None:
        from kubechain.resources import yamltext  # costs half as much as the rest: only where the file needs it

        config = yamltext.texts(document)
    if not isinstance(config, dict):
        raise ValueError("it holds no mapping")
    return config


def _entry(config: JsonObject, what: str, name: str, path: Path) -> JsonObject:
    for entry in members(config, f"{what}s"):
        if text(entry, "name") == name:
            return mapping(entry, what)
    raise CommandError(f"kubeconfig {path} has no {what} named {name!r}: choose one with `kubectl config`")


def _pem(entry: JsonObject, name: str, path: Path) -> str:
    inline = text(entry, f"{name}-data")
    if inline:
        return base64.b64decode(inline).decode()
    file = text(entry, name)
    return (path.parent / file).read_text() if file else ""
