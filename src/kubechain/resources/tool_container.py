"""The kind of tool `container`: a program in a container image, run once for every call."""

from __future__ import annotations

from typing import Annotated, Literal

from kubechain.resources.limits import Resources
from kubechain.resources.model import doc
from kubechain.resources.reference import EnvVar
from kubechain.resources.toolkind import ToolKind

IMAGE = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"
ROOTED = r"^/[^:]*$"


class ContainerTool(ToolKind, kw_only=True, gc=False):
    """A program in a container image. Each call runs it once, in a container of its own."""

    image: Annotated[
        str,
        doc("The image, as in registry.example.com/tools/resize:1.2.", pattern=IMAGE, max_length=500),
    ]
    command: Annotated[
        list[str], doc("The program and its first arguments; default: the image's entrypoint.", max_length=100)
    ] = []
    args: Annotated[
        list[str],
        doc("Arguments of the program; default: those of the image, if `command` is not set.", max_length=100),
    ] = []
    env: Annotated[
        list[EnvVar],
        doc("Environment variables of the program, in addition to those of the image.", max_length=100),
    ] = []
    resources: (
        Annotated[Resources, doc("What the container may use; default: 1 CPU and 512Mi of memory.")] | None
    ) = None
    network: (
        Annotated[
            Literal["None", "Egress"],
            doc("None: the container has no network. Egress: it may connect to others. Default None."),
        ]
        | None
    ) = None
    working_dir: (
        Annotated[str, doc("The folder that the program starts in; default: that of the image.", pattern=ROOTED)]
        | None
    ) = None

    @property
    def variables(self) -> list[EnvVar]:
        return self.env

    @property
    def cpu(self) -> str:
        """The limit of CPUs."""
        limits = self.resources.limits if self.resources else None
        return (limits.cpu if limits else None) or "1"

    @property
    def memory(self) -> str:
        """The limit of memory."""
        limits = self.resources.limits if self.resources else None
        return (limits.memory if limits else None) or "512Mi"
