"""A book: an agent that calls three editors, each of which calls three writers. For stories of sub-agents."""

from __future__ import annotations

SCRIPT = """
- match: {userMessage: "^book", turn: 0}
  reply:
    toolCalls:
      - {name: delegate_to_editor, arguments: {message: "chapter 1"}}
      - {name: delegate_to_editor, arguments: {message: "chapter 2"}}
      - {name: delegate_to_editor, arguments: {message: "chapter 3"}}
- match: {userMessage: "^book"}
  reply: {content: "the book ends with: {result}"}
- match: {userMessage: "^chapter", turn: 0}
  reply:
    toolCalls:
      - {name: write, arguments: {message: "section 1"}}
      - {name: write, arguments: {message: "section 2"}}
      - {name: write, arguments: {message: "section 3"}}
- match: {userMessage: "^chapter"}
  reply: {content: "{user}, which ends with: {result}"}
- match: {userMessage: "^section"}
  reply: {content: "{user} is written"}
"""


def agent(name: str, subs: str = "[]", more: str = "", tools: str = "[]", llm: str = "model") -> str:
    return f"""
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: Agent
metadata: {{name: {name}}}
spec:
  llmRef: {{name: {llm}}}
  system: You are {name}.
  description: The {name}.
  tools: {tools}
  subAgents: {subs}
  {more}
"""


def agent_tool(name: str, agent: str, more: str = "") -> str:
    return f"""
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: Tool
metadata: {{name: {name}}}
spec: {{agent: {{name: {agent}}}, {more}}}
"""


def run(name: str, agent: str, message: str, more: str = "") -> str:
    return f"""
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: TaskRun
metadata: {{name: {name}}}
spec: {{agent: {agent}, userMessage: "{message}", {more}}}
"""


def model(base_url: str) -> str:
    return f"""
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: LLM
metadata: {{name: model}}
spec: {{provider: openai-compatible, parameters: {{baseURL: "{base_url}"}}}}
"""


def book(base_url: str) -> tuple[str, ...]:
    """The agents, applied from the top: each waits for those that it names."""
    return (
        agent("author", "[{name: editor}]"),
        agent("editor", "[{name: writer, as: write, description: Writes one section.}]"),
        agent("writer"),
        model(base_url),
    )
