"""Requests of tools: which addresses they may reach, where credentials go, and what is said when they fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from yarl import URL

from kubechain.errors import Terminal, Transient
from kubechain.providers.web.requests import Limits, Request
from kubechain.providers.web.web import Web
from tests.unit.web.site import naming, saying, serving

pytestmark = pytest.mark.timeout(30)
GUARDED = Limits("spec.http", timeout=10.0)
FREE = Limits("spec.http", allow_private=True, timeout=10.0)


@pytest.fixture
async def client() -> AsyncIterator[Web]:
    made = Web()
    yield made
    await made.close()


async def asked(client: Web, url: str, limits: Limits, method: str = "GET", **private: str) -> tuple[int, str]:
    body = b"{}" if method == "POST" else None
    async with client.send(Request(method, URL(url), {}, private, body), limits) as answer:
        return answer.status, (await answer.whole(1_000_000)).decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_a_private_address_is_refused_and_the_field_that_allows_it_is_named(client: Web, host: str) -> None:
    async with serving(saying("hello")) as site:
        with pytest.raises(Terminal, match=r"spec\.http\.allowPrivate: true") as error:
            await asked(client, f"http://{host}:{site.port}/x", GUARDED)
        with pytest.raises(Terminal, match=r"spec\.http\.allowPrivate: true"):
            await client.check(URL(f"http://{host}:{site.port}/x"), GUARDED)
        assert error.value.reason == "AddressRefused"
        assert site.seen == []


async def test_a_private_address_is_called_where_the_manifest_allows_it(client: Web) -> None:
    async with serving(saying("hello")) as site:
        await client.check(URL(site.url), FREE)
        assert await asked(client, site.url, FREE) == (200, "hello")


async def test_a_connection_that_one_object_may_use_is_not_used_for_another(client: Web) -> None:
    async with serving(saying("hello")) as site:
        await asked(client, site.url, FREE)
        with pytest.raises(Terminal):
            await asked(client, site.url, GUARDED)
        assert len(site.seen) == 1


@pytest.mark.parametrize("spelling", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1"])
async def test_an_old_spelling_of_a_loopback_address_reaches_nothing(client: Web, spelling: str) -> None:
    async with serving(saying("hello")) as site:
        with pytest.raises((Terminal, Transient)):
            await asked(client, f"http://{spelling}:{site.port}/", GUARDED)
        assert site.seen == []


async def test_a_name_whose_dns_answer_changes_to_a_private_address_is_refused_at_the_connection() -> None:
    """The first answer is judged and found public; the second, for the same name, is this machine."""
    async with serving(saying("secret")) as site, naming(["93.184.215.14"], ["127.0.0.1"]) as (server, resolver):
        client, url = Web(resolver), f"http://rebinding.test:{site.port}/"
        try:
            await client.check(URL(url), GUARDED)
            with pytest.raises(Terminal, match=r"rebinding\.test is at 127\.0\.0\.1, a loopback address"):
                await asked(client, url, GUARDED)
            assert site.seen == []
            assert len(server.asked) == 2
            assert await asked(client, url, FREE) == (200, "secret")
        finally:
            await client.close()


async def test_a_name_with_private_addresses_alone_is_refused_before_it_is_called() -> None:
    async with naming(["10.0.0.1", "192.168.0.1"]) as (_, resolver):
        client = Web(resolver)
        with pytest.raises(Terminal, match=r"inside\.test is at 10\.0\.0\.1, a private address"):
            await client.check(URL("https://inside.test/"), GUARDED)
        with pytest.raises(Terminal, match="a private address"):
            await asked(client, "http://inside.test/", GUARDED)
        await client.close()


async def test_a_redirect_to_a_private_address_is_refused(client: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first server is a public one, by way of a proxy; the address it redirects to is called directly."""
    async with serving(saying("secret")) as site, serving(saying("", 302, location=f"{site.url}/")) as public:
        monkeypatch.setenv("HTTP_PROXY", public.url)
        with pytest.raises(Terminal, match=r"127\.0\.0\.1 is a loopback address") as error:
            await asked(client, "http://8.8.4.5/", GUARDED)
        assert (error.value.reason, len(public.seen), site.seen) == ("AddressRefused", 1, [])
        assert await asked(client, "http://8.8.4.5/", FREE) == (200, "secret")


async def test_credentials_go_to_the_same_origin_and_to_no_other(client: Web) -> None:
    async with serving(saying("there")) as other:

        async def redirect(request: web.Request) -> web.Response:
            target = "/second" if request.path == "/first" else f"{other.url}/third"
            return web.Response(status=307, headers={"location": target})

        async with serving(redirect) as site:
            assert await asked(client, f"{site.url}/first", FREE, authorization="Bearer t") == (200, "there")
    assert [r.headers.get("authorization") for r in site.seen] == ["Bearer t", "Bearer t"]
    assert [r.headers.get("authorization") for r in other.seen] == [None]


async def test_a_post_is_not_sent_to_another_origin(client: Web) -> None:
    async with serving(saying("there")) as other, serving(saying("", 307, location=other.url)) as site:
        with pytest.raises(Terminal, match="a POST is not sent to another origin") as error:
            await asked(client, site.url, FREE, "POST")
        assert (error.value.reason, other.seen) == ("RedirectRefused", [])


async def test_a_see_other_after_a_post_is_read_with_get(client: Web) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.method == "POST":
            return web.Response(status=303, headers={"location": "/result"})
        return web.Response(text=f"{request.method} {request.path}")

    async with serving(handler) as site:
        assert await asked(client, site.url, FREE, "POST") == (200, "GET /result")
    assert site.bodies == [b"{}", b""]


async def test_redirects_end(client: Web) -> None:
    async with serving(saying("", 302, location="/again")) as site:
        with pytest.raises(Terminal, match="redirects more than 5 times"):
            await asked(client, site.url, FREE)
        assert len(site.seen) == 6


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://x", "http://", "http://[", "javascript:1"])
async def test_a_redirect_to_what_is_no_http_address_is_refused(client: Web, location: str) -> None:
    async with serving(saying("", 302, location=location)) as site:
        with pytest.raises(Terminal) as error:
            await asked(client, site.url, FREE)
        assert error.value.reason in ("RedirectRefused", "InvalidURL")


async def test_an_answer_without_end_is_cut_off(client: Web) -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        except OSError:
            return response

    async with serving(flood) as site:
        with pytest.raises(Terminal, match="more than 1,000,000 bytes") as error:
            await asked(client, site.url, FREE)
        assert error.value.reason == "AnswerTooLarge"


async def test_a_server_that_is_not_there_was_sent_nothing(client: Web) -> None:
    async with serving(saying("")) as site:
        pass
    with pytest.raises(Transient, match="connection refused") as error:
        await asked(client, site.url, FREE, "POST")
    assert error.value.reason == "Unreachable"


async def test_a_server_that_hangs_up_may_have_done_it(client: Web) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with serving(hang_up) as site:
        with pytest.raises(Transient) as error:
            await asked(client, site.url, FREE, "POST")
        assert error.value.reason == "Interrupted"


async def test_a_slow_server_is_given_up_in_time_and_a_cancelled_request_is_closed(client: Web) -> None:
    gone = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            gone.set()
        raise AssertionError

    async with serving(hang) as site:
        with pytest.raises(Transient, match=r"did not answer within 0\.2 s") as error:
            await asked(client, site.url, Limits("spec.http", allow_private=True, timeout=0.2))
        assert error.value.reason == "Timeout"
        async with asyncio.timeout(10):
            await gone.wait()


async def test_a_request_goes_through_the_proxy_of_the_environment_and_its_target_is_judged(
    client: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(saying("by proxy")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with pytest.raises(Terminal, match="private address"):
            await asked(client, "http://10.77.0.1/", GUARDED)
        assert proxy.seen == []
        assert await asked(client, "http://8.8.4.4/", GUARDED) == (200, "by proxy")
        assert await asked(client, "http://10.77.0.1/", FREE) == (200, "by proxy")
