"""The Job of a call, and the NetworkPolicy of Jobs that have no network.

`jobs` calls it. Pure. The pod passes the Pod Security Standard `restricted` and has no service-account token. Its
arguments are an annotation, which the kubelet gives it as a file: a call needs no object but the Job. Values of
Secrets are references in it.
"""

from __future__ import annotations

import math

from kubechain.agents.ports.tool import ToolRun
from kubechain.providers.tools.container import work
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import GROUP
from kubechain.resources.quantity import cores
from kubechain.resources.reference import EnvVar
from kubechain.resources.tool_container import ContainerTool
from kubechain.resources.toolcall import TOOL_CALLS

CONTAINER = "tool"
ARGUMENTS = f"{GROUP}/arguments"
"""The annotation with the arguments."""
NETWORK = f"{GROUP}/network"
NO_NETWORK = "kubechain-no-network"
KEPT_SECONDS = 3600
"""How long a Job that has ended waits for an operator to take its result."""
LEAST_CPU = "100m"


def job(run: ToolRun, name: str) -> JsonObject:
    """The manifest."""
    tool, meta = work.container_of(run.provider), run.call.metadata
    labels: JsonObject = {**work.labels(run), NETWORK: "egress" if tool.network == "Egress" else "none"}
    annotations: JsonObject = {ARGUMENTS: run.arguments.decode()}
    owner: JsonObject = {
        "apiVersion": TOOL_CALLS.api_version,
        "kind": TOOL_CALLS.kind,
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": meta.namespace, "labels": labels, "ownerReferences": [owner]},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": max(1, math.ceil(run.timeout)),
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": _pod(tool)},
        },
    }


def no_network(namespace: str) -> JsonObject:
    """Closes all traffic of pods that are to have none."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": NO_NETWORK, "namespace": namespace},
        "spec": {"podSelector": {"matchLabels": {NETWORK: "none"}}, "policyTypes": ["Ingress", "Egress"]},
    }


def _pod(tool: ContainerTool) -> JsonObject:
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": work.USER,
            "runAsGroup": work.USER,
            "fsGroup": work.USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(tool)],
        "volumes": [
            _empty("work"),
            _empty("artifacts"),
            _empty("tmp"),
            {
                "name": "arguments",
                "downwardAPI": {
                    "items": [
                        {"path": work.ARGUMENTS, "fieldRef": {"fieldPath": f"metadata.annotations['{ARGUMENTS}']"}}
                    ]
                },
            },
        ],
    }


def _empty(name: str) -> JsonObject:
    return {"name": name, "emptyDir": {"sizeLimit": "1Gi"}}


def _container(tool: ContainerTool) -> JsonObject:
    cpu = tool.cpu if cores(tool.cpu) < cores(LEAST_CPU) else LEAST_CPU
    mounts: list[JsonValue] = [
        {"name": "work", "mountPath": work.FOLDER},
        {"name": "artifacts", "mountPath": f"{work.FOLDER}/{work.ARTIFACTS}"},
        {
            "name": "arguments",
            "mountPath": f"{work.FOLDER}/{work.ARGUMENTS}",
            "subPath": work.ARGUMENTS,
            "readOnly": True,
        },
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
    ]
    made: JsonObject = {
        "name": CONTAINER,
        "image": tool.image,
        "imagePullPolicy": "IfNotPresent",
        "env": [_variable(variable) for variable in tool.env],
        "resources": {
            "limits": {"cpu": tool.cpu, "memory": tool.memory},
            "requests": {"cpu": cpu, "memory": tool.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": f"{work.FOLDER}/{work.RESULT}",
        "volumeMounts": mounts,
    }
    for name, words in (("command", tool.command), ("args", tool.args)):
        if words:
            made[name] = [_literally(word) for word in words]
    if tool.working_dir:
        made["workingDir"] = tool.working_dir
    return made


def _variable(variable: EnvVar) -> JsonValue:
    if variable.value_from is None:
        return {"name": variable.name, "value": _literally(variable.value or "")}
    ref = variable.value_from.secret_key_ref
    return {"name": variable.name, "valueFrom": {"secretKeyRef": {"name": ref.name, "key": ref.key}}}


def _literally(text: str) -> str:
    """A kubelet replaces `$(NAME)` by a variable, which no engine on a laptop does."""
    return text.replace("$(", "$$(")
