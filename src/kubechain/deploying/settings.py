"""What an installation is told. Made by `kubechain install` and by whoever writes deploy/."""

from __future__ import annotations

from msgspec import Struct

from kubechain import __version__
from kubechain.deploying.rbac import Account
from kubechain.resources.json import JsonObject

NAME = "kubechain"
NAMESPACE = "kubechain-system"
IMAGE = f"kubechain:{__version__}"
PORT = 8080
Pairs = tuple[tuple[str, str], ...]


class InstallSettings(Struct, frozen=True):
    """`namespace` is where the operator runs; `watch` the one it looks after, "" for all of them.

    `secrets`: those that the operator may read, each a namespace and a name. `name` is that of every object of the
    installation and the beginning of the others. `service_account` names one that exists; "" makes one.
    `base_urls` are by provider; `env`, `requests` and `limits` by name.
    """

    namespace: str = NAMESPACE
    watch: str = ""
    image: str = IMAGE
    replicas: int = 2
    secrets: tuple[tuple[str, str], ...] = ()
    name: str = NAME
    service_account: str = ""
    pull_secrets: tuple[str, ...] = ()
    base_urls: Pairs = ()
    env: Pairs = ()
    requests: Pairs = (("cpu", "100m"), ("memory", "256Mi"))
    limits: Pairs = (("memory", "1Gi"),)
    tools_image: str = ""
    """"" is the operator's own: the image of the container that runs functions and MCP servers over stdio."""
    tool_requests: Pairs = (("cpu", "50m"), ("memory", "128Mi"))
    tool_limits: Pairs = (("memory", "1Gi"),)
    """Of that container."""
    containers: bool = False
    """Whether the operator may run the containers of tools as Jobs."""
    mcp_pods: bool = False
    """Whether MCP servers may have pods of their own (`run: Pod`)."""
    log_level: str = ""
    log_format: str = ""
    """"" leaves either to the program."""

    @property
    def own_namespace(self) -> bool:
        """Whether the operator runs in the one namespace that it looks after."""
        return self.namespace == self.watch

    @property
    def account(self) -> Account:
        """Who the operator is."""
        return Account(self.namespace, self.service_account or self.name, self.name)

    @property
    def selector(self) -> JsonObject:
        """The labels of the operator's pods that never change."""
        return {"app.kubernetes.io/name": NAME, "app.kubernetes.io/instance": self.name}

    @property
    def labels(self) -> JsonObject:
        """The labels of every object."""
        return {**self.selector, "app.kubernetes.io/version": __version__}

    def metadata(self, suffix: str = "") -> JsonObject:
        """Of an object in the operator's namespace."""
        return {"name": f"{self.name}{suffix}", "namespace": self.namespace, "labels": self.labels}
