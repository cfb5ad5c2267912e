"""A run keeps to the version of the agent that it began with."""

from __future__ import annotations

from msgspec.structs import replace

from kubechain.agents.ports.model import Reply
from kubechain.agents.run import checkpoint
from kubechain.agents.run.outcome import Kept
from kubechain.agents.run.version import as_begun, is_current, spec_of, version_of
from kubechain.agents.toolbox import LARGEST, Surroundings, resolved_tools, too_large
from kubechain.resources.agent import Agent, MCPServerReference, ResolvedTool, ToolOrigin, ToolReference
from kubechain.resources.mcpserver import MCPServer, MCPServerSpec, MCPServerStatus, MCPTool
from kubechain.resources.reference import Reference
from kubechain.resources.taskrun import AgentVersion, TaskRun
from kubechain.resources.tool import Tool, ToolSpec, ToolStatus
from kubechain.resources.tool_function import FunctionTool
from tests.unit.agents.scenes import agent, ask, asks_for, llm, meta, run
from tests.unit.agents.test_checkpoint import NOW, QUESTION


def tool(name: str) -> Tool:
    spec = ToolSpec(function=FunctionTool(entrypoint=f"m:{name}"))
    return Tool(metadata=meta(name), spec=spec, status=ToolStatus(ready=True, observed_generation=1))


def server(name: str) -> MCPServer:
    status = MCPServerStatus(ready=True, tools=[MCPTool(name="read")])
    return MCPServer(metadata=meta(name), spec=MCPServerSpec(transport="stdio", command="x"), status=status)


def with_tools(*names: str, servers: tuple[str, ...] = (), generation: int = 1) -> Agent:
    made = agent(generation=generation)
    listed = [ToolReference(name=name) for name in names]
    spec = replace(made.spec, tools=listed, mcp_servers=[MCPServerReference(name=name) for name in servers])
    return replace(made, spec=spec)


AROUND = Surroundings(
    llm(), {"slow": tool("slow"), "fast": tool("fast"), "new": tool("new")}, {"files": server("files")}
)


def begun_with(of: Agent) -> TaskRun:
    made = run()
    question = replace(ask(QUESTION), agent=of)
    made.status = checkpoint.after_reply(made, question, Reply(asks_for("slow")), Kept(), NOW).status
    return made


def begun(of: TaskRun) -> AgentVersion:
    assert of.status.version is not None
    return of.status.version


def test_a_run_goes_on_with_the_tools_and_the_llm_that_it_began_with() -> None:
    of = begun_with(with_tools("slow", "fast", servers=("files",)))
    changed = with_tools("new", generation=2)
    changed.spec.llm_ref = Reference(name="other")
    assert not is_current(of, changed)
    known = as_begun(begun(of), changed, AROUND)
    assert [t.name for t in known.status.tools] == ["slow", "fast", "files__read"]
    assert known.spec.llm_ref.name == "gpt"
    assert [t.name for t in resolved_tools(changed, AROUND)] == ["new"]


def test_the_version_is_that_of_the_first_turn_however_often_the_agent_changes() -> None:
    of = begun_with(with_tools("slow"))
    first = begun(of)
    later = as_begun(first, with_tools("new", generation=3), AROUND)
    status = checkpoint.after_reply(of, replace(ask(), agent=later), Reply(asks_for("slow")), Kept(), NOW).status
    assert status.version == first


def test_a_run_that_has_not_asked_yet_begins_with_the_agent_as_it_is() -> None:
    assert is_current(run(phase="Pending"), with_tools("new", generation=7))


def test_an_agent_that_was_made_anew_under_its_name_is_another_version() -> None:
    of = begun_with(with_tools("slow"))
    again = with_tools("new")
    again.metadata.uid = "another"
    assert is_current(of, with_tools("slow"))
    assert not is_current(of, again)


def test_a_version_and_its_spec_say_the_same() -> None:
    made = with_tools("slow", servers=("files",))
    assert spec_of(version_of(made), with_tools("new", generation=2)) == made.spec


def test_tools_that_do_not_fit_into_the_agent_are_named_with_the_origin_that_has_most_of_them() -> None:
    def described(name: str, origin: str, length: int) -> ResolvedTool:
        return ResolvedTool(name=name, description="d" * length, origin=ToolOrigin(kind="MCPServer", name=origin))

    assert too_large([described("a", "small", 1000)]) is None
    verdict = too_large([described("a", "small", 1000), described("b", "big", LARGEST)])
    assert verdict is not None
    assert (verdict.status, verdict.reason) == ("Error", "ToolsTooLarge")
    assert "MCPServer big" in verdict.detail


def test_a_run_keeps_the_choice_of_tools_that_it_began_with() -> None:
    before = with_tools("slow", servers=("files",))
    before.spec.mcp_servers[0].exclude = ["read"]
    before.spec.tools[0].include = ["slow"]
    version = begun(begun_with(before))
    changed = with_tools("slow", servers=("files",), generation=2)
    assert spec_of(version, changed) == before.spec
    assert [t.name for t in as_begun(version, changed, AROUND).status.tools] == ["slow"]
