"""The body and headers of one request on Anthropic's wire, as pydantic-ai writes them.

adapter.py imports it at the first call, never earlier: it imports the library. Nothing is sent from here: the
library's HTTP client gets a transport that keeps the request and stops there. So every model is asked over the
same connections, and what comes back is read by reply.py (decision 0026).

Every parameter reaches the wire: what Anthropic's API has no field for (seed, penalties) goes into the body under
its chat-completions name, and nothing is left out because the library thinks that a model does not take it. The
provider then refuses in its own words, where leaving it out in silence would surprise.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextvars import ContextVar

import anthropic
import httpx2
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import ModelAPIError, UnexpectedModelBehavior, UserError
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
from pydantic_ai.profiles.anthropic import AnthropicModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider

from kubechain.agents.ports.model import Endpoint, ToolOffer
from kubechain.errors import Terminal
from kubechain.providers.models.anthropic import messages as library_messages
from kubechain.providers.models.connections import USER_AGENT
from kubechain.providers.models.endpoints import headers, root, subject
from kubechain.providers.models.quoting import quote
from kubechain.resources.json import JsonObject
from kubechain.resources.llm import Parameters
from kubechain.resources.message import Message

MAX_TOKENS = 16_384
"""Longest answer where the LLM does not say: Anthropic's API demands a number. Thinking comes on top."""
THINKING_ROOM = 32_768
"""What an effort in words may think, where no number of tokens is given."""
CLIENTS = 64
"""How many (address, key) pairs keep their client."""
_AS_WRITTEN = AnthropicModelProfile(
    anthropic_disallows_sampling_settings=False,
    anthropic_disallows_budget_thinking=False,
)
_OURS = frozenset({"host", "content-length", "accept-encoding", "connection"})
"""Headers that belong to the connection."""


class Written(httpx2.RequestError):
    """A request as the library would send it."""

    def __init__(self, request: httpx2.Request) -> None:
        super().__init__("not sent from here")
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        for name in _OURS:
            self.headers.pop(name, None)
        self.body = request.content


_written: ContextVar[list[Written]] = ContextVar("written")


class _Kept(httpx2.AsyncBaseTransport):
    """Keeps the request of this very call."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        written = Written(request)
        _written.get().append(written)
        raise written


class Library:
    """Writes requests to Anthropic models."""

    def __init__(self) -> None:
        self._http = httpx2.AsyncClient(transport=_Kept(), trust_env=False)
        self._clients: OrderedDict[tuple[str, str], anthropic.AsyncAnthropic] = OrderedDict()

    async def write(self, endpoint: Endpoint, messages: Sequence[Message], tools: Sequence[ToolOffer]) -> Written:
        """The request. Raises Terminal where none can be made."""
        model = self._model(endpoint)
        offers = ModelRequestParameters(function_tools=library_messages.tool_definitions(tools))
        converted: list[ModelMessage] = library_messages.requests(messages)
        if _instructs_midway(messages):
            converted = model.prepare_messages(converted, offers)
        written: list[Written] = []
        token = _written.set(written)
        try:
            await model_request(
                model,
                converted,
                model_settings=settings(endpoint, bool(tools)),
                model_request_parameters=offers,
                instrument=False,
            )
        except (ModelAPIError, UnexpectedModelBehavior, UserError) as error:
            if not written:
                raise _not_made(endpoint, error) from error
        finally:
            _written.reset(token)
        return written[0]

    def _model(self, endpoint: Endpoint) -> AnthropicModel:
        provider = AnthropicProvider(anthropic_client=self._client(endpoint))
        return AnthropicModel(endpoint.llm.model_name, provider=provider, profile=_AS_WRITTEN)

    def _client(self, endpoint: Endpoint) -> anthropic.AsyncAnthropic:
        """The library's client takes milliseconds to make, so the last ones are kept."""
        address = root(endpoint).rstrip("/").removesuffix("/v1")
        pair = (address, endpoint.api_key.strip())
        client = self._clients.pop(pair, None)
        if client is None:
            client = anthropic.AsyncAnthropic(
                api_key=pair[1], base_url=address, http_client=self._http, max_retries=0
            )
        self._clients[pair] = client
        if len(self._clients) > CLIENTS:
            self._clients.popitem(last=False)
        return client

    async def close(self) -> None:
        """Closes the library's client."""
        await self._http.aclose()


def _not_made(endpoint: Endpoint, error: Exception) -> Terminal:
    words = quote(endpoint, str(error))
    return Terminal(
        f"{subject(endpoint)}: the request cannot be made ({words}); correct spec.parameters",
        reason="InvalidRequest",
    )


def _instructs_midway(messages: Sequence[Message]) -> bool:
    """System texts behind the start, which most models refuse, are worded by the library so that all take them."""
    first = next((i for i, message in enumerate(messages) if message.role != "system"), len(messages))
    return any(message.role == "system" for message in messages[first:])


def settings(endpoint: Endpoint, has_tools: bool) -> AnthropicModelSettings:
    """The LLM's parameters under the names that the library has for them."""
    parameters = endpoint.llm.spec.parameters
    chosen = AnthropicModelSettings(
        max_tokens=_max_tokens(parameters),
        timeout=httpx2.Timeout(None),
        max_retries=0,
        extra_headers=headers(endpoint, {"user-agent": USER_AGENT}),
    )
    if parameters.temperature is not None:
        chosen["temperature"] = float(parameters.temperature)
    if parameters.top_p is not None:
        chosen["top_p"] = float(parameters.top_p)
    if parameters.top_k is not None:
        chosen["top_k"] = parameters.top_k
    if parameters.stop:
        chosen["stop_sequences"] = parameters.stop
    if has_tools and parameters.parallel_tool_calls is not None:
        chosen["parallel_tool_calls"] = parameters.parallel_tool_calls
    if foreign := _foreign(parameters):
        chosen["extra_body"] = foreign
    _add_thinking(chosen, parameters)
    return chosen


def _foreign(parameters: Parameters) -> JsonObject:
    """Parameters that the API has no field for."""
    fields: JsonObject = {}
    if parameters.seed is not None:
        fields["seed"] = parameters.seed
    if parameters.frequency_penalty is not None:
        fields["frequency_penalty"] = float(parameters.frequency_penalty)
    if parameters.presence_penalty is not None:
        fields["presence_penalty"] = float(parameters.presence_penalty)
    return fields


def _max_tokens(parameters: Parameters) -> int:
    if parameters.max_tokens is not None:
        return parameters.max_tokens
    reasoning = parameters.reasoning
    if reasoning is None:
        return MAX_TOKENS
    return MAX_TOKENS + (reasoning.budget_tokens or (THINKING_ROOM if reasoning.effort else 0))


def _add_thinking(chosen: AnthropicModelSettings, parameters: Parameters) -> None:
    """Tokens are sent as they are; an effort alone in the form that the library knows the model to take."""
    reasoning = parameters.reasoning
    if reasoning is None:
        return
    if reasoning.budget_tokens is not None:
        chosen["anthropic_thinking"] = {"type": "enabled", "budget_tokens": reasoning.budget_tokens}
        if reasoning.effort is not None:
            chosen["anthropic_effort"] = "low" if reasoning.effort == "minimal" else reasoning.effort
    elif reasoning.effort is not None:
        chosen["thinking"] = reasoning.effort
