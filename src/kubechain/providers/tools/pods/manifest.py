"""The pod of a tool process, as a manifest. `starter` creates it.

It passes the Pod Security Standard "restricted" and has no service-account token. Values of Secrets are not in it:
it names them, and the node fills them in. It belongs to the object that it runs for, and is deleted with it. Its
stdin is closed when the connection of the program that started it ends, so that its process ends, too. Pure.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from kubechain.agents.naming import label_value
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import GROUP, VERSION
from kubechain.resources.reference import EnvVar

CONTAINER = "server"
LABEL = "kubechain.humanlayer.dev/mcpserver"


class PodCommand(Struct, frozen=True):
    """What runs in the pod, and for which MCPServer: its namespace, name and uid. Two equal ones are the same."""

    namespace: str
    owner: str
    uid: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    limits: tuple[tuple[str, str], ...] = ()
    working_dir: str = ""
    user: int | None = None
    pull_secrets: tuple[str, ...] = ()


def manifest(command: PodCommand, name: str) -> JsonObject:
    """The pod, under this name."""
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": command.image,
        "imagePullPolicy": "IfNotPresent",
        "stdin": True,
        "stdinOnce": True,
        "env": [msgspec.to_builtins(variable) for variable in command.env],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }
    optional = {
        "command": list(command.command),
        "args": list(command.args),
        "workingDir": command.working_dir,
        "resources": {"limits": dict(command.limits)} if command.limits else {},
    }
    container |= {name: value for name, value in optional.items() if value}
    security: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if command.user is not None:
        security |= {"runAsUser": command.user, "runAsGroup": command.user}
    owner: JsonObject = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "MCPServer",
        "name": command.owner,
        "uid": command.uid,
        "controller": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": command.namespace,
            "labels": {"app.kubernetes.io/managed-by": "kubechain", LABEL: label_value(command.owner)},
            "ownerReferences": [owner],
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 2,
            "securityContext": security,
            "imagePullSecrets": [{"name": name} for name in command.pull_secrets],
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
        },
    }
