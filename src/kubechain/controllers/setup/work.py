"""The workers for LLM, Tool, MCPServer, Agent and Task. They run only in the leader."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kubechain.controllers.parts import Parts
from kubechain.controllers.setup import agent, llm, mcpserver, task, tool
from kubechain.resources.kind import R
from kubechain.runtime.api import Key
from kubechain.runtime.controller import Controller
from kubechain.runtime.informer import Informer
from kubechain.runtime.replicas.share import Led
from kubechain.runtime.wakes import Wake
from kubechain.runtime.worker import Worker


def setup_workers(parts: Parts) -> tuple[Worker[Any], ...]:
    """One for each kind, not running yet."""
    c = parts.caches
    servers, tools = mcpserver.MCPServerController(parts), tool.ToolController(parts)
    of_servers = _worker(parts, servers, c.servers, mcpserver.wakes(c))
    of_tools = _worker(parts, tools, c.tools, tool.wakes(c))
    for runner in parts.tools:
        if runner.of_servers:
            runner.on_change(partial(_look_again, servers.check_again, of_servers))
        else:
            runner.on_change(partial(_look_again, tools.check_again, of_tools))
    return (
        _worker(parts, llm.LLMController(parts), c.llms, llm.wakes(c)),
        of_tools,
        of_servers,
        _worker(parts, agent.AgentController(parts), c.agents, agent.wakes(c)),
        _worker(parts, task.TaskController(parts), c.tasks, task.wakes(c)),
    )


def _worker(
    parts: Parts, controller: Controller[R], informer: Informer[R], wakes: tuple[Wake[Any], ...]
) -> Worker[R]:
    return Worker(controller, informer, wakes, events=parts.events, sharing=Led(parts.share))


def _look_again(check_again: Callable[[Key], None], worker: Worker[Any], owner: str) -> None:
    """Called when the tools of a provider have changed, or may have: lists them again."""
    namespace, _, name = owner.partition("/")
    check_again(Key(namespace, name))
    worker.wake(Key(namespace, name))
