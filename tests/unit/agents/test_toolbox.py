"""Which tools a model is given and what an agent still lacks."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kubechain.agents.toolbox import READY, Surroundings, assessment, named, offer, resolved_tools
from kubechain.resources.agent import MCPServerReference, ToolReference
from kubechain.resources.mcpserver import (
    MCPServer,
    MCPServerSpec,
    MCPServerStatus,
    MCPTool,
    MCPToolChoice,
    MCPToolOverride,
)
from kubechain.resources.reference import LabelSelector
from kubechain.resources.tool import OfferedTool, Tool, ToolSpec, ToolStatus
from kubechain.resources.tool_function import FunctionTool
from tests.unit.agents.scenes import agent, llm, meta


def tool(name: str, selector: LabelSelector | None = None, ready: bool = True) -> Tool:
    spec = ToolSpec(function=FunctionTool(entrypoint="m:f"), agent_selector=selector, effect="ReadOnly")
    return Tool(
        metadata=meta(name),
        spec=spec,
        status=ToolStatus(ready=ready, observed_generation=1, description=f"Does {name}."),
    )


def server(name: str, *tools: str, ready: bool = True) -> MCPServer:
    status = MCPServerStatus(ready=ready, tools=[MCPTool(name=t) for t in tools])
    return MCPServer(metadata=meta(name), spec=MCPServerSpec(transport="stdio", command="x"), status=status)


def test_tools_come_in_the_order_listed_then_servers_then_offered_ones() -> None:
    one = agent()
    one.spec.tools = [ToolReference(name="b"), ToolReference(name="a")]
    one.spec.mcp_servers = [MCPServerReference(name="git")]
    around = Surroundings(
        llm(), {"a": tool("a"), "b": tool("b")}, {"git": server("git", "log")}, [tool("z", LabelSelector())]
    )
    tools = resolved_tools(one, around)
    assert [t.name for t in tools] == ["b", "a", "git__log", "z"]
    assert [t.origin.offered for t in tools] == [False, False, False, True]


def test_a_listed_tool_that_also_offers_itself_comes_once() -> None:
    one = agent()
    one.spec.tools = [ToolReference(name="a")]
    offered = tool("a", LabelSelector())
    assert [t.name for t in resolved_tools(one, Surroundings(llm(), {"a": offered}, {}, [offered]))] == ["a"]


def test_an_offered_tool_reaches_only_agents_that_its_selector_selects_and_that_do_not_ignore_it() -> None:
    around = Surroundings(llm(), offered=[tool("t", LabelSelector(match_labels={"team": "x"}))])
    outside, inside, ignoring = agent(), agent(), agent()
    inside.metadata.labels = ignoring.metadata.labels = {"team": "x"}
    ignoring.spec.offered_tools = "Ignore"
    assert [bool(resolved_tools(a, around)) for a in (outside, inside, ignoring)] == [False, True, False]


def test_names_that_providers_refuse_or_that_clash_are_made_different() -> None:
    one = agent()
    one.spec.tools = [ToolReference(name="my.tool"), ToolReference(name="my_tool")]
    tools = resolved_tools(one, Surroundings(llm(), {n: tool(n) for n in ("my.tool", "my_tool")}))
    assert [t.name for t in tools] == ["my_tool_2bqds", "my_tool"]
    assert [t.origin.name for t in tools] == ["my.tool", "my_tool"]


@pytest.mark.parametrize(
    ("around", "status", "sentence"),
    [
        (Surroundings(), "Pending", 'LLM "gpt" not found'),
        (Surroundings(llm(ready=False)), "Pending", 'LLM "gpt" is not ready: Secret "s" not found'),
        (Surroundings(llm()), "Pending", 'Tool "a" not found'),
        (Surroundings(llm(), {"a": tool("a", ready=False)}), "Pending", 'Tool "a" is not ready: not checked yet'),
        (Surroundings(llm(), {"a": tool("a")}), "Pending", 'MCPServer "s" not found'),
        (Surroundings(llm(), {"a": tool("a")}, {"s": server("s")}), "Ready", READY.detail),
    ],
)
def test_the_first_thing_that_is_missing_is_named(around: Surroundings, status: str, sentence: str) -> None:
    one = agent()
    one.spec.tools, one.spec.mcp_servers = [ToolReference(name="a")], [MCPServerReference(name="s")]
    found = assessment(one, around)
    assert (found.status, found.detail) == (status, sentence)


def test_an_offered_tool_nobody_has_looked_at_yet_is_waited_for_but_one_that_cannot_be_used_is_not() -> None:
    unseen, broken = tool("new", LabelSelector(), ready=False), tool("broken", LabelSelector(), ready=False)
    unseen.status.observed_generation = 0
    assert assessment(agent(), Surroundings(llm(), offered=[unseen])).status == "Pending"
    around = Surroundings(llm(), offered=[broken])
    assert assessment(agent(), around) == READY
    assert resolved_tools(agent(), around) == []


@pytest.mark.parametrize(
    ("listed", "choice", "names"),
    [
        (MCPServerReference(name="git"), None, ["log", "push", "pull"]),
        (MCPServerReference(name="git", include=["p*"]), None, ["push", "pull"]),
        (MCPServerReference(name="git", include=["p*"], exclude=["push"]), None, ["pull"]),
        (MCPServerReference(name="git"), MCPToolChoice(allow=["log", "p*"], deny=["pu[s]h"]), ["log", "pull"]),
        (MCPServerReference(name="git", include=["push"]), MCPToolChoice(deny=["*"]), []),
        (MCPServerReference(name="git", include=["push"]), MCPToolChoice(allow=["log"]), []),
    ],
)
def test_of_a_servers_tools_an_agent_gets_those_that_both_choose_and_neither_leaves_out(
    listed: MCPServerReference, choice: MCPToolChoice | None, names: list[str]
) -> None:
    one, git = agent(), server("git", "log", "push", "pull")
    one.spec.mcp_servers, git.spec.tools = [listed], choice
    assert [t.origin.tool for t in resolved_tools(one, Surroundings(llm(), servers={"git": git}))] == names


def test_a_prefix_stands_in_place_of_the_servers_name_and_names_that_then_clash_are_told_apart() -> None:
    one, git, hub = agent(), server("git", "log"), server("hub", "log")
    one.spec.mcp_servers = [MCPServerReference(name="git"), MCPServerReference(name="hub")]
    git.spec.tools = hub.spec.tools = MCPToolChoice(prefix="")
    first, second = resolved_tools(one, Surroundings(llm(), servers={"git": git, "hub": hub}))
    assert (first.name, second.name) == ("log", "hub__log")
    _, told = named([replace(tool, name="log") for tool in (first, second)])
    assert told.endswith('told apart: "log" of MCPServer hub is called "hub__log"')
    git.spec.tools = MCPToolChoice(prefix="vcs_")
    assert resolved_tools(one, Surroundings(llm(), servers={"git": git, "hub": hub}))[0].name == "vcs_log"


def test_the_last_override_of_a_tool_that_mentions_a_field_decides_it() -> None:
    one, git = agent(), server("git", "log", "push")
    one.spec.mcp_servers = [MCPServerReference(name="git")]
    git.spec.timeout = "1m"
    git.spec.overrides = [
        MCPToolOverride(tools=["*"], effect="ReadOnly", timeout="5s"),
        MCPToolOverride(tools=["push"], effect="Idempotent", description="Sends commits.", on_interrupt="Fail"),
    ]
    log, push = resolved_tools(one, Surroundings(llm(), servers={"git": git}))
    assert (log.effect, log.on_interrupt, log.timeout, log.description) == ("ReadOnly", "Retry", "5s", "")
    assert (push.effect, push.on_interrupt, push.timeout) == ("Idempotent", "Fail", "5s")
    assert push.description == "Sends commits."


def test_a_tool_that_offers_several_gives_each_of_them_under_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FunctionTool, "many", True)
    one, api = agent(), tool("api")
    one.spec.tools = [ToolReference(name="api")]
    api.spec.effect = None
    api.status.tools = [OfferedTool(name="get", effect="ReadOnly"), OfferedTool(name="post")]
    tools = resolved_tools(one, Surroundings(llm(), {"api": api}))
    assert [(t.name, t.origin.name, t.origin.tool, t.effect, t.on_interrupt) for t in tools] == [
        ("get", "api", "get", "ReadOnly", "Retry"),
        ("post", "api", "post", "NonIdempotent", "Ask"),
    ]


def test_an_agent_says_which_of_its_tools_are_told_apart() -> None:
    one, search = agent(), tool("search")
    one.spec.tools, one.spec.mcp_servers = [ToolReference(name="search")], [MCPServerReference(name="web")]
    web = server("web", "search", "fetch")
    web.spec.tools = MCPToolChoice(prefix="")
    web.status.observed_generation = search.status.observed_generation = 1
    tools, judgement = offer(one, Surroundings(llm(), {"search": search}, {"web": web}))
    assert [t.name for t in tools] == ["search", "web__search", "fetch"]
    assert judgement.status == "Ready" and judgement.reason == READY.reason
    assert judgement.detail == (
        f"{READY.detail}; tools with the name of another one are told apart: "
        '"search" of MCPServer web is called "web__search"'
    )
