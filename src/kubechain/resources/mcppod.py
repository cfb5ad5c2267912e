"""The pod that an MCP server with `run: Pod` has for itself. A part of `MCPServer`."""

from __future__ import annotations

from typing import Annotated

from kubechain.resources.model import Model, Rule, doc
from kubechain.resources.reference import Reference


class MCPPod(Model, kw_only=True, gc=False):
    """What the pod runs, and as whom."""

    image: Annotated[str, doc("The image of the server.", min_length=1, max_length=1024)]
    run_as_user: (
        Annotated[int, doc("The user it runs as; default: that of the image, which must not be root.", ge=1)]
        | None
    ) = None
    image_pull_secrets: Annotated[
        list[Reference], doc("Secrets of this namespace that the image is pulled with.", max_length=20)
    ] = []


def _fits(node: object, _: object) -> bool:
    if not isinstance(node, dict):
        return True
    return (node.get("run") == "Pod") == ("pod" in node) and (
        "pod" not in node or node.get("transport") == "stdio"
    )


POD = Rule(
    "(has(self.run) && self.run == 'Pod') == has(self.pod) && (!has(self.pod) || self.transport == 'stdio')",
    "run: Pod needs a pod, with its image; pod is for run: Pod and transport stdio",
    _fits,
)
