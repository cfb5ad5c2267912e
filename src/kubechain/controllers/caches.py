"""One informer per kind for the controllers, with the indices that references need.

Built once by `app`. Controllers only read from it. It contains only those Secrets that an LLM, a Tool or an
MCPServer names, and requests no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from kubechain.resources.agent import AGENTS, Agent
from kubechain.resources.builtin import CONFIG_MAPS, SECRETS, ConfigMap, Secret
from kubechain.resources.kind import R
from kubechain.resources.llm import LLM, LLMS
from kubechain.resources.mcpserver import MCP_SERVERS, MCPServer
from kubechain.resources.reference import EnvVar, Header
from kubechain.resources.task import TASKS, Task
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.tool import TOOLS, Tool
from kubechain.resources.toolcall import PARKED, TOOL_CALLS, ToolCall
from kubechain.runtime.api import Api, Key
from kubechain.runtime.informer import Informer
from kubechain.runtime.named import NamedInformer
from kubechain.runtime.wakes import local


class Caches(Struct, frozen=True):
    """One informer per kind."""

    llms: Informer[LLM]
    agents: Informer[Agent]
    tools: Informer[Tool]
    servers: Informer[MCPServer]
    tasks: Informer[Task]
    runs: Informer[TaskRun]
    calls: Informer[ToolCall]
    secrets: NamedInformer[Secret]
    config_maps: NamedInformer[ConfigMap]

    def all(self) -> tuple[NamedInformer[Any] | Informer[Any], ...]:
        return (
            self.secrets, self.config_maps,
            self.llms, self.tools, self.servers, self.agents, self.tasks, self.runs, self.calls,
        )  # fmt: skip


def caches(api: Api, namespace: str = "") -> Caches:
    """Informers over one namespace, or all of them, not running yet."""
    made = Caches(
        llms=Informer(api, LLMS, namespace),
        agents=Informer(api, AGENTS, namespace),
        tools=Informer(api, TOOLS, namespace),
        servers=Informer(api, MCP_SERVERS, namespace),
        tasks=Informer(api, TASKS, namespace),
        runs=Informer(api, TASK_RUNS, namespace),
        calls=Informer(api, TOOL_CALLS, namespace),
        secrets=NamedInformer(api, SECRETS),
        config_maps=NamedInformer(api, CONFIG_MAPS),
    )
    _name_secrets(made)
    _name_config_maps(made)
    made.agents.index("llm", lambda agent: local(agent, [agent.spec.llm_ref.name]))
    made.agents.index("tool", lambda agent: local(agent, [r.name for r in agent.spec.tools]))
    made.agents.index("server", lambda agent: local(agent, [r.name for r in agent.spec.mcp_servers]))
    made.agents.index("agent", lambda agent: local(agent, [sub.name for sub in agent.spec.sub_agents]))
    made.agents.index("namespace", lambda agent: [agent.metadata.namespace])
    made.tools.index("agent", lambda tool: local(tool, [tool.spec.agent.name]) if tool.spec.agent else [])
    made.tools.index("offered", lambda tool: [] if tool.spec.agent_selector is None else [tool.metadata.namespace])
    made.tasks.index("agent", lambda task: local(task, [task.spec.agent]))
    made.runs.index("task", lambda run: [] if run.status.finished else _named(run, run.spec.task))
    made.runs.index("agent", lambda run: [] if run.status.finished else _named(run, run.spec.agent))
    made.runs.index("llm", _llm_of_run)
    made.calls.index("origin", _open_origin)
    made.calls.index("running", lambda call: [origin_of(call)] if call.status.phase in PARKED else [])
    made.calls.index("run", lambda call: [] if call.status.finished else local(call, [call.spec.task_run]))
    return made


def _named(run: TaskRun, name: str) -> list[str]:
    return local(run, [name]) if name else []


def _name_secrets(made: Caches) -> None:
    """Keeps a Secret current as long as an object names it."""
    _index_secrets(made, made.llms, lambda llm: local(llm, llm_secrets(llm)))
    _index_secrets(made, made.tools, lambda tool: local(tool, provider_secrets(tool)))
    _index_secrets(made, made.servers, lambda server: local(server, provider_secrets(server)))


def _index_secrets(made: Caches, informer: Informer[R], named_by: Callable[[R], list[str]]) -> None:
    informer.index("secret", named_by)

    def follow(old: R | None, new: R | None) -> None:
        for text in {name for obj in (old, new) if obj is not None for name in named_by(obj)}:
            key = Key(*text.split("/", 1))
            if any(i.keys_by("secret", text) for i in (made.llms, made.tools, made.servers)):
                made.secrets.want(key)
            else:
                made.secrets.release(key)

    informer.on_change(follow)


def _name_config_maps(made: Caches) -> None:
    """Keeps a ConfigMap current as long as a Tool names it."""
    made.tools.index("config_map", _config_maps)

    def follow(old: Tool | None, new: Tool | None) -> None:
        for text in {name for tool in (old, new) if tool is not None for name in _config_maps(tool)}:
            key = Key(*text.split("/", 1))
            if made.tools.keys_by("config_map", text):
                made.config_maps.want(key)
            else:
                made.config_maps.release(key)

    made.tools.on_change(follow)


def _config_maps(tool: Tool) -> list[str]:
    return [] if tool.config_map is None else local(tool, [tool.config_map.name])


def llm_secrets(llm: LLM) -> list[str]:
    """The names of the Secrets that an LLM names."""
    key = [llm.spec.api_key_from.secret_key_ref.name] if llm.spec.api_key_from else []
    bundle = [llm.spec.ca_bundle_from.secret_key_ref.name] if llm.spec.ca_bundle_from else []
    return key + bundle + _env_secrets(llm.spec.headers)


def provider_secrets(provider: Tool | MCPServer) -> list[str]:
    """The names of the Secrets that a Tool or an MCPServer names."""
    return _env_secrets(provider.env)


def _env_secrets(variables: Iterable[EnvVar] | Iterable[Header]) -> list[str]:
    return [v.value_from.secret_key_ref.name for v in variables if v.value_from]


def _llm_of_run(run: TaskRun) -> list[str]:
    """The LLM of a run: the one that it began with, even if the agent names another one now."""
    version = run.status.version
    return [] if version is None or run.status.finished else local(run, [version.llm])


def origin_of(call: ToolCall) -> str:
    """The object that provides the tool of a call, as indices name it; "" where there is none."""
    origin = call.spec.origin
    return f"{origin.kind}/{call.metadata.namespace}/{origin.name}" if origin is not None else ""


def _open_origin(call: ToolCall) -> list[str]:
    return [] if call.status.finished or call.spec.origin is None else [origin_of(call)]
