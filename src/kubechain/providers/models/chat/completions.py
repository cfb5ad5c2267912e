"""The chat-completions wire: OpenAI, Mistral, Ollama and whatever is compatible with them.

router.py calls it; it implements the port ModelProvider over Connections. One call is one request: it never
retries and never follows a redirect.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubechain.agents.ports.model import Endpoint, Progress, Reply, ToolOffer
from kubechain.errors import ProviderError
from kubechain.providers.models.breakage import cut, garbled
from kubechain.providers.models.chat import request as chat_request
from kubechain.providers.models.chat.answer import UNREADABLE, read
from kubechain.providers.models.chat.reply import Assembly, reply
from kubechain.providers.models.connections import Connections, Response, whole
from kubechain.providers.models.endpoints import below, headers, host, root
from kubechain.providers.models.listing import check_listing
from kubechain.providers.models.refusals import complaint, judged, refused, retry_after
from kubechain.providers.models.sse import EventStream
from kubechain.resources.message import Message
from kubechain.resources.model import Clock
from kubechain.runtime.clock import now


class ChatCompletions:
    """`clock` only turns a Retry-After date into seconds."""

    def __init__(self, connections: Connections | None = None, clock: Clock = now) -> None:
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
        async with self.connections.request(endpoint, target, sent, body) as response:
            if response.status != 200:
                refusal = await whole(endpoint, response)
                raise refused(endpoint, response.status, response.headers, refusal, self.clock(), tools)
            if _is_stream(response, streams):
                return await self._streamed(endpoint, response, Assembly(host(url), messages), tools, progress)
            return self._whole(endpoint, response, await whole(endpoint, response), messages, tools)

    def _whole(
        self,
        endpoint: Endpoint,
        response: Response,
        body: bytes,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
    ) -> Reply:
        try:
            answer = read(body)
            if answer.complains:
                raise self._error_inside(endpoint, response, body, tools)
            found = reply(answer, host(root(endpoint)), messages)
        except UNREADABLE as error:
            raise garbled(endpoint, "a body that is no chat completion", body) from error
        if found is None:
            raise garbled(endpoint, "a chat completion without a message", body)
        return found

    async def _streamed(
        self,
        endpoint: Endpoint,
        response: Response,
        assembly: Assembly,
        tools: Sequence[ToolOffer],
        progress: Progress | None,
    ) -> Reply:
        """Only a piece with content restarts the timeout, because comments and empty pieces may never end."""
        events = EventStream()
        async for piece in response.pieces(lambda: bool(assembly.finish)):
            try:
                for data in events.feed(piece):
                    if data == b"[DONE]":
                        found = _finished(endpoint, assembly, done=True)
                        await response.end()
                        return found
                    answer = read(data)
                    if answer.complains:
                        raise self._error_inside(endpoint, response, data, tools)
                    text = assembly.add(answer)
                    if assembly.said:
                        response.alive()
                    if text and progress is not None:
                        progress(text)
            except UNREADABLE as error:
                raise garbled(endpoint, "a stream that cannot be read", piece) from error
        return _finished(endpoint, assembly, done=False)

    def _error_inside(
        self, endpoint: Endpoint, response: Response, body: bytes, tools: Sequence[ToolOffer]
    ) -> ProviderError:
        said = complaint(body)
        return judged(endpoint, said.status, said, retry_after(response.headers, self.clock()), tools)

    async def check(self, endpoint: Endpoint) -> str:
        """Lists the models, which is free and needs the key."""
        sent = headers(endpoint, _authorization(endpoint))
        return await check_listing(self.connections, endpoint, below(root(endpoint), "models"), sent, self.clock())

    async def close(self) -> None:
        """Closes the connections."""
        await self.connections.close()


def _is_stream(response: Response, asked: bool) -> bool:
    """Whether the answer is a stream. Some servers stream without being asked, others never do."""
    kind = response.content_type
    return kind == "text/event-stream" or (asked and kind != "application/json")


def _finished(endpoint: Endpoint, assembly: Assembly, done: bool) -> Reply:
    """`[DONE]` or a finish reason marks a complete reply; without both, the stream was cut off."""
    if assembly.finish:
        return assembly.reply()
    if assembly.empty and not done:
        raise garbled(endpoint, "a stream without a word")
    if not done or assembly.breaks_off:
        raise cut(endpoint)
    return assembly.reply()


def _authorization(endpoint: Endpoint) -> dict[str, str]:
    """The header with the key. A key that was read from a file often ends with a line feed, which is removed."""
    key = endpoint.api_key.strip()
    return {"authorization": f"Bearer {key}"} if key else {}
