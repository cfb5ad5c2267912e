"""One call of an Anthropic model through pydantic-ai: settings, request, errors.

library.py imports it at the first call, never earlier: it imports the library. It never retries.

Every parameter reaches the wire: what Anthropic's API has no field for (seed, penalties) goes into the body under
its chat-completions name, and nothing is left out because the library thinks that a model does not take it. The
provider then refuses in its own words, where leaving it out in silence would surprise.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anthropic
import httpx2
import msgspec
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelConnectionError,
    ModelHTTPError,
    ModelTimeoutError,
    UnexpectedModelBehavior,
    UserError,
)
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
from pydantic_ai.profiles.anthropic import AnthropicModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider

from kubechain.agents.ports.model import Endpoint, Progress, Reply, ToolOffer
from kubechain.errors import ProviderError, Terminal, Transient
from kubechain.providers.models.anthropic import messages as library_messages
from kubechain.providers.models.connections import USER_AGENT
from kubechain.providers.models.endpoints import CONNECT_TIMEOUT, headers, patience, root, subject
from kubechain.providers.models.refusals import complaint, garbled, judged, overdue, quote, refused, unreachable
from kubechain.resources.json import JsonObject
from kubechain.resources.llm import Parameters
from kubechain.resources.message import Message
from kubechain.resources.model import Clock

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


class LibraryCalls:
    """Asks Anthropic models over one pool of connections."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._http = httpx2.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=30),
        )
        self._clients: OrderedDict[tuple[str, str], anthropic.AsyncAnthropic] = OrderedDict()

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        """One reply; see the port for what it raises."""
        model = self._model(endpoint)
        offers = ModelRequestParameters(function_tools=library_messages.tool_definitions(tools))
        converted: list[ModelMessage] = library_messages.requests(messages)
        if _instructs_midway(messages):
            converted = model.prepare_messages(converted, offers)
        chosen = settings(endpoint, bool(tools))
        async with self._mapped(endpoint):
            if endpoint.llm.spec.parameters.stream:
                response = await _streamed(model, converted, chosen, offers, progress)
            else:
                async with asyncio.timeout(patience(endpoint)):
                    response = await model_request(
                        model,
                        converted,
                        model_settings=chosen,
                        model_request_parameters=offers,
                        instrument=False,
                    )
        if response.finish_reason is None:
            raise garbled(endpoint, "a reply that ends in its middle")
        return library_messages.reply(response)

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

    @asynccontextmanager
    async def _mapped(self, endpoint: Endpoint) -> AsyncIterator[None]:
        try:
            yield
        except (TimeoutError, ModelTimeoutError) as error:
            raise overdue(endpoint, patience(endpoint)) from error
        except ModelConnectionError as error:
            raise unreachable(endpoint, _innermost(error)) from error
        except ModelAPIError as error:
            raise self._refused(endpoint, error) from error
        except UnexpectedModelBehavior as error:
            raise garbled(endpoint, "a body that is no message", str(error).encode()) from error
        except UserError as error:
            words = quote(endpoint, str(error))
            raise Terminal(
                f"{subject(endpoint)}: the request cannot be made ({words}); correct spec.parameters",
                reason="InvalidRequest",
            ) from error

    def _refused(self, endpoint: Endpoint, error: ModelAPIError) -> ProviderError:
        body = error.body if isinstance(error.body, str) else msgspec.json.encode(error.body)
        said = body.encode() if isinstance(body, str) else body
        if isinstance(error, ModelHTTPError):
            given = {name.lower(): value for name, value in (error.headers or {}).items()}
            return refused(endpoint, error.status_code, given, said, self.clock())
        cause = error.__cause__
        if isinstance(cause, anthropic.APIStatusError) and 300 <= cause.status_code < 400:
            return refused(endpoint, cause.status_code, {}, said, self.clock())
        read = complaint(said)
        if read.message:
            return judged(endpoint, read.status, read, error.retry_after)
        return Transient(f"{subject(endpoint)}: {quote(endpoint, error.message)}", retry_after=error.retry_after)

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()


def _innermost(error: BaseException) -> BaseException:
    """What really happened, below the words "Connection error"."""
    while error.__cause__ is not None and str(error.__cause__):
        error = error.__cause__
    return error


async def _streamed(
    model: AnthropicModel,
    messages: Sequence[ModelMessage],
    chosen: AnthropicModelSettings,
    offers: ModelRequestParameters,
    progress: Progress | None,
) -> ModelResponse:
    async with model_request_stream(
        model, messages, model_settings=chosen, model_request_parameters=offers, instrument=False
    ) as stream:
        async for event in stream:
            text = ""
            if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                text = event.part.content
            elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                text = event.delta.content_delta
            if text and progress is not None:
                progress(text)
        return stream.get()


def _instructs_midway(messages: Sequence[Message]) -> bool:
    """System texts behind the start, which most models refuse, are worded by the library so that all take them."""
    first = next((i for i, message in enumerate(messages) if message.role != "system"), len(messages))
    return any(message.role == "system" for message in messages[first:])


def settings(endpoint: Endpoint, has_tools: bool) -> AnthropicModelSettings:
    """The LLM's parameters under the names that the library has for them."""
    parameters = endpoint.llm.spec.parameters
    chosen = AnthropicModelSettings(
        max_tokens=_max_tokens(parameters),
        timeout=httpx2.Timeout(patience(endpoint), connect=CONNECT_TIMEOUT),
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
