"""The operator on a real Kubernetes with RBAC: it needs what the manifests grant, all of it and nothing else."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from kubechain.agents.builtin.read_result import READ_RESULT
from kubechain.controllers.runs.checkpoints import child_meta
from kubechain.deploying import rbac
from kubechain.deploying.rbac import Account
from kubechain.errors import SettingsError
from kubechain.providers.models.scripted.script import load
from kubechain.providers.models.scripted.server import ScriptedModel
from kubechain.resources.agent import ToolOrigin
from kubechain.resources.builtin import CLUSTER_ROLES
from kubechain.resources.kind import GROUP, Kind, R
from kubechain.resources.llm import LLMS
from kubechain.resources.registry import OURS
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall, ToolCallSpec
from kubechain.runtime.api import Change, WatchOptions
from tests.kubernetes import Kubernetes, started
from tests.story import manifests, sub_agents
from tests.story.conftest import FUNCTIONS
from tests.story.program import SECONDS, Story, conversation, place
from tests.story.rights import Guarded, Right, granted, guarded, reports, rights, secret, without
from tests.story.test_external import TOOL as EXTERNAL
from tests.story.test_order import SERVER

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(180)]
NO_SERVER = SERVER.replace("python3", "no-such-program")
LONG = "Go and say hello using the ask-the-lab tool." + " Take your time." * 1_500
"""So long a message that the first checkpoint moves it into a segment."""
SCRIPT = """
- {match: {turn: 0, userMessage: Go}, reply: {toolCalls: [
    {name: write-pages, arguments: {message: words}}, {name: sample__add, arguments: {a: 1, b: 2}}]}}
- {match: {turn: 1, userMessage: Go}, reply: {toolCalls: [
    {name: ask-the-lab, arguments: {message: x}}, {name: only-once, arguments: {message: me}}]}}
- {match: {turn: 0, userMessage: "^Let"}, reply: {toolCalls: [
    {name: delegate_to_helper, arguments: {message: Say}}]}}
- {match: {userMessage: "^(Let|Say)"}, reply: {content: Said.}}
- {match: {turn: 2, userMessage: Go}, reply: {content: Enough.}}
"""
FINALIZERS = {
    Right("update", "taskruns/finalizers", GROUP): "transcriptsegments",
    Right("update", "toolcalls/finalizers", GROUP): "toolresults",
}
"""The API server asks about these while it admits such a child: they are in no log of requests."""
ANYONE = Account("anywhere", "anyone")
EVERY_RIGHT = rights(granted(ANYONE, "any"))


@pytest.fixture(scope="module")
def kubernetes() -> Iterator[Kubernetes]:
    """A cluster that lets only those block an owner's deletion who may set its finalizers."""
    with started("--enable-admission-plugins=OwnerReferencesPermissionEnforcement") as found:
        yield found


@pytest.fixture
async def world(kubernetes: Kubernetes, tmp_path: Path) -> AsyncIterator[Guarded]:
    async with place(kubernetes, tmp_path) as home, guarded(kubernetes, home, tmp_path) as made:
        yield made


async def until(story: Story, kind: Kind[R], name: str, holds: Callable[[R], bool]) -> R:
    """The first state of the object of which it holds."""
    async with aclosing(story.states(kind, name)) as states:
        async for obj in states:
            if holds(obj):
                return obj
    raise AssertionError("the watch ended")


async def call_of(story: Story, tool: str, phase: str) -> ToolCall:
    """The call of that tool once it is in that phase."""
    async with asyncio.timeout(3 * SECONDS):  # an MCP server takes its time to start where others work too
        changes = story.program.api.watch(TOOL_CALLS, story.namespace, WatchOptions(since="0"))
        async with aclosing(changes) as events:
            async for event in events:
                if isinstance(event, Change):
                    found = event.object
                    if found.spec.tool == tool and found.status.phase == phase:
                        return found
    raise AssertionError("the watch ended")


async def read_back(story: Story, run: TaskRun) -> None:
    """A call of read_result as the run's model could have asked for it."""
    handle = (await call_of(story, "write-pages", "Succeeded")).metadata.name
    spec = ToolCallSpec(
        tool_call_id="read",
        task_run=run.metadata.name,
        tool=READ_RESULT,
        arguments=f'{{"handle": "{handle}", "offset": 100000}}',
        origin=ToolOrigin(kind="Builtin", name=READ_RESULT),
    )
    await story.program.api.create(TOOL_CALLS, ToolCall(metadata=child_meta(run, f"{handle}-read"), spec=spec))


def everything(base_url: str) -> list[str]:
    """A run that has a use for every feature."""
    tools = "[{name: write-pages}, {name: only-once}, {name: ask-the-lab}]"
    return [
        secret("openai", "sk-1"),
        manifests.llm("gpt", "openai", base_url),
        manifests.function_tool("write-pages", "meeting:write_pages"),
        manifests.function_tool("only-once", "waiting:wait_for_ever", "NonIdempotent"),
        EXTERNAL,
        SERVER,
        manifests.agent("helper", "gpt", tools, "[{name: sample}]"),
        sub_agents.agent("boss", "[{name: helper}]", llm="gpt"),
        sub_agents.run("boss-run", "boss", "Let the helper answer"),
        manifests.task("all", "helper", LONG),
        manifests.run("all-run", "all"),
    ]


async def first_life(story: Story, base_url: str) -> None:
    """Two turns with tools, the second with one that waits for people and one that is cut off; a new key."""
    await story.apply(*everything(base_url))
    await call_of(story, "ask-the-lab", "Running")
    await call_of(story, "only-once", "Running")
    await story.finished("boss-run")
    checked = (await until(story, LLMS, "gpt", lambda llm: llm.status.ready)).status.checked
    await story.apply(secret("openai", "sk-2"))
    await until(story, LLMS, "gpt", lambda llm: llm.status.ready and llm.status.checked != checked)
    await story.program.loops.events.flush()


async def settle(story: Story, call: ToolCall) -> None:
    said = await story.kubechain("settle", f"toolcall/{call.metadata.name}", "--result", "fine")
    assert said.code == 0, said.err


async def second_life(story: Story) -> TaskRun:
    """What was cut off is settled by people; the run ends, a big result is read, and the run is deleted."""
    lost, lab = await call_of(story, "only-once", "OutcomeUnknown"), await call_of(story, "ask-the-lab", "Running")
    await until(story, TASK_RUNS, "all-run", lambda run: "outcome unknown" in run.status.waiting_on)
    await settle(story, lost)
    await until(story, TASK_RUNS, "all-run", lambda run: "outcome unknown" not in run.status.waiting_on)
    # What somebody else has written is looked up before the model is asked.
    await story.ok("label", "taskrun", "all-run", "seen-by=a-person")
    await settle(story, lab)
    run = await story.finished("all-run")
    await read_back(story, run)
    assert "000000" not in (await call_of(story, READ_RESULT, "Succeeded")).status.result
    await story.program.loops.events.flush()
    return run


@pytest.mark.parametrize("everywhere", [False, True], ids=["one-namespace", "all-namespaces"])
async def test_a_walk_through_every_feature_uses_every_right_that_is_granted_and_no_other(
    world: Guarded, everywhere: bool
) -> None:
    own = world.place.namespace
    await world.grant(granted(world.account, own, everywhere=everywhere))
    async with ScriptedModel(load(SCRIPT)) as model:
        settings = {"functions": (FUNCTIONS,)}
        async with world.operator("" if everywhere else own, **settings) as story:
            await first_life(story, model.base_url)
        async with world.operator("" if everywhere else own, **settings) as story:
            run = await second_life(story)
    assert run.status.phase == "FinalAnswer"
    assert [role for role, _ in conversation(run)].count("tool") == 4
    assert run.status.history.segments > 0
    allowed, refused = world.asked()
    assert refused == set()
    assert allowed == set(EVERY_RIGHT) - FINALIZERS.keys()
    leases = await world.kubectl(
        "get", "leases", "-n", world.account.namespace if everywhere else own, "-o", "name"
    )
    assert "kubechain-replica" not in leases, "a replica that left has taken its Lease with it"
    await world.kubectl("delete", "taskrun", "all-run", "boss-run", "-n", own, "--wait=false")
    watch = ("wait", "toolcalls,toolresults,transcriptsegments", "--all", "--for=delete", "--timeout=60s")
    await world.kubectl(*watch, "-n", own)


def little() -> list[str]:
    """A run that waits for the laboratory, and a server that cannot be started: no process is needed for them."""
    return [
        secret("openai", "sk-1"),
        manifests.walkthrough()["llm"],
        NO_SERVER,
        EXTERNAL,
        manifests.agent("helper", "gpt-4o", "[{name: ask-the-lab}]"),
        manifests.task("ask", "helper", LONG),
        manifests.run("ask-run", "ask"),
        sub_agents.agent("boss", "[{name: helper}]", llm="gpt-4o"),
        sub_agents.run("boss-run", "boss", "Say hello using the delegate_to_helper tool"),
    ]


def big() -> list[str]:
    """A run with a big result."""
    return [
        manifests.function_tool("write-pages", "meeting:write_pages"),
        manifests.agent("writer", "gpt-4o", "[{name: write-pages}]"),
        manifests.task("write", "writer", "Say hello using the write-pages tool"),
        manifests.run("write-run", "write"),
    ]


AFTER_A_RESTART = {("get", "transcriptsegments"), ("get", "taskruns")}
"""What an operator reads again that it has not written itself a moment ago."""


@pytest.mark.parametrize("right", EVERY_RIGHT, ids=lambda r: f"{r.verb}-{r.resource}")
async def test_without_any_one_right_the_operator_says_what_it_may_not_do(world: Guarded, right: Right) -> None:
    own, what = world.place.namespace, right[:2]
    lesser = without(granted(world.account, own), right)
    refusal = [f'cannot {right.verb} resource "{right.resource}"', f'API group "{right.group}"']
    if right in FINALIZERS:
        refusal = ["cannot set blockOwnerDeletion", f"{FINALIZERS[right]}.{GROUP}"]
    await world.create(*little())
    if what in AFTER_A_RESTART:
        await world.grant(granted(world.account, own))
        async with world.operator(own) as story:
            call = await call_of(story, "ask-the-lab", "Running")
        await world.kubectl("apply", "-f", "-", stdin=json.dumps(lesser[0]))
        gone = {"verbs": [right.verb], "resources": [right.resource], "apiGroups": [right.group]}
        await world.until(gone, own, allowed=False)
        await story.kubechain("settle", f"toolcall/{call.metadata.name}", "--result", "fine")
    else:
        await world.grant(lesser)
    with reports() as heard:
        try:
            async with world.operator(own, functions=(FUNCTIONS,)) as story:
                if what == ("delete", "leases"):  # asked for at the very end, when nobody waits for it any more
                    refusal = []
                if right.resource in ("toolresults", "toolcalls/finalizers") or what == ("get", "toolcalls"):
                    await world.create(*big())
                if what in (("get", "toolresults"), ("get", "toolcalls")):
                    await read_back(story, await story.finished("write-run"))
                if refusal:
                    await heard.one_with(*refusal)
        except* SettingsError as group:
            assert right.resource == "leases"
            assert all(word in str(group.exceptions[0]) for word in refusal)
    assert right in FINALIZERS or right in world.asked()[1]


async def test_a_secret_that_may_not_be_read_says_so_with_the_commands_that_allow_it(world: Guarded) -> None:
    own = world.place.namespace
    await world.grant(granted(world.account, own)[:4])
    async with world.operator(own) as story:
        await story.apply(*little())
        refused = await until(story, LLMS, "gpt-4o", lambda llm: llm.status.status_detail.startswith("Secret"))
        (condition,) = refused.status.conditions
        assert (refused.status.status, condition.reason) == ("Pending", "SecretForbidden")
        said, _, commands = condition.message.partition("; allow it: ")
        assert said == f'Secret "openai" in namespace "{own}" may not be read by {world.user}'
        for command in commands.split(" && "):
            await world.kubectl(*shlex.split(command)[1:])
        await until(story, LLMS, "gpt-4o", lambda llm: llm.status.ready)
        await call_of(story, "ask-the-lab", "Running")
        assert Right("list", "secrets", "") in world.asked()[1]
        await world.kubectl("delete", "role", "kubechain-secret-openai", "-n", own)


READS = {f"{verb} {kind.plural}" for kind in OURS for verb in rbac.READ}
WRITES = {f"{verb} {plural}" for plural in ("llms", "agents", "tasks", "taskruns") for verb in rbac.WRITE}
SETTLES = {f"{verb} toolcalls/status" for verb in ("get", "update", "patch")}
MAY = {
    "kubechain-viewer": READS,
    "kubechain-editor": READS | WRITES,
    "kubechain-approver": READS | SETTLES,
    "kubechain-admin": READS | SETTLES | {f"{verb} {kind.plural}" for kind in OURS for verb in rbac.WRITE},
    "view": READS,
    "edit": READS | WRITES,
    "admin": READS | WRITES | SETTLES,
}
"""What a ClusterRole allows, ours and the ones of every cluster that ours go into."""


@pytest.mark.parametrize("role", MAY)
async def test_people_may_do_what_their_role_says_and_no_more(world: Guarded, role: str) -> None:
    for manifest in rbac.people():
        await world.admin.ensure(CLUSTER_ROLES.raw, msgspec.json.encode(manifest))
    own = world.place.namespace
    await world.kubectl("create", "rolebinding", "jane", "-n", own, f"--clusterrole={role}", "--user=jane")
    may: set[str] = set()
    try:
        async with asyncio.timeout(SECONDS):  # until roles are aggregated, and known to the authorizer
            while may != MAY[role]:
                listed = await world.kubectl("auth", "can-i", "--list", "-n", own, "--as=jane", "--no-headers")
                found = re.findall(rf"^(\S+)\.{re.escape(GROUP)}(/\S+)?\s.*\[([a-z ]*)\]$", listed, re.MULTILINE)
                may = {f"{verb} {kind}{sub}" for kind, sub, verbs in found for verb in verbs.split()}
    except TimeoutError:
        assert may == MAY[role]


async def test_an_approver_settles_a_call_and_an_editor_does_not(world: Guarded) -> None:
    own = world.place.namespace
    for manifest in rbac.people():
        await world.admin.ensure(CLUSTER_ROLES.raw, msgspec.json.encode(manifest))
    for who, role in (("eve", "editor"), ("jane", "approver")):
        await world.kubectl(
            "create", "rolebinding", who, "-n", own, f"--clusterrole=kubechain-{role}", f"--user={who}"
        )
    await world.grant(granted(world.account, own))
    result = '{"status": {"phase": "Succeeded", "result": "all fine"}}'
    async with world.operator(own) as story:
        await story.apply(*little())
        name = (await call_of(story, "ask-the-lab", "Running")).metadata.name
        patch = ("patch", "toolcall", name, "--subresource=status", "--type=merge", "-p", result)
        refused = await story.kubectl(*patch, "--as=eve")
        assert 'User "eve" cannot' in refused.err
        assert 'resource "toolcalls/status"' in refused.err
        await story.ok(*patch, "--as=jane")
        run = await story.finished("ask-run")
    assert '"all fine"' in run.status.output
