"""The container of an operator's pod that runs tool processes: functions, and MCP servers over stdio.

Called by `workload`. It has another user than the operator, a filesystem, a /tmp and limits of its own, and no
token. What joins the two is a folder with one socket, which this container can only read.
"""

from __future__ import annotations

from kubechain.deploying.settings import InstallSettings, Pairs
from kubechain.resources.json import JsonObject

CONTAINER = "tools"
FOLDER = "/run/kubechain"
SOCKET = f"{FOLDER}/tools.sock"
USER = 65533
"""Neither the operator's user, nor in its group."""


def container(settings: InstallSettings) -> JsonObject:
    """The tool host."""
    return {
        "name": CONTAINER,
        "image": settings.tools_image or settings.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["kubechain"],
        "args": ["tool-host", SOCKET, *_logging(settings)],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108
        "resources": resources(settings.tool_requests, settings.tool_limits),
        "securityContext": {**confined(), "runAsUser": USER, "runAsGroup": USER},
        "volumeMounts": [
            {"name": "tools-tmp", "mountPath": "/tmp"},  # noqa: S108
            {"name": "tool-host", "mountPath": FOLDER, "readOnly": True},
        ],
    }


def volumes() -> list[JsonObject]:
    """The folder of the socket, and what tools may write."""
    return [
        {"name": "tools-tmp", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "tool-host", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]


def confined() -> JsonObject:
    """What either container must not do."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def resources(requests: Pairs, limits: Pairs) -> JsonObject:
    """What a container asks for and may use."""
    pairs = {"requests": requests, "limits": limits}
    return {name: {**dict(quantities)} for name, quantities in pairs.items() if quantities}


def _logging(settings: InstallSettings) -> list[str]:
    flags = (("--log-level", settings.log_level), ("--log-format", settings.log_format))
    return [f"{flag}={value}" for flag, value in flags if value]
