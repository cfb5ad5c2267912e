"""How an endpoint is reached: through which proxy, and whose certificates are believed.

connections.py calls it. What the LLM names comes first (spec.proxyURL, spec.caBundle, spec.caBundleFrom), then
HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY of the environment; OpenSSL itself reads SSL_CERT_FILE and
SSL_CERT_DIR.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from functools import lru_cache
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from kubechain.agents.ports.model import Endpoint
from kubechain.errors import Terminal
from kubechain.providers.models.endpoints import subject


def proxy(endpoint: Endpoint, url: str) -> str | None:
    """The proxy for `url`; none for this machine itself, unless the LLM names one."""
    return endpoint.llm.spec.proxy_url or _from_environment(url)


@lru_cache(maxsize=256)
def _from_environment(url: str) -> str | None:
    named, parts = getproxies_environment(), urlsplit(url)
    found = named.get(parts.scheme) or named.get("all")
    if not found or direct(parts.hostname or "", named.get("no", "")):
        return None
    return found if "://" in found else f"http://{found}"


def direct(host: str, exceptions: str) -> bool:
    """Whether NO_PROXY (`exceptions`) holds the host: names with subdomains, addresses, networks, or `*`."""
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_matches(host, address, one.strip().lower()) for one in exceptions.split(",") if one.strip())


def _matches(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, exception: str) -> bool:
    if exception == "*":
        return True
    if address is not None:
        try:
            return address in ipaddress.ip_network(exception.strip("[]"), strict=False)
        except ValueError:
            return False
    name = exception.partition(":")[0].removeprefix("*").lstrip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class Trust:
    """TLS contexts by certificate bundle, each made once, off the event loop."""

    def __init__(self) -> None:
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def of(self, endpoint: Endpoint) -> ssl.SSLContext | bool:
        """True for the system's authorities alone. Raises Terminal where the bundle holds no certificate."""
        bundle = endpoint.ca_bundle
        if not bundle:
            return True
        if bundle not in self._contexts:
            try:
                self._contexts[bundle] = await asyncio.to_thread(_believing, bundle)
            except (ssl.SSLError, ValueError) as error:
                raise Terminal(
                    f"{subject(endpoint)}: the CA bundle holds no PEM certificate that can be read; correct "
                    "spec.caBundle or the Secret that spec.caBundleFrom names",
                    reason="InvalidCABundle",
                ) from error
        return self._contexts[bundle]


def _believing(bundle: str) -> ssl.SSLContext:
    """The system's authorities and those of the bundle."""
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=bundle)
    return context
