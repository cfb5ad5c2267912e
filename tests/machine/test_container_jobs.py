"""Container tools as Jobs on a real node: what passes `restricted`, what a pod gets, and how its ends are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager

import pytest

from kubechain.agents.ports.tool import ToolRunner
from kubechain.app.loops import ControlLoops, control_loops
from kubechain.cluster.remote import RemoteApi, connect
from kubechain.cluster.target import ClusterSettings
from kubechain.controllers.assembly import Outside
from kubechain.providers.tools.container.jobs import JobContainers
from kubechain.resources.agent import AGENTS, Agent, AgentSpec, ToolReference
from kubechain.resources.builtin import NAMESPACES, Namespace
from kubechain.resources.llm import LLM, LLMS, LLMSpec
from kubechain.resources.model import ObjectMeta
from kubechain.resources.reference import EnvVar, Reference
from kubechain.resources.task import TASKS, Task, TaskSpec
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunSpec
from kubechain.resources.tool import TOOLS, Tool
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.api import Change, WatchOptions
from tests.deploy.printed import install
from tests.machine.conftest import SECONDS, Node
from tests.parts.machine import images
from tests.story.containers import Gives, shell

pytestmark = [pytest.mark.machine, pytest.mark.timeout(2 * SECONDS)]
IMAGE = images.PRODUCT
INSIDE = """
import json, os, socket, time
open("/tmp/x", "w"), open("/kubechain/artifacts/x", "w")
def refused(path):
    try:
        open(path, "w")
    except OSError as error:
        return error.strerror
def reached(address):
    for _ in range(20):  # a network plugin takes a moment until a NetworkPolicy holds for a new pod
        try:
            socket.create_connection(address, 3).close()
        except OSError:
            return False
        time.sleep(0.5)
    return True
print(json.dumps({
    "arguments": json.load(open("/kubechain/args.json")),
    "user": [os.getuid(), os.getgid()],
    "root": refused("/etc/x"),
    "token": os.path.exists("/var/run/secrets/kubernetes.io"),
    "api": reached(("10.0.0.1", 443)),
    "greeting": os.environ["GREETING"],
    "others": sorted(name for name in os.environ if "KUBECHAIN" in name or "API_KEY" in name),
}))
"""


@pytest.fixture(scope="module")
def kinds(node: Node) -> Iterator[Node]:
    node.kubectl("apply", "--server-side", "--filename=-", stdin=install("--crds"))
    yield node


@asynccontextmanager
async def place(node: Node) -> AsyncIterator[tuple[RemoteApi, str]]:
    """A namespace that takes restricted pods alone."""
    async with asyncio.timeout(SECONDS), connect(ClusterSettings(node.machine.kubeconfig)) as api:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        made = await api.create(NAMESPACES, Namespace(metadata=ObjectMeta(generate_name="jobs-", labels=labels)))
        yield api, made.metadata.name
        await api.delete(NAMESPACES, made.metadata.name)


@asynccontextmanager
async def life(api: RemoteApi, namespace: str, arguments: str = "{}") -> AsyncIterator[ControlLoops]:
    """One life of the program."""
    tools: list[ToolRunner] = [JobContainers(api, namespace)]
    try:
        async with control_loops(api, Outside(Gives(arguments), tools, {}), namespace) as loops:
            yield loops
    finally:
        await tools[0].close()


async def ask(api: RemoteApi, namespace: str, tool: Tool) -> None:
    def meta(name: str) -> ObjectMeta:
        return ObjectMeta(name=name, namespace=namespace)

    tool.metadata.namespace = namespace
    await api.create(TOOLS, tool)
    await api.create(LLMS, LLM(metadata=meta("m"), spec=LLMSpec(provider="ollama")))
    spec = AgentSpec(llm_ref=Reference(name="m"), tools=[ToolReference(name="box")])
    await api.create(AGENTS, Agent(metadata=meta("a"), spec=spec))
    await api.create(TASKS, Task(metadata=meta("t"), spec=TaskSpec(agent="a", user_message="Call it.")))
    await api.create(TASK_RUNS, TaskRun(metadata=meta("r"), spec=TaskRunSpec(task="t")))


async def ended(api: RemoteApi, namespace: str) -> str:
    """What the model reads of the call."""
    async with aclosing(api.watch(TASK_RUNS, namespace, WatchOptions())) as events:
        async for event in events:
            if isinstance(event, Change) and event.object.status.finished:
                return event.object.status.output or event.object.status.error
    return await ended(api, namespace)


async def call_that(api: RemoteApi, namespace: str, says: str) -> ToolCall:
    """The call, once it waits on that."""
    async with aclosing(api.watch(TOOL_CALLS, namespace, WatchOptions())) as events:
        async for event in events:
            if isinstance(event, Change) and says in event.object.status.waiting_on:
                return event.object
    return await call_that(api, namespace, says)


async def told(node: Node, tool: Tool, arguments: str = "{}") -> str:
    """What the model reads of a call of the tool, in a place of its own."""
    async with place(node) as (api, namespace), life(api, namespace, arguments):
        await ask(api, namespace, tool)
        return await ended(api, namespace)


def python(code: str, **more: object) -> Tool:
    tool = shell("", image=IMAGE, **more)  # type: ignore[arg-type]
    assert tool.spec.container is not None
    tool.spec.container.command = ["python", "-c", code]
    return tool


async def test_a_job_passes_restricted_and_gets_its_arguments_and_nothing_else(kinds: Node) -> None:
    tool = python(INSIDE, env=[EnvVar(name="GREETING", value="$(HOME)")])
    assert json.loads(await told(kinds, tool, '{"city": "Bär"}')) == {
        "arguments": {"city": "Bär"},
        "user": [65532, 65532],
        "root": "Read-only file system",
        "token": False,
        "api": False,
        "greeting": "$(HOME)",
        "others": [],
    }


async def test_a_file_with_the_result_goes_before_the_log(kinds: Node) -> None:
    assert await told(kinds, shell("echo noise; echo 42 > /kubechain/result.json", image=IMAGE)) == "42"


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        (shell("echo about to fail; exit 3", image=IMAGE), "exited with code 3: about to fail"),
        (
            python("x = bytearray(1 << 30)", resources={"limits": {"memory": "48Mi"}}),
            "the container used more memory than its limit of 48Mi and was killed",
        ),
        (shell("sleep 300", image=IMAGE, timeout="4s"), "did not end within 4 s and was killed"),
        (shell("true", image="localhost/nothing:1"), "image localhost/nothing:1 cannot be pulled"),
    ],
    ids=["failure", "memory", "deadline", "image"],
)
async def test_the_model_is_told_how_a_job_ended(kinds: Node, tool: Tool, says: str) -> None:
    assert says in await told(kinds, tool)


async def test_an_evicted_pod_is_told(kinds: Node) -> None:
    async with place(kinds) as (api, namespace), life(api, namespace):
        await ask(api, namespace, shell("sleep 300", image=IMAGE))
        await call_that(api, namespace, "Job ")
        where = f"--namespace={namespace}"
        await asyncio.to_thread(evict, kinds, where)
        said = await ended(api, namespace)
    assert "its pod was evicted" in said
    assert "may have done a part of its work" in said


def evict(node: Node, where: str) -> None:
    node.kubectl("wait", "pod", "--all", where, "--for=create", "--timeout=30s")
    node.kubectl("wait", "pod", "--all", where, "--for=condition=Ready", "--timeout=60s")
    name = node.kubectl("get", "pod", where, "--output=jsonpath={.items[0].metadata.name}")
    namespace = where.split("=")[1]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    node.kubectl(
        "create",
        "--raw",
        f"/api/v1/namespaces/{namespace}/pods/{name}/eviction",
        "--filename=-",
        stdin=json.dumps(body),
    )


async def test_a_job_is_gone_on_with_after_a_restart_and_not_started_again(kinds: Node) -> None:
    async with place(kinds) as (api, namespace):
        where = f"--namespace={namespace}"
        async with life(api, namespace):
            await ask(api, namespace, shell("sleep 5; echo ended", image=IMAGE))
            call = await call_that(api, namespace, "Job ")
            await asyncio.to_thread(kinds.kubectl, "wait", "pod", "--all", where, "--for=create", "--timeout=30s")
            jobs = await asyncio.to_thread(kinds.kubectl, "get", "jobs", where, "--output=name")
        assert call.status.external is not None
        assert jobs.split() == [f"job.batch/{call.status.external.id}"]
        async with life(api, namespace):
            assert await ended(api, namespace) == "ended"
        (last,) = (await api.list(TOOL_CALLS, namespace)).items
        assert last.status.attempts == 1


async def test_deleting_the_call_deletes_its_job(kinds: Node) -> None:
    async with place(kinds) as (api, namespace), life(api, namespace):
        where = f"--namespace={namespace}"
        await ask(api, namespace, shell("sleep 300", image=IMAGE))
        await call_that(api, namespace, "Job ")
        await asyncio.to_thread(kinds.kubectl, "wait", "job", "--all", where, "--for=create", "--timeout=30s")
        await asyncio.to_thread(kinds.kubectl, "delete", "taskrun", "r", where)
        await asyncio.to_thread(kinds.kubectl, "wait", "job", "--all", where, "--for=delete", "--timeout=60s")
