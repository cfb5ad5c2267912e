"""What a pod says about itself, in the words that people and models need. `starter` and `process` ask. Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

_HOPELESS = {
    "ErrImagePull": "its image cannot be pulled",
    "ImagePullBackOff": "its image cannot be pulled",
    "InvalidImageName": "its image has no valid name",
    "ErrImageNeverPull": "its image is not on the node",
    "CreateContainerConfigError": "its container cannot be configured",
    "CreateContainerError": "its container cannot be created",
    "RunContainerError": "its container cannot be started",
}


class Starting(Struct, frozen=True):
    """It does not run yet; `why` in a few words."""

    why: str


class Runs(Struct, frozen=True):
    """It can be attached to."""


class Stuck(Struct, frozen=True):
    """It will not run until somebody changes something: `why` says what is wrong."""

    why: str


class Over(Struct, frozen=True):
    """It has ended. `code`: exit code, minus the signal; `why`: what else there is to say, or ""."""

    code: int
    why: str
    over_memory: bool = False


State = Starting | Runs | Stuck | Over


def state(pod: bytes, container: str) -> State:
    """The state of a pod that was read as JSON."""
    document: dict[str, Any] = msgspec.json.decode(pod)
    status: dict[str, Any] = document.get("status") or {}
    statuses: list[dict[str, Any]] = status.get("containerStatuses") or []
    own: dict[str, Any] = next((s["state"] for s in statuses if s.get("name") == container), {})
    if ended := own.get("terminated"):
        return _over(ended, status)
    if status.get("phase") in ("Failed", "Succeeded"):
        return Over(0 if status["phase"] == "Succeeded" else 1, _evicted(status))
    if "running" in own:
        return Runs()
    waiting: dict[str, Any] = own.get("waiting") or {}
    if (reason := waiting.get("reason", "")) in _HOPELESS:
        return Stuck(f"{_HOPELESS[reason]}: {waiting.get('message') or reason}")
    conditions: list[dict[str, Any]] = status.get("conditions") or []
    for condition in conditions:
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return Starting(f"no node takes it: {condition.get('message', '')}")
    return Starting(reason or "it is being scheduled")


def _over(ended: dict[str, Any], status: dict[str, Any]) -> Over:
    code, reason = int(ended.get("exitCode", 0)), ended.get("reason", "")
    if reason == "OOMKilled":
        return Over(-9, "", over_memory=True)
    if code > 128:
        code = 128 - code
    words = ended.get("message", "") if reason in ("ContainerCannotRun", "StartError") else ""
    return Over(code, _evicted(status) or words)


def _evicted(status: dict[str, Any]) -> str:
    if reason := status.get("reason", ""):
        return f"its pod was ended by the cluster ({reason}): {status.get('message') or 'no reason given'}"
    return ""
