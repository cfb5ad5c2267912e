"""Servers that misbehave, over real HTTP: each fault becomes the right error, and nothing is tried twice."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from kubechain.errors import ProviderError, Terminal, Transient
from kubechain.providers.models.refusals import QUOTA_DELAY
from kubechain.providers.models.router import Models
from tests.unit.models.world import KEY, Server, completion, delta, endpoint, hang, sse, user

pytestmark = pytest.mark.timeout(30)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def says(status: int, body: Any = None, text: str = "", **headers: str) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            return web.json_response(body, status=status, headers=named)
        return web.Response(text=text, status=status, headers=named)

    return answer


async def fault(models: Models, handler: Handler | dict[str, Any], **parameters: Any) -> ProviderError:
    async with Server(handler) as server:
        with pytest.raises(ProviderError) as caught:
            await models.ask(endpoint(server.url, **parameters), [user("x")], [])
        assert len(server.bodies) == 1
    assert str(caught.value).startswith("LLM default/gpt-4o: ")
    assert KEY not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "error", "kind", "reason"),
    [
        (401, {"message": f"Incorrect API key provided: {KEY}."}, Terminal, "Unauthorized"),
        (403, {"message": "no access"}, Terminal, "Unauthorized"),
        (404, {"message": "The model `x` does not exist", "code": "model_not_found"}, Terminal, "ModelNotFound"),
        (400, {"message": "too long", "code": "context_length_exceeded"}, Terminal, "ContextLengthExceeded"),
        (400, {"message": "This model's maximum context length is 8 tokens"}, Terminal, "ContextLengthExceeded"),
        (400, {"message": "API key not valid. Please pass a valid API key."}, Terminal, "Unauthorized"),
        (400, {"message": "Unsupported parameter: top_k"}, Terminal, "InvalidRequest"),
        (422, {"message": "Extra inputs are not permitted"}, Terminal, "InvalidRequest"),
        (307, {"message": "moved"}, Terminal, "InvalidRequest"),
        (402, {"message": "pay"}, Transient, "QuotaExceeded"),
        (429, {"message": "no", "code": "insufficient_quota"}, Transient, "QuotaExceeded"),
        (429, {"message": "slow down"}, Transient, "RateLimited"),
        (408, {"message": "late"}, Transient, "Unavailable"),
        (409, {"message": "busy"}, Transient, "Unavailable"),
        (500, {"message": "oops"}, Transient, "Unavailable"),
        (503, {"message": "oops"}, Transient, "Unavailable"),
        (529, {"message": "overloaded"}, Transient, "Unavailable"),
    ],
)
async def test_a_refusal_is_terminal_or_transient_by_its_meaning(
    models: Models, status: int, error: dict[str, Any], kind: type[ProviderError], reason: str
) -> None:
    refused = await fault(models, says(status, {"error": error}))
    assert type(refused) is kind
    assert isinstance(refused, Terminal | Transient)
    assert refused.reason == reason


async def test_retry_after_is_read_in_all_its_forms(models: Models) -> None:
    cases = [({"Retry_After": "7"}, 7.0), ({"retry_after_ms": "250", "Retry_After": "9"}, 0.25), ({}, None)]
    for headers, expected in cases:
        refused = await fault(models, says(429, {"error": {"message": "no"}}, **headers))
        assert isinstance(refused, Transient)
        assert refused.retry_after == expected
    quota = await fault(models, says(429, {"error": {"code": "insufficient_quota"}}))
    assert isinstance(quota, Transient)
    assert quota.retry_after == QUOTA_DELAY


async def test_a_retry_after_date_is_measured_on_the_clock_given() -> None:
    models = Models(clock=lambda: datetime(2026, 1, 2, 3, 4, 0, tzinfo=UTC))
    refused = await fault(models, says(503, text="down", Retry_After="Fri, 02 Jan 2026 03:04:30 GMT"))
    await models.close()
    assert isinstance(refused, Transient)
    assert refused.retry_after == 30


@pytest.mark.parametrize(
    ("body", "quoted"),
    [
        ({"error": {"message": "one"}}, '"one"'),
        ({"error": "two"}, '"two"'),
        ({"message": "three"}, '"three"'),
        ({"detail": "four"}, '"four"'),
        ([{"error": {"message": "five"}}], '"five"'),
        ({"error": {"message": "a" * 1000}}, "a" * 299 + "…"),
        ({"error": {"message": f"bad key {KEY[:20]}"}}, '"bad key [redacted]"'),
    ],
)
async def test_the_provider_is_quoted_in_brief_and_without_the_key(models: Models, body: Any, quoted: str) -> None:
    assert quoted in str(await fault(models, says(400, body)))


async def test_an_error_page_is_quoted_as_its_words(models: Models) -> None:
    page = "<html><style>p{}</style><body><h1>502 Bad\nGateway</h1></body></html>"
    assert '"502 Bad Gateway"' in str(await fault(models, says(502, text=page)))


@pytest.mark.parametrize(
    "handler",
    [
        says(200, text="not json"),
        says(200, text=""),
        says(200, {"choices": []}),
        says(200, {"choices": None}),
        says(200, {"choices": [{"finish_reason": "stop"}]}),
        says(200, []),
        says(
            200,
            text='{"choices":[{"message":{"content":"\ud83d"}}]}'.encode("utf-16-le", "surrogatepass").decode(
                "latin1"
            ),
        ),
    ],
)
async def test_a_body_that_is_no_completion_is_transient(models: Models, handler: Handler) -> None:
    unread = await fault(models, handler)
    assert isinstance(unread, Transient)
    assert unread.reason == "UnreadableReply"


async def test_an_error_inside_a_success_counts_by_its_own_code(models: Models) -> None:
    assert isinstance(await fault(models, {"error": {"message": "no", "code": 429}}), Transient)
    assert isinstance(await fault(models, {"error": {"message": "no", "type": "invalid_request_error"}}), Terminal)
    assert isinstance(await fault(models, {"error": {"message": "what"}}), Transient)
    reply = completion({"role": "assistant", "content": "hi"}, error=None)
    async with Server(reply) as server:
        assert (await models.ask(endpoint(server.url), [user("x")], [])).message.content == "hi"


async def test_a_server_that_hangs_costs_the_timeout(models: Models) -> None:
    for stream in (False, True):
        late = await fault(models, hang, timeout="150ms", stream=stream)
        assert isinstance(late, Transient)
        assert (late.reason, "0.15 s" in str(late)) == ("Timeout", True)


async def test_with_stream_the_timeout_measures_silence_not_length(models: Models) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(6):
            await response.write(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
            await asyncio.sleep(0.1)
        await response.write(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
        return response

    async with Server(slow) as server:
        reply = await models.ask(endpoint(server.url, stream=True, timeout="400ms"), [user("x")], [])
        assert reply.message.content == "xxxxxx"
        with pytest.raises(Transient):
            await models.ask(endpoint(server.url, stream=True, timeout="50ms"), [user("x")], [])


async def test_a_cut_stream_is_transient_wherever_it_is_cut(models: Models) -> None:
    async def after_text(_: web.Request) -> web.StreamResponse:
        return sse(delta({"content": "half"}), done=False)

    async def in_an_event(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"choices":[{"del')
        assert request.transport is not None
        request.transport.abort()
        return response

    async def nothing(_: web.Request) -> web.StreamResponse:
        return sse(done=False)

    async def noise(_: web.Request) -> web.StreamResponse:
        return sse(b"{garbage")

    for handler in (after_text, in_an_event, nothing, noise):
        assert isinstance(await fault(models, handler, stream=True), Transient)


async def test_a_stream_without_done_but_with_a_finish_is_whole(models: Models) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return sse(delta({"content": "all"}), delta({}, "stop"), done=False)

    async with Server(answer) as server:
        assert (await models.ask(endpoint(server.url, stream=True), [user("x")], [])).message.content == "all"


async def test_an_error_in_the_middle_of_a_stream_is_the_error(models: Models) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return sse(delta({"content": "half"}), {"error": {"message": "overloaded", "code": 503}})

    broken = await fault(models, answer, stream=True)
    assert isinstance(broken, Transient)
    assert "overloaded" in str(broken)


async def test_a_redirect_is_not_followed(models: Models) -> None:
    async with Server(completion({"content": "stolen"})) as elsewhere:
        refused = await fault(models, says(302, text="", Location=elsewhere.url))
        assert isinstance(refused, Terminal)
        assert elsewhere.bodies == []


async def test_a_server_that_is_not_there_is_transient(models: Models) -> None:
    async with Server({}) as server:
        url = server.url
    with pytest.raises(Transient, match=r"connection to 127\.0\.0\.1") as gone:
        await models.ask(endpoint(url), [user("x")], [])
    assert gone.value.reason == "Unreachable"


async def test_real_model_hosts_are_impossible_in_tests(models: Models) -> None:
    for provider in ("openai", "mistral", "anthropic"):
        with pytest.raises(Transient, match="no route to host"):
            await models.ask(endpoint(provider=provider), [user("x")], [])


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://user:hunter2@127.0.0.1:1/v1"])
async def test_an_address_that_cannot_be_used_is_terminal_and_hides_its_password(models: Models, url: str) -> None:
    with pytest.raises(Terminal) as refused:
        await models.ask(endpoint(url), [user("x")], [])
    assert refused.value.reason == "InvalidRequest"
    assert "hunter2" not in str(refused.value)


async def test_a_key_that_no_header_may_hold_is_terminal_and_not_shown(models: Models) -> None:
    for provider in ("openai", "anthropic"):
        with pytest.raises(Terminal, match="OPENAI_API_KEY of Secret openai") as refused:
            await models.ask(endpoint("http://127.0.0.1:1/v1", provider=provider, key="sk-a\nb"), [user("x")], [])
        assert (refused.value.reason, "sk-a" in str(refused.value)) == ("Unauthorized", False)


async def test_an_openai_compatible_llm_without_an_address_says_what_to_set(models: Models) -> None:
    with pytest.raises(Terminal, match=r"set spec\.parameters\.baseURL"):
        await models.ask(endpoint(provider="openai-compatible"), [user("x")], [])


async def test_a_cancelled_call_closes_its_connection(models: Models) -> None:
    gone = asyncio.Event()
    there = asyncio.Event()

    async def answer(_: web.Request) -> web.StreamResponse:
        there.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        raise AssertionError

    async with Server(answer) as server, asyncio.timeout(10):
        asking = asyncio.create_task(models.ask(endpoint(server.url), [user("x")], []))
        await there.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await gone.wait()
