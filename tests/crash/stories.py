"""The stories of the crash suite: what is asked, what the model answers, what its tools are like."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import msgspec

from kubechain.providers.models.scripted.script import Script, load
from kubechain.resources.json import JsonObject

API_VERSION = "kubechain.humanlayer.dev/v1alpha1"
RUN = "run"
ANSWER = "All is done."
USAGE: JsonObject = {"input": 7, "output": 3}


@dataclass(frozen=True)
class CrashStory:
    """`turns`: the tools that each reply asks for, each given its own name as `message`; then ANSWER.

    `tools`: the part of each Tool's spec that matters here. `said`: the text of every reply that calls tools.
    """

    name: str
    tools: dict[str, JsonObject] = field(default_factory=dict)
    turns: tuple[tuple[str, ...], ...] = ()
    said: str = ""
    entrypoint: str = "noting:note"
    takes_long: bool = False
    """Whether model and tools take so long that their progress is shown."""
    from_nothing: bool = True
    """Whether its pairs begin before anything is ready: that is the same in every story, so some leave it out."""

    @cached_property
    def script(self) -> Script:
        """The same answers whatever the tools say."""
        rules: list[JsonObject] = []
        for turn, names in enumerate(self.turns):
            calls = [{"name": n, "arguments": msgspec.json.encode({"message": n}).decode()} for n in names]
            reply: JsonObject = {"toolCalls": list[object](calls), "usage": USAGE}  # type: ignore[dict-item]
            rules.append({"match": {"turn": turn}, "reply": reply | ({"content": self.said} if self.said else {})})
        rules.append({"match": {"turn": len(self.turns)}, "reply": {"content": ANSWER, "usage": USAGE}})
        return load(msgspec.json.encode(rules).decode())

    def manifests(self, base_url: str, journal: str, entrypoint: str = "") -> list[JsonObject]:
        """Everything but the run."""
        function: JsonObject = {
            "entrypoint": entrypoint or self.entrypoint,
            "env": [{"name": "JOURNAL", "value": journal}],
        }
        tools = [
            _manifest("Tool", name, spec if "external" in spec else {**spec, "function": function})
            for name, spec in self.tools.items()
        ]
        llm: JsonObject = {"provider": "openai-compatible", "parameters": {"baseURL": base_url}}
        agent: JsonObject = {"llmRef": {"name": "model"}, "tools": [{"name": name} for name in self.tools]}
        return [
            _manifest("LLM", "model", llm),
            *tools,
            _manifest("Agent", "helper", {**agent, "system": "Be helpful."}),
            _manifest("Task", "job", {"agent": "helper", "userMessage": "Go."}),
        ]

    def run(self, name: str = RUN) -> JsonObject:
        return _manifest("TaskRun", name, {"task": "job"})

    def policy(self, tool: str) -> Literal["Retry", "Fail", "Ask", ""]:
        """What becomes of a call that a crash cut off; "" where the work is done outside."""
        spec = self.tools[tool]
        match spec.get("onInterrupt"):
            case "Retry" | "Fail" as stated:
                return stated
            case _ if "external" in spec:
                return ""
            case _:
                return "Ask" if spec["effect"] == "NonIdempotent" else "Retry"


def _manifest(kind: str, name: str, spec: JsonObject) -> JsonObject:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


READ_ONLY: JsonObject = {"effect": "ReadOnly"}
NON_IDEMPOTENT: JsonObject = {"effect": "NonIdempotent"}
STORIES = (
    CrashStory("no tool"),
    CrashStory("a tool that only reads", {"look": READ_ONLY}, (("look",),)),
    CrashStory("a tool that must not repeat", {"send": NON_IDEMPOTENT}, (("send",),)),
    CrashStory(
        "four tools at once",
        {
            "again": {**NON_IDEMPOTENT, "onInterrupt": "Retry"},
            "never": {**NON_IDEMPOTENT, "onInterrupt": "Fail"},
            "ask": NON_IDEMPOTENT,
            "look": READ_ONLY,
        },
        (("again", "never", "ask", "look"),),
        from_nothing=False,
    ),
    CrashStory("work done outside", {"laboratory": {"description": "Asks.", "external": {}}}, (("laboratory",),)),
    CrashStory(
        "a long run",
        {"look": READ_ONLY, "once-more": READ_ONLY},
        (("look",), ("once-more",)),
        said="x" * 16_500,
        from_nothing=False,
    ),
    CrashStory(
        "a big result", {"look": READ_ONLY}, (("look",),), entrypoint="noting:note_much", from_nothing=False
    ),
    CrashStory(
        "slow work",
        {"look": READ_ONLY, "send": NON_IDEMPOTENT},
        (("look", "send"),),
        takes_long=True,
        from_nothing=False,
    ),
)
