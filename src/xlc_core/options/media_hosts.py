"""Which links in messages may be followed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any

from xlc_core.texts import show_value

__all__ = ["RemoteMedia", "to_hosts", "to_network"]

RemoteMedia = bool | frozenset[str] | Callable[[str], Any]
"""Links that are followed: none (False), all (True), those to these hosts, or those for which a function returns True.
The function gets the link as text."""

_NAME = re.compile(r"[^\s/:@\[\]?#]+")


def to_hosts(value: Any) -> frozenset[str]:
    """Return names of hosts, addresses and networks in lower case.

    Raises:
        ValueError: it is not a collection of them.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ValueError("must be True, False, a list of hosts, or a function of the link")
    hosts = [host.lower().rstrip(".") if isinstance(host, str) else host for host in value]
    for host in hosts:
        if not isinstance(host, str) or not (_NAME.fullmatch(host) or to_network(host)):
            raise ValueError(
                f"{show_value(host)} is not a host; give names such as 'example.org', without a scheme or port, "
                "addresses or networks such as '10.0.0.0/8'"
            )
    return frozenset(hosts)


def to_network(host: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Return the network that a host's text describes, which may be one address; None for a name."""
    try:
        return ipaddress.ip_network(host.strip("[]"), strict=False)
    except ValueError:
        return None
