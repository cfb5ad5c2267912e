"""What a request carries to prove who sends it: headers, and tokens that are shared and renewed."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from kubechain.errors import Terminal, Transient
from kubechain.providers.web.credentials import Client, client_of, headers_of, spellings
from kubechain.providers.web.requests import Limits
from kubechain.providers.web.tokens import Tokens
from kubechain.providers.web.web import Web
from kubechain.resources.reference import Header, SecretKeyRef, SecretSource
from kubechain.resources.web import Auth, BasicAuth, OAuth2ClientCredentials, values
from tests.unit.web.site import Handler, saying, serving

pytestmark = pytest.mark.timeout(30)
SOURCE = SecretSource(secret_key_ref=SecretKeyRef(name="s", key="k"))
LIMITS = Limits("spec.http", allow_private=True)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def tokens(clock: Clock) -> AsyncIterator[Tokens]:
    client = Web()
    made = Tokens(client, clock)
    yield made
    await made.close()
    await client.close()


def issuing(*lives: int) -> Handler:
    """A token server: token-1 holds for the first number of seconds, token-2 for the second, ..."""
    left = list(enumerate(lives, 1))

    async def handler(_: web.Request) -> web.Response:
        number, life = left.pop(0)
        return web.json_response({"access_token": f"token-{number}", "expires_in": life, "token_type": "Bearer"})

    return handler


def client_at(url: str, *scopes: str) -> Client:
    return Client(f"{url}/token", "the client", "s3cret&more", scopes)


def test_headers_and_credentials_are_looked_up_under_a_name_each() -> None:
    headers = [Header(name="X-Team", value="a"), Header(name="X-Key", value_from=SOURCE)]
    auth = Auth(basic=BasicAuth(username_from=SOURCE, password_from=SOURCE))
    names = [variable.name for variable in values(headers, auth)]
    assert names == ["headers[0]", "headers[1]", "auth.username", "auth.password"]
    found = headers_of(headers, auth, dict(zip(names, ("a", "k", "alice", "pw"), strict=True)))
    assert found.pop("authorization").startswith("Basic ")
    assert found == {"x-team": "a", "x-key": "k"}


def test_a_bearer_token_is_sent_without_the_line_end_that_a_secret_often_has() -> None:
    assert headers_of([], Auth(bearer=SOURCE), {"auth.bearer": "t0ken\n"}) == {"authorization": "Bearer t0ken"}


@pytest.mark.parametrize("header", [("x-a", "a\r\nx-b: c"), ("x a", "b"), ("Host", "other"), ("x-a", "☃")])
def test_a_header_that_http_forbids_is_named_without_its_value(header: tuple[str, str]) -> None:
    name, value = header
    with pytest.raises(Terminal, match=name.lower()) as error:
        headers_of([Header(name=name, value=value)], None, {"headers[0]": value})
    assert value not in str(error.value)


def test_the_forms_in_which_a_secret_may_come_back_are_known() -> None:
    found = spellings(["alice", "pa55word"])
    assert {"pa55word", "YWxpY2U6cGE1NXdvcmQ="} <= set(found)


def test_a_client_is_shown_without_its_secret() -> None:
    oauth = OAuth2ClientCredentials(token_url="https://t.test", client_id_from=SOURCE, client_secret_from=SOURCE)
    given = {"auth.clientID": "id", "auth.clientSecret": "hush-hush"}
    client = client_of(Auth(oauth2_client_credentials=oauth), given)
    assert client == Client("https://t.test", "id", "hush-hush")
    assert "hush" not in repr(client)


async def test_a_token_is_asked_for_once_and_kept_until_shortly_before_it_ends(
    tokens: Tokens, clock: Clock
) -> None:
    async with serving(issuing(3600, 3600)) as site:
        client = client_at(site.url, "read", "write")
        assert [await tokens.of(client, LIMITS) for _ in range(3)] == ["token-1"] * 3
        clock.now += 3569
        assert await tokens.of(client, LIMITS) == "token-1"
        clock.now += 2
        assert await tokens.of(client, LIMITS) == "token-2"
    assert site.bodies == [b"grant_type=client_credentials&scope=read+write"] * 2
    sent = site.seen[0].headers["authorization"].removeprefix("Basic ")
    assert b64decode(sent) == b"the+client:s3cret%26more"


async def test_all_callers_share_one_request_even_if_the_first_is_cancelled(tokens: Tokens) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        asked.set()
        await go_on.wait()
        return web.json_response({"access_token": "one", "expires_in": 60})

    async with serving(slow) as site, asyncio.timeout(10):
        first = asyncio.create_task(tokens.of(client_at(site.url), LIMITS))
        await asked.wait()
        others = [asyncio.create_task(tokens.of(client_at(site.url), LIMITS)) for _ in range(20)]
        await asyncio.sleep(0)
        first.cancel()
        go_on.set()
        assert await asyncio.gather(*others) == ["one"] * 20
        assert len(site.seen) == 1


async def test_a_refused_token_is_dropped_once(tokens: Tokens) -> None:
    async with serving(issuing(3600, 3600)) as site:
        client = client_at(site.url)
        old = await tokens.of(client, LIMITS)
        tokens.drop(client, LIMITS, old)
        new = await tokens.of(client, LIMITS)
        tokens.drop(client, LIMITS, old)  # another call that was refused the same token
        assert await tokens.of(client, LIMITS) == new == "token-2"


async def test_a_server_that_takes_credentials_in_the_body_alone_gets_them_there(tokens: Tokens) -> None:
    async def picky(request: web.Request) -> web.Response:
        if "client_secret" not in await request.post():
            return web.json_response({"error": "invalid_client"}, status=401)
        return web.json_response({"access_token": "t"})

    async with serving(picky) as site:
        assert await tokens.of(client_at(site.url), LIMITS) == "t"
    assert b"client_secret=s3cret%26more" in site.bodies[1]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (saying('{"error": "invalid_scope"}', 400), "400 invalid_scope"),
        (saying('{"error": "<script>s3cret&more</script>"}', 403), r"\(403\)"),
        (saying("hello"), "sent no access_token"),
        (saying('{"access_token": "a\\r\\nb"}'), "sent no access_token"),
    ],
)
async def test_a_refusal_is_told_without_secrets(tokens: Tokens, answer: Handler, said: str) -> None:
    async with serving(answer) as site:
        with pytest.raises(Terminal, match=said) as error:
            await tokens.of(client_at(site.url), LIMITS)
    assert error.value.reason == "TokenRefused"
    assert "s3cret" not in str(error.value)


async def test_trouble_of_the_token_server_may_pass(tokens: Tokens) -> None:
    async with serving(saying("oops", 503)) as site:
        with pytest.raises(Transient, match="answered 503"):
            await tokens.of(client_at(site.url), LIMITS)


async def test_a_token_server_at_a_private_address_is_refused_as_any_other(tokens: Tokens) -> None:
    async with serving(issuing(60)) as site:
        with pytest.raises(Terminal, match="allowPrivate"):
            await tokens.of(client_at(site.url), Limits("spec.http"))
        assert site.seen == []
