"""Which API server to use, and with which credentials: from a kubeconfig or from a pod's service account.

Called by `remote.connect`. It chooses between the two. `kubeconfig` reads kubeconfigs, this module service
accounts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from kubechain.cluster.credentials import Credentials, TokenFile
from kubechain.errors import SettingsError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ClusterSettings(Struct, frozen=True):
    """The options of `kubechain operator`. Without a kubeconfig: $KUBECONFIG, else the pod's service account,
    else ~/.kube/config. `context` "" is the current one."""

    kubeconfig: Path | None = None
    context: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A server (URL without a trailing slash); `authority` is PEM, "" for the system's."""

    server: str
    credentials: Credentials = field(repr=False)
    namespace: str = "default"
    authority: str = ""
    verify: bool = True
    server_name: str = ""
    """The name that the server's certificate must bear, where it is not that of the URL."""
    impersonate: tuple[tuple[str, str], ...] = ()
    """Headers that make the server treat us as someone else."""


def located(settings: ClusterSettings, environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The kubeconfig files to read, the most important first. Empty: use the pod's service account."""
    if settings.kubeconfig is not None:
        return [settings.kubeconfig.expanduser()]
    if listed := [Path(p).expanduser() for p in environment.get("KUBECONFIG", "").split(os.pathsep) if p]:
        return listed
    if in_cluster(environment):
        return []
    return [Path("~/.kube/config").expanduser()]


def in_cluster(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process runs in a pod that knows its API server."""
    return bool(environment.get("KUBERNETES_SERVICE_HOST"))


def of_service_account(environment: Mapping[str, str] = os.environ, folder: Path = SERVICE_ACCOUNT) -> Target:
    """The API server of the pod we run in, as the pod's service account. Raises SettingsError."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
    host = f"[{host}]" if ":" in host else host
    try:
        authority = (folder / "ca.crt").read_text()
        namespace = (folder / "namespace").read_text().strip()
        (folder / "token").stat()
    except OSError as error:
        raise SettingsError(
            f"the pod's service account cannot be read ({error}): give the pod one, or name a kubeconfig"
        ) from None
    credentials = TokenFile(folder / "token")
    return Target(f"https://{host}:{port}", credentials, namespace or "default", authority)
