"""Which addresses belong to the public internet, and not to this machine, its network or its cloud provider."""

from __future__ import annotations

import ipaddress

__all__ = ["Address", "is_public", "to_address"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Cloud providers' services for their machines that have a public address. Others have link-local or private ones.
_SERVICES = frozenset({ipaddress.ip_address("168.63.129.16")})
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address behind NAT64


def to_address(text: str) -> Address:
    """Return the address in a text of getaddrinfo, without its zone."""
    return ipaddress.ip_address(text.partition("%")[0])


def is_public(address: Address) -> bool:
    """Return whether an address is public: not private, loopback, link-local, multicast, reserved or a cloud service's.

    An IPv6 address that carries an IPv4 address is judged by that one too.
    """
    if isinstance(address, ipaddress.IPv6Address):
        carried = _carried(address)
        if carried is not None:
            return is_public(carried)
    return address.is_global and not address.is_multicast and not address.is_reserved and address not in _SERVICES


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if address in _TRANSLATED else None
