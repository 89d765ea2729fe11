"""Which addresses a request may go to when somebody else says where."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, TypeAlias

import anyio

from evara_core.errors import UpstreamError, UpstreamRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["Resolve", "allowed_address", "is_public", "resolve"]

Resolve: TypeAlias = "Callable[[str, int], Awaitable[Sequence[str]]]"
"""Host and port to numeric addresses."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of *host*, as the system finds them."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def is_public(address: str) -> bool:
    """Whether *address* is one of the public Internet, also behind IPv6's disguises of IPv4."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            found = inner
    return found.is_global and not found.is_multicast


async def allowed_address(
    host: str, port: int, *, allow_internal: bool, resolve: Resolve = resolve
) -> str:
    """Return the one address to connect to. Nobody may look the name up again.

    Raises:
        UpstreamRefusedError: One of its addresses is internal.
        UpstreamError: It has no address now.
    """
    try:
        found = await resolve(host, port)
    except OSError as error:
        problem = "the name of the host cannot be resolved"
        raise UpstreamError(problem) from error
    if not found:
        problem = "the host has no address"
        raise UpstreamError(problem)
    if not allow_internal and not all(is_public(address) for address in found):
        problem = "the host has an internal address"
        raise UpstreamRefusedError(problem)
    return found[0]
