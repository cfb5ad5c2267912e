"""The HTTP proxy that the environment names: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.

Requests to models and requests of tools ask it. It reads the environment, and nothing else.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit
from urllib.request import getproxies_environment


@lru_cache(maxsize=256)
def proxy_for(url: str) -> str | None:
    """The proxy for `url`; none for this machine itself."""
    named, parts = getproxies_environment(), urlsplit(url)
    found = named.get(parts.scheme) or named.get("all")
    if not found or direct(parts.hostname or "", named.get("no", "")):
        return None
    return found if "://" in found else f"http://{found}"


def direct(host: str, exceptions: str) -> bool:
    """Whether NO_PROXY (`exceptions`) holds the host: names with subdomains, addresses, networks, or `*`."""
    address = _ip(host)
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


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
