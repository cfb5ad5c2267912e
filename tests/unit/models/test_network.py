"""How a model server is reached: proxies of the environment and of the LLM, and certificates that are believed."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from kubechain.agents.ports.model import Endpoint
from kubechain.errors import Terminal, Transient
from kubechain.providers.models.router import Models
from kubechain.providers.web.proxies import direct
from kubechain.server import tls
from tests.unit.models.test_connections import answer, replying, speaking
from tests.unit.models.world import Server, completion, endpoint, user

pytestmark = pytest.mark.timeout(30)


@asynccontextmanager
async def proxying(says: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """The address of a proxy that answers every request with `says`, and the first lines it was sent."""
    seen: list[bytes] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
        writer.write(says)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()


def through(proxy: str, base_url: str) -> Endpoint:
    """An LLM that names its proxy itself."""
    found = endpoint(base_url)
    spec = msgspec.structs.replace(found.llm.spec, proxy_url=proxy)
    return replace(found, llm=msgspec.structs.replace(found.llm, spec=spec))


REFUSES = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_the_proxy_of_the_environment_is_asked(
    models: Models, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    async with proxying(REFUSES) as (address, seen):
        monkeypatch.setenv("HTTPS_PROXY", address)
        monkeypatch.setenv("NO_PROXY", "example.org")
        with pytest.raises(Transient) as refused:
            await models.ask(endpoint(f"https://{provider}.models.test/v1", provider=provider), [user("x")], [])
    assert seen == [f"CONNECT {provider}.models.test:443 HTTP/1.1".encode()]
    assert refused.value.reason == "Unreachable"
    assert f"the proxy of HTTPS_PROXY or HTTP_PROXY did not connect to {provider}.models.test" in str(
        refused.value
    )


async def test_this_machine_is_asked_without_the_proxy_of_the_environment(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Server(completion({"content": "hi"})) as server, proxying(REFUSES) as (address, seen):
        monkeypatch.setenv("HTTP_PROXY", address)
        assert (await models.ask(endpoint(server.url), [user("x")], [])).message.content == "hi"
    assert seen == []


async def test_a_proxy_that_the_llm_names_is_asked_whatever_the_environment_says(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    async with proxying(answer()) as (address, seen):
        reply = await models.ask(through(address, "http://127.0.0.1:9/v1"), [user("x")], [])
    assert reply.message.content == "hi"
    assert seen == [b"POST http://127.0.0.1:9/v1/chat/completions HTTP/1.1"]


async def test_a_proxy_that_is_not_there_is_named(models: Models) -> None:
    async with proxying(REFUSES) as (address, _):
        pass
    with pytest.raises(Transient, match=r"the proxy of spec\.proxyURL cannot be reached \(connection refused\)"):
        await models.ask(through(address, "http://127.0.0.1:9/v1"), [user("x")], [])


@pytest.mark.parametrize(
    ("host", "exceptions", "expected"),
    [
        ("api.example.org", "", False),
        ("api.example.org", "example.org", True),
        ("api.example.org", ".example.org, other", True),
        ("api.example.org", "*.example.org", True),
        ("notexample.org", "example.org", False),
        ("example.org", "*", True),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8,svc", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("127.0.0.1", "", True),
        ("::1", "", True),
        ("localhost", "", True),
    ],
)
def test_no_proxy_holds_names_addresses_and_networks(host: str, exceptions: str, expected: bool) -> None:
    assert direct(host, exceptions) == expected


async def test_a_certificate_of_ones_own_authority_is_believed_where_the_llm_names_it(
    models: Models, tmp_path: Path
) -> None:
    files = tls.ensure(tmp_path, lambda: datetime.now(UTC))
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(files.certificate, files.private_key)
    for provider, body in (("openai", None), ("anthropic", b'{"content":"hi","stop_reason":"end_turn"}')):
        async with speaking(replying(answer() if body is None else answer(body)), secure) as url:
            with pytest.raises(Transient, match=r"name its certificate authority in spec\.caBundle"):
                await models.ask(endpoint(url, provider=provider), [user("x")], [])
            trusting = replace(endpoint(url, provider=provider), ca_bundle=files.ca_pem)
            assert (await models.ask(trusting, [user("x")], [])).message.content == "hi"


async def test_a_bundle_without_a_certificate_says_so(models: Models) -> None:
    for bundle in ("nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(Terminal, match=r"spec\.caBundle") as wrong:
            await models.ask(replace(endpoint("https://127.0.0.1:9"), ca_bundle=bundle), [user("x")], [])
        assert wrong.value.reason == "InvalidCABundle"
