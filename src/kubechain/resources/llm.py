"""LLM: provider + API key + parameters."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from kubechain.resources.duration import PATTERN
from kubechain.resources.kind import Column, our_kind
from kubechain.resources.model import Model, Resource, Rule, doc
from kubechain.resources.readiness import DETAIL, READY, STATUS, ReadyStatus
from kubechain.resources.reference import Header, SecretSource

Provider = Literal["openai", "anthropic", "mistral", "ollama", "openai-compatible"]
DECIMAL = r"^-?[0-9]+(\.[0-9]+)?$"
KEYLESS: frozenset[str] = frozenset({"ollama", "openai-compatible"})
"""Providers that may be used without an API key."""


class Reasoning(Model, kw_only=True, gc=False):
    """How much a reasoning model may think before it answers."""

    effort: (
        Annotated[Literal["minimal", "low", "medium", "high"], doc("Effort, for providers that take a word.")]
        | None
    ) = None
    budget_tokens: Annotated[int, doc("Tokens it may think, for providers that take a number.", ge=1)] | None = (
        None
    )


class Parameters(Model, kw_only=True, gc=False):
    """What is sent with every call to this model. Everything set here reaches the provider."""

    model: Annotated[str, doc("The provider's name of the model; default: the name of this LLM.")] = ""
    base_url: (
        Annotated[
            str,
            doc(
                "Root of the API, as in https://host/v1; default: the provider's own.",
                pattern=r"^https?://.+",
            ),
        ]
        | None
    ) = None
    temperature: (
        Annotated[str, doc('Sampling temperature, a decimal in quotes: "0.7".', pattern=DECIMAL)] | None
    ) = None
    max_tokens: Annotated[int, doc("Upper bound on the tokens of one reply.", ge=1)] | None = None
    top_p: Annotated[str, doc('Nucleus sampling, a decimal in quotes: "0.9".', pattern=DECIMAL)] | None = None
    top_k: Annotated[int, doc("Sample from the k likeliest tokens.", ge=1)] | None = None
    stop: Annotated[list[str], doc("Texts at which the reply ends.")] = []
    seed: Annotated[int, doc("Seed for providers that can repeat a reply.")] | None = None
    frequency_penalty: Annotated[str, doc('A decimal in quotes, "-2.0" to "2.0".', pattern=DECIMAL)] | None = None
    presence_penalty: Annotated[str, doc('A decimal in quotes, "-2.0" to "2.0".', pattern=DECIMAL)] | None = None
    parallel_tool_calls: (
        Annotated[bool, doc("Whether one reply may ask for several tools; default: the provider's.")] | None
    ) = None
    reasoning: Annotated[Reasoning, doc("Thinking before the answer.")] | None = None
    max_tokens_field: (
        Annotated[
            Literal["Auto", "MaxTokens", "MaxCompletionTokens"],
            doc(
                "The name under which maxTokens is sent: MaxTokens (max_tokens), MaxCompletionTokens "
                "(max_completion_tokens), or Auto (default): max_completion_tokens for provider openai, "
                "max_tokens for the others. Anthropic knows max_tokens alone."
            ),
        ]
        | None
    ) = None
    timeout: (
        Annotated[
            str,
            doc(
                "Longest wait for a reply, as in 90s; default 10m. With stream: longest wait for its next piece.",
                pattern=PATTERN,
            ),
        ]
        | None
    ) = None
    stream: (
        Annotated[bool, doc("Whether to stream the reply. The timeout then limits the wait for each piece.")]
        | None
    ) = None


class RateLimit(Model, kw_only=True, gc=False):
    """How much of this model the runs may use at a time."""

    max_concurrent: (
        Annotated[
            int,
            doc(
                "Requests under way at a time, counted by each replica; those beyond wait in order. Default: no "
                "limit, but one at a time for a while where the server breaks off an answer for the next request.",
                ge=1,
            ),
        ]
        | None
    ) = None


def _has_key(node: object, _: object) -> bool:
    return isinstance(node, dict) and ("apiKeyFrom" in node or node.get("provider") in KEYLESS)


class LLMSpec(Model, kw_only=True, gc=False):
    """Which model, whose, with which key and which parameters."""

    rules = (
        Rule(
            "has(self.apiKeyFrom) || self.provider in ['ollama', 'openai-compatible']",
            "apiKeyFrom is required for this provider",
            _has_key,
        ),
    )

    provider: Annotated[Provider, doc("The provider, whose API is used.")]
    api_key_from: Annotated[SecretSource, doc("The API key, from a Secret.")] | None = None
    parameters: Annotated[Parameters, doc("What is sent with every request.")] = msgspec.field(
        default_factory=Parameters
    )
    headers: Annotated[list[Header], doc("Extra HTTP headers of every call.", max_length=100)] = []
    rate_limit: Annotated[RateLimit, doc("How much the runs may use this model.")] | None = None
    proxy_url: (
        Annotated[
            str,
            doc(
                "The HTTP proxy for this model, as in http://proxy:3128; default: what HTTPS_PROXY, HTTP_PROXY "
                "and NO_PROXY of the program's environment say.",
                pattern=r"^https?://[^@\s]+$",
            ),
        ]
        | None
    ) = None
    ca_bundle: (
        Annotated[
            str, doc("Certificate authorities (PEM) to trust in addition to those of the system.", min_length=1)
        ]
        | None
    ) = None
    ca_bundle_from: Annotated[SecretSource, doc("Further certificate authorities, from a Secret.")] | None = None


class LLMStatus(ReadyStatus, omit_defaults=False, kw_only=True, gc=False):
    """Readiness, and what it was judged on."""

    checked: Annotated[str, doc("The version of the Secret that the key was last checked with.")] = ""


class LLM(Resource, kw_only=True, gc=False):
    """An LLM is a model that agents think with: provider, API key, parameters."""

    spec: Annotated[LLMSpec, doc("Desired state.")]
    status: Annotated[LLMStatus, doc("Observed state.")] = msgspec.field(default_factory=LLMStatus)

    @property
    def model_name(self) -> str:
        """The provider's name of the model: parameters.model, else the object's own name."""
        return self.spec.parameters.model or self.metadata.name


LLMS = our_kind(
    LLM,
    "llms",
    columns=(
        Column("Provider", ".spec.provider", description="The provider, whose API is used"),
        READY,
        STATUS,
        DETAIL,
        Column("Model", ".spec.parameters.model", wide=True, description="Model, where it is not the LLM's name"),
    ),
)
