"""Tasks of MCP servers, in both dialects: of revision 2025-11-25, and of the extension of 2026-07-28. Pure.

The older one puts a task into `task`, with `ttl` and `pollInterval`, and its result is asked for with
`tasks/result`. The newer one is flat, with `ttlMs` and `pollIntervalMs`, and says the result in `tasks/get`.
"""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

from kubechain.providers.tools.mcp.server import RemoteTask
from kubechain.resources.json import JsonObject, JsonValue

EXTENSION = "io.modelcontextprotocol/tasks"
SHORTEST, USUAL, LONGEST = 1.0, 5.0, 3_600.0
"""Seconds between two looks at a task: at least, where the server does not say, and at most."""
_MESSAGE = 200

TaskState = Literal["working", "input_required", "completed", "failed", "cancelled"]
STATES: dict[str, TaskState] = {state: state for state in get_args(TaskState)}


class TaskView(Struct, frozen=True):
    """How a task stands. `result`, `failure` and `asks` are there where the server says them along with it."""

    task: RemoteTask
    state: TaskState
    result: JsonValue = None
    failure: str = ""
    asks: JsonObject = {}


def task_of(result: JsonObject) -> RemoteTask | None:
    """The task that a call became; None if it is an ordinary result."""
    flat = result.get("resultType") == "task"
    given = result if flat else result.get("task")
    if not isinstance(given, dict) or not isinstance(given.get("taskId"), str) or not given.get("status"):
        return None
    if not flat and "content" in result:
        return None
    return _task(given)


def view_of(result: JsonValue, task_id: str) -> TaskView:
    """An answer to `tasks/get`. What has no known state counts as at work."""
    given = result if isinstance(result, dict) else {}
    inner = given.get("task")
    given = inner if isinstance(inner, dict) else given
    state = STATES.get(str(given.get("status")), "working")
    task = _task({**given, "taskId": task_id})
    return TaskView(task, state, given.get("result"), _failure(given.get("error"), task.message), given)


def supports_tasks(item: JsonValue) -> bool:
    """Whether a tool of the older dialect may be called as a task."""
    execution = item.get("execution") if isinstance(item, dict) else None
    return isinstance(execution, dict) and execution.get("taskSupport") in ("required", "optional")


def takes_tasks(offered: JsonObject) -> bool:
    """Whether an older server says that its tools may be called as tasks."""
    found: JsonValue = offered
    for key in ("tasks", "requests", "tools", "call"):
        found = found.get(key) if isinstance(found, dict) else None
    return isinstance(found, dict)


def _failure(error: JsonValue, message: str) -> str:
    said = error.get("message") if isinstance(error, dict) else error
    return said if isinstance(said, str) and said.strip() else message or "the task failed and did not say why"


def _task(given: JsonObject) -> RemoteTask:
    message = given.get("statusMessage")
    text = " ".join(message.split())[:_MESSAGE] if isinstance(message, str) else ""
    return RemoteTask(str(given["taskId"]), _poll(given), text)


def _poll(given: JsonObject) -> float:
    for key in ("pollIntervalMs", "pollInterval"):
        asked = given.get(key)
        if isinstance(asked, int | float) and not isinstance(asked, bool) and asked >= 0:
            return min(max(asked / 1000, SHORTEST), LONGEST)
    return USUAL
