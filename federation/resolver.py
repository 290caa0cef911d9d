"""Looks up peers' names and lets connections go to global unicast addresses only (guard against SSRF).

aiohttp connects to exactly the addresses that are returned here, so there is no second lookup that could answer
differently (DNS rebinding). One forbidden address spoils the whole answer. `ipaddress.is_global` calls NAT64, 6to4,
multicast and 192.88.99.1 global, so the list is our own. The only exceptions are loopback addresses that an
administrator wrote down for development, and the configured proxy.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from protocol.addresses import parse_loopback

Lookup = Callable[[str, int], Awaitable[list[str]]]

#: IANA special-purpose registries (RFC 6890 and later): nothing here is an ordinary host of the Internet.
_FORBIDDEN_4: Final = tuple(
    ipaddress.IPv4Network(net)
    for net in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
#: The only block that IANA has given out for global unicast, and what is special inside it.
_GLOBAL_6: Final = ipaddress.IPv6Network("2000::/3")
_FORBIDDEN_6: Final = tuple(
    ipaddress.IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
#: Top-level domains begin with a letter; `127.0.0.0x1` is an address to some libraries.
_NAME: Final = re.compile(r"[a-z0-9.-]+\.[a-z][a-z0-9-]*", re.ASCII)


class ForbiddenAddressError(OSError):
    """A name is no DNS name, or leads to an address that is not global unicast."""


def allowed(address: str) -> bool:
    """Return whether `address` is the text of a global unicast IP address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv4Address):
        return not any(found in net for net in _FORBIDDEN_4)
    return found.scope_id is None and found in _GLOBAL_6 and not any(found in net for net in _FORBIDDEN_6)


async def system_lookup(host: str, port: int) -> list[str]:
    """Return the addresses that the system knows for `host`. Raises: OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class GuardedResolver(AbstractResolver):
    """The resolver of all connections to peers."""

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup: Final = lookup
        self._loopback: Final[dict[tuple[str, int], str]] = {}
        self._trusted: Final[set[tuple[str, int]]] = set()

    def connect(self, host: str, address: str) -> int:
        """From now on find `host` at a loopback `address` such as `127.0.0.1:8441`, for the port that is returned.

        Raises: MalformedError: another address.
        """
        loopback, port = parse_loopback(address)
        self._loopback[host, port] = loopback
        return port

    def trust(self, host: str, port: int) -> None:
        """Let connections go to this proxy of the operator, wherever it is."""
        self._trusted.add((host, port))

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 -- both are checked
    ) -> list[ResolveResult]:
        """Return the checked addresses of `host`. Raises: ForbiddenAddressError; OSError: there are none."""
        if (host, port) in self._loopback:
            return [_result(host, self._loopback[host, port], port)]
        if (host, port) in self._trusted:
            return [_result(host, address, port) for address in await self._lookup(host, port)]
        if not _NAME.fullmatch(host):
            raise ForbiddenAddressError("peers are reached by DNS names only")
        addresses = await self._lookup(host, port)
        if not addresses or not all(map(allowed, addresses)):
            raise ForbiddenAddressError("the name leads to an address that peers cannot have")
        return [_result(host, address, port) for address in addresses]

    async def close(self) -> None:
        """Nothing to let go of."""


def _result(hostname: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=hostname, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
    )
