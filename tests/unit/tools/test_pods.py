"""A pod for a tool process: what its manifest says, and what its status means to people."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from kubechain.agents.naming import pod_name
from kubechain.errors import Forbidden, Terminal
from kubechain.providers.tools.pods.manifest import PodCommand, manifest
from kubechain.providers.tools.pods.port import Streams
from kubechain.providers.tools.pods.starter import PodStarter
from kubechain.providers.tools.pods.state import Over, Runs, Starting, State, Stuck, state
from kubechain.resources.json import JsonObject
from kubechain.resources.reference import EnvVar

SECRET = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}


def pod(phase: str, container: dict[str, Any] | None = None, **status: Any) -> bytes:
    statuses = [{"name": "sidecar", "state": {"running": {}}}]
    statuses += [{"name": "server", "state": container}] if container is not None else []
    return json.dumps({"status": {"phase": phase, "containerStatuses": statuses, **status}}).encode()


@pytest.mark.parametrize(
    ("given", "means"),
    [
        (b"{}", Starting("it is being scheduled")),
        (pod("Pending"), Starting("it is being scheduled")),
        (
            pod(
                "Pending", conditions=[{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1 nodes"}]
            ),
            Starting("no node takes it: 0/1 nodes"),
        ),
        (pod("Pending", {"waiting": {"reason": "ContainerCreating"}}), Starting("ContainerCreating")),
        (
            pod("Pending", {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling "x:1"'}}),
            Stuck('its image cannot be pulled: Back-off pulling "x:1"'),
        ),
        (
            pod("Pending", {"waiting": {"reason": "CreateContainerConfigError", "message": "runs as root"}}),
            Stuck("its container cannot be configured: runs as root"),
        ),
        (pod("Running", {"running": {"startedAt": "now"}}), Runs()),
        (pod("Succeeded", {"terminated": {"exitCode": 0, "reason": "Completed"}}), Over(0, "")),
        (pod("Failed", {"terminated": {"exitCode": 3, "reason": "Error"}}), Over(3, "")),
        (pod("Failed", {"terminated": {"exitCode": 143, "reason": "Error"}}), Over(-15, "")),
        (
            pod("Failed", {"terminated": {"exitCode": 128, "reason": "StartError", "message": "no such program"}}),
            Over(128, "no such program"),
        ),
        (
            pod("Failed", {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            Over(-9, "", over_memory=True),
        ),
        (
            pod("Failed", reason="Evicted", message="the node was low on memory"),
            Over(1, "its pod was ended by the cluster (Evicted): the node was low on memory"),
        ),
    ],
)
def test_what_a_pod_says_of_itself_becomes_a_state_and_a_sentence(given: bytes, means: State) -> None:
    assert state(given, "server") == means


def test_its_manifest_is_restricted_belongs_to_its_server_and_names_secrets_without_their_values() -> None:
    command = PodCommand(
        "default",
        "files",
        "uid-1",
        "example/files:1",
        ("node", "x.js"),
        ("--root", "/data"),
        (msgspec.convert(SECRET, EnvVar),),
        (("memory", "64Mi"),),
        "/work",
        1000,
        ("pull",),
    )
    made: Any = manifest(command, "files-abc")
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    spec = made["spec"]
    assert spec["automountServiceAccountToken"] is False and spec["restartPolicy"] == "Never"
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        "runAsUser": 1000,
        "runAsGroup": 1000,
    }
    (container,) = spec["containers"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert container["env"] == [SECRET] and container["stdin"] and container["stdinOnce"]
    assert container["resources"] == {"limits": {"memory": "64Mi"}}
    assert (container["command"], container["args"]) == (["node", "x.js"], ["--root", "/data"])
    assert spec["imagePullSecrets"] == [{"name": "pull"}]


def test_each_replica_has_a_pod_of_its_own_for_a_server_and_a_server_made_anew_another() -> None:
    names = {pod_name("files", uid, holder) for uid in ("1", "2") for holder in ("a", "b")}
    assert len(names) == 4 and all(name.startswith("files-") for name in names)
    assert len(pod_name("x" * 253, "1", "a")) == 63


class Unattachable:
    """A cluster where pods may be made, and not attached to."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    async def create(self, namespace: str, pod: JsonObject) -> None:
        return None

    async def watch(self, namespace: str, name: str) -> AsyncGenerator[bytes | None, None]:
        yield pod("Running", {"running": {}})

    async def delete(self, namespace: str, name: str, grace: int) -> None:
        self.deleted.append(name)

    async def attach(self, namespace: str, name: str, container: str) -> Streams:
        raise Forbidden('cannot create resource "pods/attach"')


async def test_a_pod_that_nobody_may_attach_to_is_deleted_and_the_right_named() -> None:
    cluster = Unattachable()
    with pytest.raises(Terminal, match="--mcp-pods") as told:
        await PodStarter(cluster, "a")(PodCommand("default", "files", "uid-1", "example/files:1"))
    assert told.value.reason == "PodsForbidden"
    assert cluster.deleted == [pod_name("files", "uid-1", "a")]
