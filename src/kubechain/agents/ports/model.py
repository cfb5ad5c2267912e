"""The port `ModelProvider`: one model reply for one conversation, for any provider's API.

Controllers call it; `providers/models` implements it. It never retries and never touches the Kubernetes API.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec
from msgspec import Raw

from kubechain.resources.llm import LLM
from kubechain.resources.message import Message

Progress = Callable[[str], None]
PAUSED = "Paused"
"""The reason of a Transient for a request that was not sent, because the server asked for a pause."""


class ToolOffer(msgspec.Struct, frozen=True, gc=False):
    """A tool as the model is told about it; `parameters` is a JSON Schema document."""

    name: str
    description: str
    parameters: Raw


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address and credentials of a model: an LLM with its secrets resolved. Never logged.

    `headers` are the LLM's extra headers with values filled in; `api_key` is "" for keyless providers;
    `base_url` is set where the LLM or the program's settings name one, else None (the provider's own); `ca_bundle`
    has certificate authorities (PEM) that the LLM trusts in addition to the system's.
    """

    llm: LLM
    api_key: str = field(repr=False, default="")
    headers: tuple[tuple[str, str], ...] = field(repr=False, default=())
    base_url: str | None = None
    ca_bundle: str = field(repr=False, default="")


class TokenCount(msgspec.Struct, frozen=True, gc=False):
    """Tokens as the provider counted them; None if it did not report them."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None


Ending = Literal["Complete", "TokenLimit", "Filtered", "Refused", "Unfinished"]
"""How a reply ended, whatever the provider's word for it.

Complete: the model said all it wanted to say; only then are its tool calls whole.
TokenLimit: cut off where it had used up the tokens that it may write.
Filtered: stopped by the provider's content filter.
Refused: the model, or its provider, declines to answer; the text, if any, says so or is half of something else.
Unfinished: it stopped for another reason that is no end (a pause, an error of the provider).
"""


class Reply(msgspec.Struct, frozen=True, gc=False):
    """One assistant message, and how it ended: `ending` is decided by, `finish` (the provider's word) is shown.

    The arguments of a tool call are what the model wrote; only in a reply that is Complete, none at all are "{}".
    """

    message: Message
    usage: TokenCount = TokenCount()
    finish: str = ""
    ending: Ending = "Complete"


class ModelProvider(Protocol):
    """Speaks one wire."""

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        """One reply. `progress` gets pieces of text as they come, where the wire streams.

        Raises errors.Transient (429 with Retry-After, 5xx, 408, timeout, cut connection, undecodable reply; how
        often each of them is tried again is decided by its reason, in `agents/run/tries.py`) or
        errors.Terminal (other 4xx; reason such as InvalidRequest, Unauthorized, ModelNotFound,
        ContextLengthExceeded) with a sentence that names the LLM, the cause and what to do. No message
        contains the key.
        """
        ...

    async def check(self, endpoint: Endpoint) -> str:
        """A cheap check that the key is accepted; the sentence for DETAIL. Raises as `ask` does."""
        ...

    async def close(self) -> None:
        """Closes connections."""
        ...
