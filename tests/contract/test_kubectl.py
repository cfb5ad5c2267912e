"""Unmodified kubectl of three releases against the embedded server: what users type works as they know it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path

import pytest

from tests.world import PLAIN_TOKEN, TOKEN, World

VERSIONS = tuple(os.environ.get("KUBECHAIN_KUBECTLS", "1.30,1.32,1.33").split(","))
GROUP = "kubechain.humanlayer.dev"
LLM = f"""
apiVersion: {GROUP}/v1alpha1
kind: LLM
metadata:
  name: gpt-4o
spec:
  provider: openai
  apiKeyFrom:
    secretKeyRef:
      name: openai
      key: OPENAI_API_KEY
"""
AGENT = f"""
apiVersion: {GROUP}/v1alpha1
kind: Agent
metadata:
  name: my-assistant
spec:
  llmRef:
    name: gpt-4o
  system: |
    You are a helpful assistant. Your job is to help the user with their tasks.
"""
TASK = f"""
apiVersion: {GROUP}/v1alpha1
kind: Task
metadata:
  name: hello-world-task
spec:
  agent: my-assistant
  userMessage: "Say hello to the world using the echo tool"
"""
RUN = f"""
apiVersion: {GROUP}/v1alpha1
kind: TaskRun
metadata:
  name: hello-world-run
spec:
  task: hello-world-task
"""
READY = json.dumps({"status": {"ready": True, "status": "Ready", "statusDetail": "All good"}})


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """A release of kubectl."""
    return str(request.param)


async def apply(running: World, *manifests: str, version: str = "1.32") -> str:
    return await running.ok("apply", "-f", "-", stdin="---".join(manifests), version=version)


async def test_the_manifests_of_the_walk_through_are_applied_and_listed(running: World, version: str) -> None:
    out = await apply(running, LLM, AGENT, TASK, RUN, version=version)
    assert out.splitlines() == [
        f"llm.{GROUP}/gpt-4o created",
        f"agent.{GROUP}/my-assistant created",
        f"task.{GROUP}/hello-world-task created",
        f"taskrun.{GROUP}/hello-world-run created",
    ]
    said = await running.kubectl("get", "llm", version=version)
    assert said.rows[0] == ["NAME", "PROVIDER", "READY", "STATUS"]
    assert said.rows[1] == ["gpt-4o", "openai", "false", "Pending"]
    said = await running.kubectl("get", "taskrun", version=version)
    assert said.rows[0] == ["NAME", "TASK", "PHASE", "AGE"]
    assert said.rows[1][:3] == ["hello-world-run", "hello-world-task", "Pending"]


async def test_apply_says_unchanged_and_configured(running: World, version: str) -> None:
    await apply(running, AGENT, version=version)
    assert "unchanged" in await apply(running, AGENT, version=version)
    assert "configured" in await apply(running, AGENT.replace("helpful", "kind"), version=version)
    system = await running.ok("get", "agent", "my-assistant", "-o", "jsonpath={.spec.system}", version=version)
    assert system.startswith("You are a kind assistant")


async def test_server_side_apply_and_server_dry_run(running: World, version: str) -> None:
    dry = await running.ok("apply", "--dry-run=server", "-f", "-", stdin=AGENT, version=version)
    assert "created (server dry run)" in dry
    assert (await running.kubectl("get", "agent", "my-assistant", version=version)).code == 1
    for _ in range(2):
        out = await running.ok("apply", "--server-side", "-f", "-", stdin=AGENT, version=version)
        assert "serverside-applied" in out
    other = AGENT.replace("helpful", "rude")
    said = await running.kubectl(
        "apply", "--server-side", "--field-manager=other", "-f", "-", stdin=other, version=version
    )
    assert said.code == 1
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.system' in said.err
    await running.ok(
        "apply",
        "--server-side",
        "--field-manager=other",
        "--force-conflicts",
        "-f",
        "-",
        stdin=other,
        version=version,
    )


async def test_get_prints_names_yaml_wide_columns_and_pages(running: World, version: str) -> None:
    await apply(running, AGENT, LLM, TASK, version=version)
    assert await running.ok("get", "agents", "-o", "name", version=version) == f"agent.{GROUP}/my-assistant\n"
    text = await running.ok("get", "agent", "my-assistant", "-o", "yaml", version=version)
    assert "You are a helpful assistant" in text
    assert "managedFields" not in text
    said = await running.kubectl("get", "task", "-o", "wide", version=version)
    assert said.rows[0] == ["NAME", "AGENT", "READY", "STATUS", "DETAIL"]
    everything = await running.ok("get", "kubechain", "-A", "-o", "name", version=version)
    assert {line.split("/")[1] for line in everything.split()} == {"my-assistant", "gpt-4o", "hello-world-task"}
    for number in range(5):
        await running.ok("create", "configmap", f"c{number}", "--from-literal=a=b", version=version)
    said = await running.kubectl("get", "configmaps", "--chunk-size=2", version=version)
    assert [row[0] for row in said.rows] == ["NAME", "c0", "c1", "c2", "c3", "c4"]
    said = await running.kubectl("get", "configmaps", "--sort-by=.metadata.name", "--no-headers", version=version)
    assert [row[:2] for row in said.rows] == [[f"c{n}", "1"] for n in range(5)]


async def test_typed_creates_arrive_as_protobuf(running: World, version: str) -> None:
    await running.ok(
        "create", "secret", "generic", "openai", "--from-literal=OPENAI_API_KEY=sk-test", version=version
    )
    said = await running.kubectl("get", "secrets", version=version)
    assert said.rows[0] == ["NAME", "TYPE", "DATA", "AGE"]
    assert said.rows[1][:3] == ["openai", "Opaque", "1"]
    data = await running.ok("get", "secret", "openai", "-o", "jsonpath={.data.OPENAI_API_KEY}", version=version)
    assert data == "c2stdGVzdA=="
    await running.ok("create", "namespace", "team", version=version)
    await running.ok("create", "serviceaccount", "bot", "-n", "team", version=version)
    await running.ok("create", "role", "reader", "--verb=get", "--resource=agents", "-n", "team", version=version)
    await running.ok(
        "create", "rolebinding", "bot", "--role=reader", "--serviceaccount=team:bot", "-n", "team", version=version
    )
    token = await running.ok("create", "token", "bot", "-n", "team", version=version)
    config = running.home / "bot"
    config.write_text(running.kubeconfig.read_text().replace(TOKEN, token.strip()))
    who = await running.ok("auth", "whoami", version=version, KUBECONFIG=str(config))
    assert "system:serviceaccount:team:bot" in who
    asked = ("auth", "can-i", "get", "agents/a1", "-n", "team")
    assert await running.ok(*asked, version=version, KUBECONFIG=str(config)) == "yes\n"
    said = await running.kubectl("get", "secrets", "-n", "team", version=version, KUBECONFIG=str(config))
    assert "secrets is forbidden" in said.err


async def test_edit_opens_an_editor_and_stores_what_it_leaves(running: World, version: str) -> None:
    await apply(running, AGENT, version=version)
    editor = running.home / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/helpful/patient/" "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    out = await running.ok("edit", "agent", "my-assistant", version=version, EDITOR=str(editor))
    assert "edited" in out
    assert "patient" in await running.ok("get", "agent", "my-assistant", "-o", "yaml", version=version)


async def test_patches_of_every_type(running: World, version: str) -> None:
    await apply(running, AGENT, version=version)
    merge = json.dumps({"spec": {"description": "one"}})
    assert "patched" in await running.ok(
        "patch", "agent", "my-assistant", "--type=merge", "-p", merge, version=version
    )
    operations = json.dumps([{"op": "replace", "path": "/spec/description", "value": "two"}])
    await running.ok("patch", "agent", "my-assistant", "--type=json", "-p", operations, version=version)
    out = await running.ok("get", "agent", "my-assistant", "-o", "jsonpath={.spec.description}", version=version)
    assert out == "two"
    said = await running.kubectl(
        "patch", "agent", "my-assistant", "--type=strategic", "-p", merge, version=version
    )
    assert said.code == 1
    assert "the body of the request was in an unknown format" in said.err
    await running.ok("create", "configmap", "c", "--from-literal=a=b", version=version)
    strategic = json.dumps({"data": {"x": "y", "a": None}})
    await running.ok("patch", "configmap", "c", "--type=strategic", "-p", strategic, version=version)
    assert await running.ok("get", "configmap", "c", "-o", "jsonpath={.data}", version=version) == '{"x":"y"}'
    again = ("--type=merge", "-p", '{"spec":{"description":"two"}}')
    same = await running.ok("patch", "agent", "my-assistant", *again, version=version)
    assert "no change" in same


async def test_the_status_subresource_is_patched_alone(running: World, version: str) -> None:
    await apply(running, AGENT, version=version)
    patch = json.dumps({"spec": {"system": "no"}, "status": json.loads(READY)["status"]})
    await running.ok(
        "patch", "agent", "my-assistant", "--subresource=status", "--type=merge", "-p", patch, version=version
    )
    said = await running.kubectl("get", "agent", version=version)
    assert said.rows[1] == ["my-assistant", "gpt-4o", "true", "Ready"]
    assert "helpful" in await running.ok("get", "agent", "my-assistant", "-o", "yaml", version=version)
    await running.ok("patch", "agent", "my-assistant", "--type=merge", "-p", '{"status":{"ready":false}}',
                     version=version)  # fmt: skip
    assert (await running.kubectl("get", "agent", version=version)).rows[1][2] == "true"


async def test_diff_exits_1_where_something_differs(running: World, version: str) -> None:
    await apply(running, AGENT, version=version)
    assert (await running.kubectl("diff", "-f", "-", stdin=AGENT, version=version)).code == 0
    said = await running.kubectl("diff", "-f", "-", stdin=AGENT.replace("helpful", "kind"), version=version)
    assert said.code == 1
    assert "+    You are a kind assistant" in said.out
    assert "helpful" in await running.ok("get", "agent", "my-assistant", "-o", "yaml", version=version)


async def test_labels_and_annotations_are_set_and_selected(running: World, version: str) -> None:
    await apply(running, AGENT, TASK, version=version)
    await running.ok("label", "agent", "my-assistant", "tier=gold", version=version)
    await running.ok("annotate", "agent", "my-assistant", "note=hello there", version=version)
    assert await running.ok("get", "agent", "-l", "tier=gold", "-o", "name", version=version)
    assert await running.ok("get", "agent", "-l", "tier notin (gold)", "-o", "name", version=version) == ""
    said = await running.kubectl("get", "agent", "-L", "tier", "--field-selector=metadata.name=my-assistant",
                                 version=version)  # fmt: skip
    assert said.rows[1][-1] == "gold"
    await running.ok("label", "agent", "my-assistant", "tier-", version=version)
    assert await running.ok("get", "agent", "-l", "tier", "-o", "name", version=version) == ""


async def test_wait_ends_when_the_status_says_so(running: World, version: str) -> None:
    await apply(running, AGENT, RUN, version=version)
    waits = [
        ("wait", "agent/my-assistant", "--for=jsonpath={.status.status}=Ready", "--timeout=20s"),
        ("wait", "agent/my-assistant", "--for=condition=Ready", "--timeout=20s"),
        ("wait", f"taskrun.{GROUP}/hello-world-run", "--for=delete", "--timeout=20s"),
    ]
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(running.kubectl(*words, version=version)) for words in waits]
        condition = {
            "type": "Ready", "status": "True", "reason": "Ok", "message": "", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        status = json.dumps({"status": {"ready": True, "status": "Ready", "conditions": [condition]}})
        await running.ok("patch", "agent", "my-assistant", "--subresource=status", "--type=merge", "-p", status,
                         version=version)  # fmt: skip
        await running.ok("delete", "taskrun", "hello-world-run", version=version)
    for done in waiting:
        assert done.result().code == 0, done.result().err


async def test_a_wait_that_is_not_fulfilled_times_out(running: World, version: str) -> None:
    await apply(running, AGENT, version=version)
    said = await running.kubectl(
        "wait", "agent/my-assistant", "--for=condition=Ready", "--timeout=1s", version=version
    )
    assert said.code == 1
    assert "timed out waiting for the condition" in said.err


async def test_get_with_watch_prints_a_row_for_every_change(running: World, version: str) -> None:
    await apply(running, AGENT, version=version)
    command, environment = running.command("get", "agent", "-w", version=version)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environment)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert (await process.stdout.readline()).split() == [b"NAME", b"LLM", b"READY", b"STATUS"]
            assert (await process.stdout.readline()).split()[2:] == [b"false", b"Pending"]
            await running.ok("patch", "agent", "my-assistant", "--subresource=status", "--type=merge", "-p", READY,
                             version=version)  # fmt: skip
            assert (await process.stdout.readline()).split()[2:] == [b"true", b"Ready"]
    finally:
        process.kill()
        await process.wait()


async def test_explain_and_api_resources_know_our_kinds(running: World, version: str) -> None:
    text = await running.ok("explain", "agent.spec", version=version)
    assert "llmRef" in text
    assert "VERSION:    v1alpha1" in text
    text = await running.ok("explain", "taskrun.status.messages", version=version)
    assert "toolCallId" in text
    assert "<no description>" not in (await running.ok("explain", "llm", version=version))
    said = await running.kubectl("api-resources", f"--api-group={GROUP}", version=version)
    assert ["agents", f"{GROUP}/v1alpha1", "true", "Agent"] in said.rows
    assert f"{GROUP}/v1alpha1" in await running.ok("api-versions", version=version)
    assert f"agents.{GROUP}" in await running.ok("get", "crds", "-o", "name", version=version)


async def test_events_are_told_in_events_and_describe(running: World, version: str) -> None:
    await apply(running, RUN, version=version)
    uid = await running.ok("get", "taskrun", "hello-world-run", "-o", "jsonpath={.metadata.uid}", version=version)
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "hello-world-run.1", "namespace": "default"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "kubechain",
        "reportingInstance": "test",
        "action": "Ask",
        "reason": "FinalAnswer",
        "type": "Normal",
        "note": "the answer is there",
        "regarding": {
            "apiVersion": f"{GROUP}/v1alpha1", "kind": "TaskRun", "namespace": "default",
            "name": "hello-world-run", "uid": uid,
        },
    }  # fmt: skip
    await running.ok("create", "-f", "-", stdin=json.dumps(event), version=version)
    said = await running.kubectl("events", version=version)
    assert said.rows[0] == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert said.rows[1][1:4] == ["Normal", "FinalAnswer", "TaskRun/hello-world-run"]
    said = await running.kubectl("get", "events", version=version)
    assert said.rows[1][1:4] == ["Normal", "FinalAnswer", "taskrun/hello-world-run"]
    text = await running.ok("describe", "taskrun", "hello-world-run", version=version)
    assert "the answer is there" in text
    only = await running.ok("events", "--for=taskrun/other", version=version)
    assert "FinalAnswer" not in only


async def test_foreground_deletion_takes_the_children_first(running: World, version: str) -> None:
    await apply(running, TASK, version=version)
    uid = await running.ok("get", "task", "hello-world-task", "-o", "jsonpath={.metadata.uid}", version=version)
    child = RUN.replace(
        "metadata:\n",
        f"metadata:\n  ownerReferences: [{{apiVersion: {GROUP}/v1alpha1, kind: Task, name: hello-world-task, "
        f"uid: {uid}, controller: true, blockOwnerDeletion: true}}]\n",
    )
    await apply(running, child, version=version)
    out = await running.ok("delete", "task", "hello-world-task", "--cascade=foreground", "--timeout=20s",
                           version=version)  # fmt: skip
    assert "deleted" in out
    assert await running.ok("get", "kubechain", "-o", "name", version=version) == ""


async def test_a_namespace_goes_with_everything_in_it(running: World, version: str) -> None:
    await running.ok("create", "namespace", "team", version=version)
    await running.ok("apply", "-n", "team", "-f", "-", stdin=AGENT, version=version)
    await running.ok("delete", "namespace", "team", "--timeout=20s", version=version)
    said = await running.kubectl("apply", "-n", "team", "-f", "-", stdin=AGENT, version=version)
    assert said.code == 1
    assert 'namespaces "team" not found' in said.err
    said = await running.kubectl("delete", "namespace", "default", version=version)
    assert "forbidden" in said.err


async def test_whoami_and_can_i_answer_for_the_token_and_for_others(running: World, version: str) -> None:
    assert "kubechain-admin" in await running.ok("auth", "whoami", version=version)
    assert await running.ok("auth", "can-i", "delete", "agents", version=version) == "yes\n"
    said = await running.kubectl("auth", "can-i", "delete", "agents", "--as=jane", version=version)
    assert (said.code, said.out.strip()) == (1, "no")
    assert "Resources" in await running.ok("auth", "can-i", "--list", version=version)
    said = await running.kubectl("get", "agents", "--as=jane", version=version)
    assert (
        f'agents.{GROUP} is forbidden: User "jane" cannot list resource "agents" in API group "{GROUP}" '
        'in the namespace "default"'
    ) in said.err


async def test_a_wrong_token_and_none_are_refused(running: World, version: str) -> None:
    config = running.kubeconfig.read_text()
    other = running.home / "other"
    other.write_text(config.replace(TOKEN, "wrong"))
    said = await running.kubectl("get", "agents", version=version, KUBECONFIG=str(other))
    assert said.code == 1
    assert "You must be logged in to the server" in said.err
    other.write_text(config.replace(TOKEN, PLAIN_TOKEN))
    said = await running.kubectl("get", "secrets", version=version, KUBECONFIG=str(other))
    assert 'secrets is forbidden: User "nobody" cannot list resource "secrets"' in said.err


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        (AGENT.replace("Agent", "Agnt"), "no matches for kind"),
        (AGENT.replace("system:", "sistem:"), 'unknown field "spec.sistem"'),
        (AGENT.replace("my-assistant", "My_Assistant"), "a lowercase RFC 1123 subdomain must consist of"),
        (AGENT.replace("  llmRef:\n    name: gpt-4o\n", ""), "spec.llmRef: Required value"),
        (LLM.replace("provider: openai", "provider: nobody"), "spec.provider: Unsupported value"),
        (TASK.replace("agent: my-assistant", "agent: 7"), "spec.agent: Invalid value"),
        (
            TASK.replace("userMessage", "contextWindow: []\n  userMessage"),
            "set one of userMessage and contextWindow",
        ),
        (AGENT.replace("name: my-assistant", "name: a\n  namespace: nowhere"), 'namespaces "nowhere" not found'),
    ],
    ids=["kind", "field", "name", "required", "enum", "type", "rule", "namespace"],
)
async def test_a_bad_manifest_is_refused_with_the_text_of_a_real_server(
    running: World, version: str, manifest: str, text: str
) -> None:
    said = await running.kubectl("create", "-f", "-", stdin=manifest, version=version)
    assert said.code == 1
    assert text in said.err


async def test_unknown_things_are_refused_with_the_text_of_a_real_server(running: World, version: str) -> None:
    said = await running.kubectl("get", "agent", "nope", version=version)
    assert said.err == f'Error from server (NotFound): agents.{GROUP} "nope" not found\n'
    said = await running.kubectl("get", "pods", version=version)
    assert 'the server doesn\'t have a resource type "pods"' in said.err
    said = await running.kubectl("get", "--raw", "/apis/apps/v1/deployments", version=version)
    assert "the server could not find the requested resource" in said.err
    await apply(running, AGENT, version=version)
    said = await running.kubectl("create", "-f", "-", stdin=AGENT, version=version)
    assert said.err.startswith('Error from server (AlreadyExists): error when creating "STDIN": ')
    assert f'agents.{GROUP} "my-assistant" already exists' in said.err


async def test_replace_and_generated_names(running: World, version: str) -> None:
    await apply(running, AGENT, version=version)
    out = await running.ok("replace", "-f", "-", stdin=AGENT.replace("helpful", "new"), version=version)
    assert "replaced" in out
    generated = RUN.replace("name: hello-world-run", "generateName: run-")
    names = {
        await running.ok("create", "-o", "name", "-f", "-", stdin=generated, version=version) for _ in range(3)
    }
    assert len(names) == 3


async def test_several_documents_go_with_their_namespace(running: World, version: str) -> None:
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n"
    text = "\n---\n".join((namespace, AGENT.replace("metadata:\n", "metadata:\n  namespace: team\n")))
    manifests = Path(running.home / "all.yaml")
    manifests.write_text(text)
    await running.ok("apply", "-f", str(manifests), version=version)
    await running.ok("delete", "-f", str(manifests), "--timeout=20s", version=version)
    assert "team" not in await running.ok("get", "namespaces", version=version)
