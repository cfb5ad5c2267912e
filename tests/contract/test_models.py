"""Every wire against a model server that we did not write: the same story, the same errors."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kubechain.agents.ports.model import Endpoint
from kubechain.errors import ProviderError, Terminal, Transient
from kubechain.providers.models.router import Models
from kubechain.resources.message import Message
from tests.parts.aimock import Aimock
from tests.parts.cache import PartMissing
from tests.unit.models.world import ECHO, HELLO, endpoint, result, user

pytestmark = pytest.mark.timeout(90)
WIRES = ("openai", "anthropic")


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> str:
    chosen = str(request.param)
    if chosen == "anthropic":
        pytest.importorskip(
            "pydantic_ai.models.anthropic", reason="the extra kubechain[anthropic] is not installed"
        )
    return chosen


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started() -> AsyncIterator[Aimock]:
    try:
        running = await Aimock(keys=["right"]).__aenter__()
    except PartMissing as error:
        pytest.skip(str(error))
    try:
        yield running
    finally:
        await running.__aexit__(None, None, None)


@pytest.fixture
async def aimock(started: Aimock) -> Aimock:
    """The model server, which remembers nothing of another test."""
    await started.reset()
    return started


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    provider = Models()
    yield provider
    await provider.close()


def llm(aimock: Aimock, wire: str, *, key: str = "right", stream: bool = False) -> Endpoint:
    return endpoint(aimock.base_url + "/v1", provider=wire, key=key, stream=stream)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_echo_story_is_told_over_every_wire(
    aimock: Aimock, models: Models, wire: str, stream: bool
) -> None:
    pieces: list[str] = []
    at = llm(aimock, wire, stream=stream)
    told = [Message(role="system", content="Be helpful."), user(HELLO)]
    first = await models.ask(at, told, [ECHO], pieces.append)
    assert first.message.content == "I'll help you say hello to the world using the echo tool."
    assert [(c.function.name, c.function.arguments) for c in first.message.tool_calls] == [
        ("simple-echo-tool", '{"message":"Hello, World!"}')
    ]
    assert first.finish == "tool_calls"
    told += [first.message, result(first.message.tool_calls[0].id, "Echo: Hello, World!")]
    last = await models.ask(at, told, [ECHO], pieces.append)
    assert last.message.content == (
        'I\'ve used the echo tool to say hello to the world. The response was "Echo: Hello, World!"'
    )
    assert last.finish == "stop"
    whole = f"{first.message.content}{last.message.content}"
    assert "".join(pieces) == (whole if stream else "")
    assert [entry["response"]["status"] for entry in await aimock.journal()] == [200, 200]


@pytest.mark.parametrize("stream", [False, True])
async def test_two_calls_in_one_turn_keep_their_order(
    aimock: Aimock, models: Models, wire: str, stream: bool
) -> None:
    at = llm(aimock, wire, stream=stream)
    asked = user("Echo one and two at once")
    first = await models.ask(at, [asked], [ECHO])
    wanted = first.message.tool_calls
    assert [call.function.arguments for call in wanted] == ['{"message":"one"}', '{"message":"two"}']
    assert len({call.id for call in wanted}) == 2
    told = [
        asked,
        first.message,
        *(result(call.id, text) for call, text in zip(wanted, ("one", "two"), strict=True)),
    ]
    assert (await models.ask(at, told, [ECHO])).message.content == "Both echoes came back."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        ("Too many requests", Transient, "RateLimited"),
        ("The server breaks", Transient, "Unavailable"),
        ("The request is wrong", Terminal, "InvalidRequest"),
        ("Nobody expects this", Terminal, "ModelNotFound"),
    ],
)
async def test_errors_mean_the_same_over_every_wire(
    aimock: Aimock, models: Models, wire: str, text: str, kind: type[ProviderError], reason: str, stream: bool
) -> None:
    with pytest.raises(ProviderError) as caught:
        await models.ask(llm(aimock, wire, stream=stream), [user(text)], [])
    refused = caught.value
    assert isinstance(refused, Terminal | Transient)
    assert (type(refused), refused.reason) == (kind, reason)
    if reason == "RateLimited":
        assert isinstance(refused, Transient)
        assert refused.retry_after == 2
    assert len(await aimock.journal()) == 1


async def test_a_key_is_checked_over_every_wire(aimock: Aimock, models: Models, wire: str) -> None:
    title = {"openai": "OpenAI", "anthropic": "Anthropic"}[wire]
    assert await models.check(llm(aimock, wire)) == f"{title} API key validated successfully"
    for asking in (
        models.check(llm(aimock, wire, key="wrong")),
        models.ask(llm(aimock, wire, key="wrong"), [], []),
    ):
        with pytest.raises(Terminal, match="OPENAI_API_KEY of Secret openai") as refused:
            await asking
        assert refused.value.reason == "Unauthorized"


async def test_a_server_that_hangs_up_is_worth_another_try(models: Models, wire: str) -> None:
    try:
        running = await Aimock(options=["--chaos-disconnect", "1"]).__aenter__()
    except PartMissing as error:
        pytest.skip(str(error))
    try:
        for stream in (False, True):
            with pytest.raises(Transient):
                await models.ask(llm(running, wire, stream=stream), [user(HELLO)], [ECHO])
    finally:
        await running.__aexit__(None, None, None)
