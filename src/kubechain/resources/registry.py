"""Every kind there is. Read by the store, the server, the CRD generator and the documentation."""

from __future__ import annotations

from typing import Any

from kubechain.resources.agent import AGENTS
from kubechain.resources.builtin import BUILTIN
from kubechain.resources.kind import Kind
from kubechain.resources.llm import LLMS
from kubechain.resources.mcpserver import MCP_SERVERS
from kubechain.resources.segment import TRANSCRIPT_SEGMENTS
from kubechain.resources.task import TASKS
from kubechain.resources.taskrun import TASK_RUNS
from kubechain.resources.tool import TOOLS
from kubechain.resources.toolcall import TOOL_CALLS
from kubechain.resources.toolresult import TOOL_RESULTS

OURS: tuple[Kind[Any], ...] = (
    LLMS, AGENTS, TOOLS, MCP_SERVERS, TASKS, TASK_RUNS, TOOL_CALLS, TRANSCRIPT_SEGMENTS, TOOL_RESULTS,
)  # fmt: skip
ALL: tuple[Kind[Any], ...] = OURS + BUILTIN
