"""`make deploy-operator` on a real node: the walk-through, metrics behind a NetworkPolicy, replicas killed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kubechain.resources.json import JsonObject
from tests.machine.conftest import SECONDS, Node
from tests.parts.machine import images
from tests.story import metrics

pytestmark = [pytest.mark.machine, pytest.mark.timeout(3 * SECONDS)]
ROOT = Path(__file__).parents[2]
KUBECHAIN = Path(sys.executable).with_name("kubechain")
WALKTHROUGH = ROOT / "kubechain-example" / "walkthrough"
SYSTEM = "--namespace=kubechain-system"
FINISHED = ("--for=jsonpath={.status.phase}=FinalAnswer", "--timeout=90s")
ASK = """
import sys, urllib.error, urllib.request
token = open("/var/run/secrets/kubernetes.io/serviceaccount/token").read() if sys.argv[2:] else ""
asked = urllib.request.Request(sys.argv[1], headers={"Authorization": f"Bearer {token}"})
try:
    print(urllib.request.urlopen(asked, timeout=5).read().decode())
except urllib.error.HTTPError as error:
    print("HTTP", error.code)
except OSError as error:
    print("no connection:", error)
"""
RUN = """
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: TaskRun
metadata: {name: NAME}
spec: {task: hello-world-task}
"""
RESULT = "--output=jsonpath={.items[0].status.result}"
LOOK = """
import json, os
from pathlib import Path
from mcp.server import MCPServer

server = MCPServer("looker")

def replaced():
    try:
        Path("/run/kubechain/tools.sock").unlink()
    except OSError as error:
        return error.strerror
    return "gone"

@server.tool(structured_output=False)
def look() -> str:
    'Look around.'
    found = [p / "cmdline" for p in Path("/proc").iterdir() if p.name.isdigit()]
    words = {word.decode() for path in found for word in path.read_bytes().split(bytes(1))}
    return json.dumps({
        "environment": sorted(os.environ),
        "ids": [os.getuid(), os.getgid()],
        "token": Path("/var/run/secrets/kubernetes.io").exists(),
        "socket": replaced(),
        "commands": sorted(words & {"operator", "tool-host"}),
    })

server.run("stdio")
"""
SERVER: JsonObject = {"transport": "stdio", "command": "python3", "args": ["-c", LOOK]}
AGENT: JsonObject = {"llmRef": {"name": "gpt-4o"}, "system": "Look around.", "mcpServers": [{"name": "looker"}]}
LOOKER: dict[str, JsonObject] = {
    "MCPServer": {**SERVER, "env": [{"name": "GIVEN", "value": "1"}]},
    "Agent": AGENT,
    "Task": {"agent": "looker", "userMessage": "Look around using the look tool"},
    "TaskRun": {"task": "looker"},
}
RUNS = 8


@contextmanager
def operator_with(node: Node, *flags: str) -> Iterator[None]:
    """The operator as `make deploy-operator` brings it, without building the image again."""
    make = ["make", f"--directory={ROOT}", "--old-file=setup", "--old-file=image", f"IMAGE={images.PRODUCT}"]
    words = " ".join((f"--model-base-url=openai={node.model_url}", *flags))
    node.run(*make, "deploy-operator", KUBECHAIN=str(KUBECHAIN), INSTALL_FLAGS=words)
    yield
    node.run(*make, "undeploy-operator", KUBECHAIN=str(KUBECHAIN))
    assert "kubechain-system" not in node.kubectl("get", "namespaces", "-o", "name")
    assert "taskruns" in node.kubectl("get", "crd", "-o", "name")


@pytest.fixture(scope="module")
def operator(node: Node) -> Iterator[Node]:
    """The node with the operator on it."""
    node.kubectl("create", "secret", "generic", "openai", "--from-literal=OPENAI_API_KEY=any")
    with operator_with(node):
        yield node


def test_the_operator_runs_as_nobody_with_a_group_of_its_own(operator: Node) -> None:
    inside = ("exec", SYSTEM, "deployment/kubechain", "--")
    assert operator.kubectl(*inside, "id").strip() == (
        "uid=65532(kubechain) gid=65532(kubechain) groups=65532(kubechain)"
    )
    status = operator.kubectl(*inside, "cat", "/proc/1/status")
    lines = {name: values.split() for name, _, values in (line.partition(":") for line in status.splitlines())}
    assert lines["Uid"] == lines["Gid"] == ["65532"] * 4
    assert (lines["CapEff"], lines["NoNewPrivs"], lines["Seccomp"]) == (["0000000000000000"], ["1"], ["2"])


def test_the_walk_through_ends_with_its_answer(operator: Node) -> None:
    operator.kubectl("apply", "--filename", str(WALKTHROUGH))
    operator.kubectl("wait", "taskrun/hello-world-run", *FINISHED)
    calls = operator.kubectl("get", "toolcalls", "--output=jsonpath={.items[*].status.phase}")
    assert calls == "Succeeded"
    answer = operator.kubectl("get", "taskrun", "hello-world-run", "--output=jsonpath={.status.output}")
    assert "Hello" in answer


def test_tools_run_in_a_container_beside_the_operator_without_its_token(operator: Node) -> None:
    version = "kubechain.humanlayer.dev/v1alpha1"
    items = [
        {"apiVersion": version, "kind": kind, "metadata": {"name": "looker"}, "spec": spec}
        for kind, spec in LOOKER.items()
    ]
    operator.kubectl(
        "apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    )
    operator.kubectl("wait", "taskrun/looker", *FINISHED)
    mine = "--selector=kubechain.humanlayer.dev/taskrun=looker"
    assert json.loads(operator.kubectl("get", "toolcalls", mine, RESULT)) == {
        "environment": ["GIVEN", "HOME", "LC_CTYPE", "PATH"],
        "ids": [65533, 65533],
        "token": False,
        "socket": "Read-only file system",
        "commands": ["tool-host"],
    }


def test_a_pod_reads_the_metrics_where_network_and_cluster_allow_it(operator: Node) -> None:
    operator.kubectl("create", "namespace", "monitoring")
    operator.kubectl("label", "namespace", "monitoring", "kubechain.humanlayer.dev/metrics=allowed")
    binding = ("--clusterrole=kubechain-metrics-reader", "--serviceaccount=monitoring:prometheus")
    operator.kubectl("create", "clusterrolebinding", "monitoring", *binding)
    for namespace in ("monitoring", "default"):
        operator.kubectl("create", "serviceaccount", "prometheus", f"--namespace={namespace}")
    address = operator.kubectl("get", "service", "kubechain", SYSTEM, "--output=jsonpath={.spec.clusterIP}")
    arguments = f"import sys; sys.argv = ['', 'http://{address}:8080/metrics'"
    with_token, without = (f"{arguments}{more}]\n{ASK}" for more in (", 'token'", ""))
    found = metrics.numbers(operator.python("monitoring", "scrape", "prometheus", with_token))
    assert found['kubechain_cache_synced{kind="TaskRun"}'] == 1
    assert found["process_resident_memory_bytes"] > 1 << 20
    assert operator.python("monitoring", "stranger", "prometheus", without).strip() == "HTTP 401"
    assert operator.python("default", "outsider", "prometheus", with_token).startswith("no connection")


@pytest.mark.parametrize("how", ["sigkill", "deletion"])
def test_runs_end_as_they_must_when_the_pod_of_a_replica_is_killed(operator: Node, how: str) -> None:
    operator.kubectl("apply", "--filename", str(WALKTHROUGH))
    names = [f"taskrun/{how}-{number}" for number in range(RUNS)]
    before = len(operator.model.requests)
    operator.model.delay = 2.0
    operator.kubectl(
        "apply", "--filename=-", stdin="---".join(RUN.replace("NAME", n.split("/")[1]) for n in names)
    )
    # Every run has begun: its first question is with the model.
    operator.kubectl("wait", *names, "--for=jsonpath={.status.phase}=Running", "--timeout=30s")
    pods = operator.kubectl("get", "pods", SYSTEM, "--output=jsonpath={.items[*].metadata.uid}").split()
    if how == "sigkill":
        assert operator.machine.kill(pods[0]) >= 1
    else:
        name = operator.kubectl("get", "pods", SYSTEM, "--output=jsonpath={.items[0].metadata.name}")
        operator.kubectl("delete", SYSTEM, "pod", name, "--grace-period=0", "--force")
    operator.kubectl("wait", *names, *FINISHED)
    operator.model.delay = 0.0
    turns = operator.kubectl("get", *names, "--output=jsonpath={.items[*].status.turns}")
    assert turns.split() == ["2"] * RUNS
    # A question that was with the model when its replica died is asked again, and nothing else is.
    assert 2 * RUNS <= len(operator.model.requests) - before <= 3 * RUNS
    calls = "--output=jsonpath={range .items[*]}{.spec.taskRun} {.status.phase}{'\\n'}{end}"
    done = sorted(
        line for line in operator.kubectl("get", "toolcalls", calls).splitlines() if line.startswith(how)
    )
    assert done == sorted(f"{name.split('/')[1]} Succeeded" for name in names)
    operator.kubectl("rollout", "status", SYSTEM, "deployment/kubechain", "--timeout=60s")
    if how == "sigkill":
        restarts = "--output=jsonpath={.items[*].status.containerStatuses[0].restartCount}"
        assert "1" in operator.kubectl("get", "pods", SYSTEM, restarts).split()
