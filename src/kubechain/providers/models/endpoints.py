"""Properties of an Endpoint: its root URL, its name in messages, its headers, its timeout.

The adapters of this folder call it. Pure; no message built from it contains the key or the password of a URL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from kubechain.agents.ports.model import Endpoint
from kubechain.errors import Terminal
from kubechain.resources import duration
from kubechain.resources.llm import Provider

ROOTS: Mapping[Provider, str] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com/v1",
    "mistral": "https://api.mistral.ai/v1",
    "ollama": "http://127.0.0.1:11434/v1",
}
TITLES: Mapping[Provider, str] = {
    "openai": "OpenAI",
    "anthropic": "Anthropic",
    "mistral": "Mistral",
    "ollama": "Ollama",
    "openai-compatible": "OpenAI-compatible",
}
_OWNERS = {urlsplit(url).netloc: TITLES[provider] for provider, url in ROOTS.items()}
TIMEOUT = 600.0
"""Seconds a reply may take, or a stream may be silent, where the LLM does not say."""
CONNECT_TIMEOUT = 10.0
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def subject(endpoint: Endpoint) -> str:
    """The object that messages name: `LLM default/gpt-4o`."""
    metadata = endpoint.llm.metadata
    return f"LLM {metadata.namespace}/{metadata.name}" if metadata.namespace else f"LLM {metadata.name}"


def title(endpoint: Endpoint) -> str:
    """Who answers: a provider's name as people write it, or the host of a server that is nobody's we know."""
    return _title(root(endpoint))


@lru_cache(maxsize=256)
def _title(url: str) -> str:
    return _OWNERS.get(host(url)) or host(url)


def root(endpoint: Endpoint) -> str:
    """The root URL of the API. Raises Terminal where there is none or it is no URL."""
    spec = endpoint.llm.spec
    url = endpoint.base_url or spec.parameters.base_url or ROOTS.get(spec.provider)
    if not url:
        raise Terminal(
            f"{subject(endpoint)}: provider {spec.provider} has no address; set spec.parameters.baseURL",
            reason="InvalidRequest",
        )
    if not _usable(url):
        raise Terminal(
            f"{subject(endpoint)}: spec.parameters.baseURL is not an address such as https://host/v1; correct it",
            reason="InvalidRequest",
        )
    return url


@lru_cache(maxsize=256)
def _usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


@lru_cache(maxsize=256)
def below(url: str, path: str) -> str:
    """`url` with `/path` behind it; a query in `url` (as in `?api-version=1`) stays at the end."""
    base, mark, query = url.partition("?")
    return f"{base.rstrip('/')}/{path}{mark}{query}"


@lru_cache(maxsize=256)
def host(url: str) -> str:
    """Only host and port, which may be shown."""
    return urlsplit(url).netloc.rpartition("@")[2]


def patience(endpoint: Endpoint) -> float:
    """Seconds to wait for the whole reply, or with `stream` for its next piece."""
    text = endpoint.llm.spec.parameters.timeout
    return (duration.seconds(text) or TIMEOUT) if text else TIMEOUT


def key_source(endpoint: Endpoint) -> str:
    """Where the key comes from, for messages that ask for another one."""
    source = endpoint.llm.spec.api_key_from
    if source is None:
        return "spec.apiKeyFrom"
    return f"key {source.secret_key_ref.key} of Secret {source.secret_key_ref.name}"


def headers(endpoint: Endpoint, own: Mapping[str, str]) -> dict[str, str]:
    """`own` headers with the LLM's over them (names in lower case). Raises Terminal for what HTTP forbids."""
    merged = {name.lower(): value for name, value in own.items()}
    merged |= {name.lower(): value for name, value in endpoint.headers}
    for name, value in merged.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            where = key_source(endpoint) if name in ("authorization", "x-api-key") else f"header {name[:60]!r}"
            raise Terminal(
                f"{subject(endpoint)}: {where} contains a character that no HTTP header may contain; correct it",
                reason="Unauthorized" if name in own else "InvalidRequest",
            )
    return merged
