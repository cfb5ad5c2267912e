"""The chat-completions wire: OpenAI, Mistral, Ollama and whatever is compatible with them.

router.py calls it; it implements the port ModelProvider over Connections. One call is one request: it never
retries, never follows a redirect, never reads a proxy from the environment.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Raw

from kubechain.agents.ports.model import Endpoint, Progress, Reply, ToolOffer
from kubechain.errors import ProviderError
from kubechain.providers.models.chat import reply as chat_reply
from kubechain.providers.models.chat import request as chat_request
from kubechain.providers.models.chat.sse import Events
from kubechain.providers.models.connections import Connections, Response, whole
from kubechain.providers.models.endpoints import below, headers, host, root
from kubechain.providers.models.listing import check_listing
from kubechain.providers.models.refusals import complaint, garbled, judged, refused, retry_after
from kubechain.resources.message import Message
from kubechain.resources.model import Clock


def utc_now() -> datetime:
    return datetime.now(UTC)


class ChatCompletions:
    """`clock` only turns a Retry-After date into seconds."""

    def __init__(self, connections: Connections | None = None, clock: Clock = utc_now) -> None:
        self.connections = connections or Connections()
        self.clock = clock

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        """One reply; see the port for what it raises."""
        url = root(endpoint)
        streams = bool(endpoint.llm.spec.parameters.stream)
        body = chat_request.encode(endpoint.llm, host(url), messages, tools)
        sent = headers(endpoint, {**_authorization(endpoint), "content-type": "application/json"})
        target = below(url, "chat/completions")
        async with self.connections.request(endpoint, target, sent, body, streams=streams) as response:
            if response.status != 200:
                raise refused(
                    endpoint, response.status, response.headers, await whole(endpoint, response), self.clock()
                )
            if streams and response.content_type != "application/json":
                assembly = chat_reply.Assembly(host(url), messages)
                return await self._streamed(endpoint, response, assembly, progress)
            return self._whole(endpoint, response, await whole(endpoint, response), messages)

    def _whole(self, endpoint: Endpoint, response: Response, body: bytes, messages: Sequence[Message]) -> Reply:
        try:
            answer = chat_reply.read(body)
            if isinstance(answer.error, Raw) and bytes(answer.error) != b"null":
                raise self._error_inside(endpoint, response, body)
            reply = chat_reply.reply(answer, host(root(endpoint)), messages)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise garbled(endpoint, "a body that is no chat completion", body) from error
        if reply is None:
            raise garbled(endpoint, "a chat completion without a message", body)
        return reply

    async def _streamed(
        self,
        endpoint: Endpoint,
        response: Response,
        assembly: chat_reply.Assembly,
        progress: Progress | None,
    ) -> Reply:
        events = Events()
        async for piece in response.content.iter_any():
            try:
                for data in events.feed(piece):
                    if data == b"[DONE]":
                        return self._finished(endpoint, assembly)
                    answer = chat_reply.read(data)
                    if isinstance(answer.error, Raw) and bytes(answer.error) != b"null":
                        raise self._error_inside(endpoint, response, data)
                    if (text := assembly.add(answer)) and progress is not None:
                        progress(text)
            except (msgspec.DecodeError, UnicodeDecodeError, OverflowError) as error:
                raise garbled(endpoint, "a stream that cannot be read", piece) from error
        return self._finished(endpoint, assembly)

    def _finished(self, endpoint: Endpoint, assembly: chat_reply.Assembly) -> Reply:
        """Some servers end without [DONE], none without a finish reason: that one was cut."""
        if not assembly.finish:
            raise garbled(endpoint, "a stream that ends in its middle")
        return assembly.reply()

    def _error_inside(self, endpoint: Endpoint, response: Response, body: bytes) -> ProviderError:
        said = complaint(body)
        return judged(endpoint, said.status, said, retry_after(response.headers, self.clock()))

    async def check(self, endpoint: Endpoint) -> str:
        """Lists the models, which costs nothing and needs the key."""
        sent = headers(endpoint, _authorization(endpoint))
        return await check_listing(self.connections, endpoint, below(root(endpoint), "models"), sent, self.clock())

    async def close(self) -> None:
        """Closes the connections."""
        await self.connections.close()


def _authorization(endpoint: Endpoint) -> dict[str, str]:
    """A key read from a file mostly ends in a line feed that is not part of it."""
    key = endpoint.api_key.strip()
    return {"authorization": f"Bearer {key}"} if key else {}
