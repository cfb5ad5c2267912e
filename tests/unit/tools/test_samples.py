"""What comes ready-made."""

from importlib.resources import files

import msgspec
import yaml

from kubechain.resources.agent import Agent
from kubechain.resources.mcpserver import MCPServer
from kubechain.resources.task import Task
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.tool import Tool
from kubechain.samples import manifests


def test_a_fresh_store_gets_the_echo_tool_offered_to_every_agent() -> None:
    (item,) = manifests()
    tool = msgspec.convert(item, Tool)
    assert (tool.metadata.name, tool.metadata.namespace) == ("simple-echo-tool", "default")
    assert tool.spec.function is not None
    assert tool.spec.function.entrypoint == "kubechain.samples.echo:simple_echo"
    assert tool.spec.effect == "ReadOnly"
    assert tool.spec.agent_selector is not None and tool.spec.agent_selector.matches({})


def test_every_sample_manifest_is_of_a_known_kind_and_names_no_path_of_ours() -> None:
    kinds = {"Tool": Tool, "MCPServer": MCPServer, "Agent": Agent, "Task": Task, "TaskRun": TaskRun}
    seen = set()
    for file in (files("kubechain.samples") / "manifests").iterdir():
        text = file.read_text("utf-8")
        assert "/bin/" not in text
        for document in yaml.safe_load_all(text):
            msgspec.convert(document, kinds[document["kind"]])
            seen.add(document["kind"])
    assert seen == set(kinds)
