"""MCP servers and containers of tools in pods of their own, with the rights that an installed operator has."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from kubechain.resources.json import JsonObject, JsonValue
from tests.machine.conftest import SECONDS, Node
from tests.machine.test_operator import FINISHED, KUBECHAIN, RESULT, ROOT, operator_with
from tests.parts.machine import images

pytestmark = [pytest.mark.machine, pytest.mark.timeout(3 * SECONDS)]
NAMESPACE = "pods"
VERSION = "kubechain.humanlayer.dev/v1alpha1"
SERVER = """
import json, os, sys
from pathlib import Path
from mcp.server import MCPServer

server = MCPServer("counter")
calls = []

@server.tool(structured_output=False)
def count(much: int = 0) -> str:
    'Count the calls.'
    calls.append(bytes(much * 1024 * 1024) + os.urandom(1))
    for page in range(0, len(calls[-1]), 4096):
        calls[-1][page]
    return json.dumps({
        "calls": len(calls),
        "environment": sorted(name for name in os.environ if name in ("GIVEN", "TOKEN", "OPENAI_API_KEY")),
        "token": os.environ.get("TOKEN", "") == "secret-value",
        "account": Path("/var/run/secrets/kubernetes.io").exists(),
    })

server.run("stdio")
"""
PODS = "--output=jsonpath={.items[*].metadata.name}"
DETAIL = "--output=jsonpath={.status.statusDetail}"


@pytest.fixture(scope="module")
def pods(node: Node) -> Iterator[Node]:
    """The node with an operator that may make pods, and a namespace that enforces "restricted"."""
    node.kubectl("create", "namespace", NAMESPACE)
    with operator_with(
        node, "--mcp-pods", "--containers", f"--secret={NAMESPACE}/counter", f"--secret={NAMESPACE}/openai"
    ):
        node.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
        for name, key in (("counter", "TOKEN"), ("openai", "OPENAI_API_KEY")):
            node.kubectl(
                "create", "secret", "generic", name, f"--from-literal={key}=secret-value", f"-n={NAMESPACE}"
            )
        node.kubectl("apply", "-n", NAMESPACE, "-f", str(ROOT / "kubechain-example/walkthrough/llm.yaml"))
        yield node
        node.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def server(image: str = images.PRODUCT, **more: JsonValue) -> JsonObject:
    return {
        "transport": "stdio",
        "run": "Pod",
        "pod": {"image": image},
        "command": "/opt/kubechain/bin/python",
        "args": ["-c", SERVER],
        "env": [
            {"name": "GIVEN", "value": "1"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "counter", "key": "TOKEN"}}},
        ],
        **more,
    }


def apply(node: Node, name: str, spec: JsonObject, words: str = "Count using the count tool") -> None:
    agent: JsonObject = {"llmRef": {"name": "gpt-4o"}, "system": "Count.", "mcpServers": [{"name": name}]}
    specs: dict[str, JsonObject] = {
        "MCPServer": spec,
        "Agent": agent,
        "Task": {"agent": name, "userMessage": words},
    }
    items: list[JsonValue] = [
        {"apiVersion": VERSION, "kind": kind, "metadata": {"name": name}, "spec": one}
        for kind, one in specs.items()
    ]
    node.kubectl(
        "apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps({"kind": "List", "apiVersion": "v1", "items": items})
    )


def begin(node: Node, run: str, task: str) -> None:
    """Creates the run."""
    spec = {"apiVersion": VERSION, "kind": "TaskRun", "metadata": {"name": run}, "spec": {"task": task}}
    node.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(spec))


def ran(node: Node, run: str, task: str) -> str:
    """The result of the run's tool call."""
    begin(node, run, task)
    node.kubectl("wait", "-n", NAMESPACE, f"taskrun/{run}", *FINISHED)
    mine = f"--selector=kubechain.humanlayer.dev/taskrun={run}"
    return node.kubectl("get", "-n", NAMESPACE, "toolcalls", mine, RESULT)


def test_a_server_in_a_pod_of_its_own_serves_its_calls_and_sees_no_token(pods: Node) -> None:
    apply(pods, "counter", server())
    first = json.loads(ran(pods, "first", "counter"))
    assert first == {"calls": first["calls"], "environment": ["GIVEN", "TOKEN"], "token": True, "account": False}
    made = pods.kubectl("get", "pods", "-n", NAMESPACE, PODS).split()
    assert made and all(name.startswith("counter-") for name in made)


def test_a_server_that_nobody_uses_is_stopped_and_started_again_by_the_next_call(pods: Node) -> None:
    apply(pods, "idle", server(idleTimeout="1s"))
    assert json.loads(ran(pods, "used", "idle"))["calls"] == 1
    label = "--selector=kubechain.humanlayer.dev/mcpserver=idle"
    pods.kubectl("wait", "-n", NAMESPACE, "pods", label, "--for=delete", "--timeout=60s")
    assert json.loads(ran(pods, "again", "idle"))["calls"] == 1


def test_a_server_that_needs_more_memory_than_its_limit_says_so(pods: Node) -> None:
    limits: JsonObject = {"limits": {"memory": "128Mi"}}
    fail: list[JsonValue] = [{"tools": ["count"], "onInterrupt": "Fail"}]
    apply(pods, "hungry", server(resources=limits, overrides=fail), "Count 900 using the count tool")
    ran(pods, "eating", "hungry")
    error = "--output=jsonpath={.items[0].status.error}"
    mine = "--selector=kubechain.humanlayer.dev/taskrun=eating"
    said = pods.kubectl("get", "-n", NAMESPACE, "toolcalls", mine, error)
    assert "used more than its memory limit of 128Mi" in said, said


def container(node: Node, name: str, code: str) -> None:
    """A Tool that runs this Python in our image, an Agent with it, and a Task for it."""
    tool: JsonObject = {
        "description": "Say something in a container.",
        "parameters": {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]},
        "container": {"image": images.PRODUCT, "command": ["/opt/kubechain/bin/python", "-c", code]},
    }
    agent: JsonObject = {"llmRef": {"name": "gpt-4o"}, "system": "Say.", "tools": [{"name": name}]}
    task: JsonObject = {"agent": name, "userMessage": f'Say "hello" using the {name} tool'}
    items: list[JsonValue] = [
        {"apiVersion": VERSION, "kind": kind, "metadata": {"name": name}, "spec": one}
        for kind, one in {"Tool": tool, "Agent": agent, "Task": task}.items()
    ]
    listed = json.dumps({"kind": "List", "apiVersion": "v1", "items": items})
    node.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=listed)


def test_a_container_runs_as_a_job_with_the_rights_of_an_installed_operator(pods: Node) -> None:
    container(pods, "say", "print(open('/kubechain/args.json').read())")
    assert json.loads(ran(pods, "said", "say"))["message"] == "hello"


def test_a_job_goes_on_when_every_operator_is_killed_and_is_not_started_again(pods: Node) -> None:
    container(pods, "wait", "import time; time.sleep(20); print('waited')")
    begin(pods, "waited", "wait")
    mine, where = "--selector=kubechain.humanlayer.dev/taskrun=waited", ("-n", NAMESPACE)
    # kubectl does not wait for objects that a selector may find one day.
    running = "--for=jsonpath={.status.phase}=Running"
    pods.run(str(KUBECHAIN), "wait", *where, "toolcalls", mine, running, "--timeout=60s")
    job = pods.kubectl("get", *where, "toolcalls", mine, "--output=jsonpath={.items[0].status.external.id}")
    pods.kubectl("wait", *where, f"job/{job}", "--for=jsonpath={.status.ready}=1", "--timeout=60s")
    uids = ("get", *where, "pods", mine, "--output=jsonpath={.items[*].metadata.uid}")
    (before,) = pods.kubectl(*uids).split()
    system = ("get", "pods", "--namespace=kubechain-system", "--output=jsonpath={.items[*].metadata.uid}")
    for uid in pods.kubectl(*system).split():
        assert pods.machine.kill(uid) >= 1
    pods.kubectl("wait", *where, "taskrun/waited", *FINISHED)
    status = "--output=jsonpath={.items[0].status.phase} {.items[0].status.attempts} {.items[0].status.result}"
    assert pods.kubectl("get", *where, "toolcalls", mine, status).split() == ["Succeeded", "1", "waited"]
    after = pods.kubectl(
        "get", *where, "pods", "--selector=job-name", "--output=jsonpath={.items[*].metadata.uid}"
    )
    assert set(after.split()) <= set(before.split())


def test_an_image_that_is_not_there_is_named(pods: Node) -> None:
    apply(pods, "missing", server("registry.invalid/no/such:1"))
    where = ("-n", NAMESPACE, "mcpserver/missing")
    pods.kubectl("wait", *where, "--for=jsonpath={.status.status}=Error", "--timeout=60s")
    detail = pods.kubectl("get", *where, DETAIL)
    assert "image" in detail and "registry.invalid/no/such:1" in detail


def test_a_deleted_server_takes_its_pod_along(pods: Node) -> None:
    pods.kubectl("delete", "-n", NAMESPACE, "mcpserver", "counter")
    label = "--selector=kubechain.humanlayer.dev/mcpserver=counter"
    pods.kubectl("wait", "-n", NAMESPACE, "pods", label, "--for=delete", "--timeout=60s")
