"""Which IP addresses a tool may connect to: those of the public internet, and no others.

`connecting` asks it for the address of every socket, right before the socket is connected. Pure.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

METADATA = "an address of the cloud's metadata service"
_METADATA = frozenset(
    {"169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16", "192.0.0.192"}
    | {"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"}
)
_V4 = tuple(
    (ip_network(network), what)
    for network, what in (
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a shared address of a provider's network (CGNAT)"),
        ("127.0.0.0/8", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a reserved address"),
        ("192.88.99.0/24", "a reserved address"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "a private address"),
        ("198.51.100.0/24", "a reserved address"),
        ("203.0.113.0/24", "a reserved address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
    )
)
_V6 = tuple(
    (ip_network(network), what)
    for network, what in (
        ("::/128", "an unspecified address"),
        ("::1/128", "a loopback address"),
        ("::ffff:0:0/96", "an IPv4 address mapped into IPv6"),
        ("64:ff9b::/96", "an IPv4 address translated by NAT64"),
        ("64:ff9b:1::/48", "an IPv4 address translated by NAT64"),
        ("2001::/23", "a reserved address"),
        ("2001:db8::/32", "a reserved address"),
        ("2002::/16", "an IPv4 address inside 6to4"),
        ("3fff::/20", "a reserved address"),
        ("fc00::/7", "a private address (ULA)"),
        ("fe80::/10", "a link-local address"),
        ("ff00::/8", "a multicast address"),
    )
)
_GLOBAL = ip_network("2000::/3")


@lru_cache(maxsize=4096)
def refused(address: str) -> str:
    """What is wrong with an address, such as "a loopback address"; "" for one of the public internet."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return "not an IP address"
    if str(parsed) in _METADATA:
        return METADATA
    return _of_v4(parsed) if isinstance(parsed, IPv4Address) else _of_v6(parsed)


def _of_v4(address: IPv4Address) -> str:
    return next((what for network, what in _V4 if address in network), "")


def _of_v6(address: IPv6Address) -> str:
    named = next((what for network, what in _V6 if address in network), "")
    return named or ("" if address in _GLOBAL else "a reserved address")
