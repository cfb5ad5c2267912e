"""Manifests of the stories, as users would write them."""

from __future__ import annotations

from tests.story.program import WALKTHROUGH

SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: openai}
stringData: {OPENAI_API_KEY: sk-test-0123456789}
"""


def walkthrough() -> dict[str, str]:
    """The mission's four manifests, by kind in lower case."""
    return {name: (WALKTHROUGH / f"{name}.yaml").read_text() for name in ("llm", "agent", "task", "taskrun")}


def llm(name: str, provider: str, base_url: str, parameters: str = "") -> str:
    return f"""
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: LLM
metadata: {{name: {name}}}
spec:
  provider: {provider}
  apiKeyFrom: {{secretKeyRef: {{name: openai, key: OPENAI_API_KEY}}}}
  parameters: {{baseURL: "{base_url}"{", " + parameters if parameters else ""}}}
"""


def agent(name: str, llm: str, tools: str = "[]", servers: str = "[]") -> str:
    return f"""
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: Agent
metadata: {{name: {name}}}
spec:
  llmRef: {{name: {llm}}}
  system: You are a helpful assistant.
  tools: {tools}
  mcpServers: {servers}
"""


def task(name: str, agent: str, message: str) -> str:
    return f"""
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: Task
metadata: {{name: {name}}}
spec: {{agent: {agent}, userMessage: "{message}"}}
"""


def run(name: str, task: str) -> str:
    return f"""
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: TaskRun
metadata: {{name: {name}}}
spec: {{task: {task}}}
"""


def function_tool(name: str, entrypoint: str, effect: str = "ReadOnly", more: str = "") -> str:
    return f"""
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: Tool
metadata: {{name: {name}}}
spec:
  effect: {effect}
  function: {{entrypoint: "{entrypoint}"}}
  {more}
"""
