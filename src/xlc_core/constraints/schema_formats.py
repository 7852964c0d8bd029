"""Stricter patterns for formats of JSON schemas where llguidance accepts invalid values.

llguidance allows 29 February in every year, a leap second in every minute, and host names of any length or with labels
that only look like IDNA. It refuses IPv6 addresses that end with an IPv4 address.
"""

from __future__ import annotations

__all__ = ["MAX_LENGTHS", "PATTERNS", "TYPE_PATTERNS"]

# Years from 0001: RFC 3339 allows the year 0000, but Python's datetime and pydantic do not.
_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)


def _leap_seconds() -> str:
    """Match 23:59:60 UTC, in all offsets that are in use: multiples of a quarter of an hour."""
    ways = ["23:59:60(?:[.][0-9]+)?[Zz]"]
    for offset in range(0, 24 * 60, 15):
        for sign, minutes in (("[+]", 23 * 60 + 59 + offset), ("-", 23 * 60 + 59 - offset)):
            hour, minute = divmod(minutes % (24 * 60), 60)
            ways.append(f"{hour:02}:{minute:02}:60(?:[.][0-9]+)?{sign}{offset // 60:02}:{offset % 60:02}")
    return "|".join(ways)


_HOUR = "(?:[01][0-9]|2[0-3])"
_TIME = f"(?:{_HOUR}:[0-5][0-9]:[0-5][0-9](?:[.][0-9]+)?(?:[Zz]|[+-]{_HOUR}:[0-5][0-9])|{_leap_seconds()})"


_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"


def _ipv6() -> str:
    """Match IPv6address of RFC 3986: the more groups stand before "::", the fewer may follow."""
    group = "[0-9a-fA-F]{1,4}"
    last = f"(?:{group}:{group}|{_BYTE}(?:[.]{_BYTE}){{3}})"  # the last 32 bits, as groups or as IPv4
    ways = [f"(?:{group}:){{6}}{last}"]
    behind = [*(f"(?:{group}:){{{n}}}{last}" for n in range(5, 0, -1)), last, group, ""]
    for n, rest in enumerate(behind):
        front = f"(?:{group}(?::{group}){{0,{n - 1}}})?" if n else ""
        ways.append(f"{front}::{rest}")
    return "(?:" + "|".join(ways) + ")"


def _hostname() -> str:
    """Match labels without "--" in the third place: a label with it can only be checked by decoding it."""
    char, inner = "[0-9A-Za-z]", "[0-9A-Za-z-]"
    long_label = f"{inner}(?:{char}{inner}|-{char}){inner}{{0,58}}{char}"
    label = f"{char}(?:{char}|{inner}{char}|{inner}(?:{char}{char}|-{char})|{long_label})?"
    return f"{label}(?:[.]{label})*"


PATTERNS = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}[Tt]{_TIME}$",
    "hostname": f"^{_hostname()}$",
    "ipv6": f"^{_ipv6()}$",
}
MAX_LENGTHS = {"hostname": 253}

_HEX, _BASE64, _BASE64_URL = "[0-9a-fA-F]", "[0-9A-Za-z+/]", "[0-9A-Za-z_-]"
TYPE_PATTERNS = {
    f"uuid{n}": f"^{_HEX}{{8}}-{_HEX}{{4}}-{n}{_HEX}{{3}}-[89abAB]{_HEX}{{3}}-{_HEX}{{12}}$" for n in range(1, 9)
} | {
    name: f"^(?:{char}{{4}})*(?:{char}{{2}}==|{char}{{3}}=)?$"
    for name, char in (("base64", _BASE64), ("base64url", _BASE64_URL))
}
TYPE_PATTERNS["ipvanyaddress"] = f"^(?:{_BYTE}(?:[.]{_BYTE}){{3}}|{_ipv6()})$"
"""Formats of pydantic's own that its types insist on."""
