"""Patterns for formats of JSON schemas, where llguidance accepts invalid values or does not know the format.

llguidance allows 29 February in every year, a leap second in every minute, and host names of any length or with labels
that only look like IDNA. It refuses IPv6 addresses that end with an IPv4 address. The formats of pydantic's types are
known here too.
"""

from __future__ import annotations

import functools

from xlc_core.constraints.pattern_parts import other_than

__all__ = [
    "BASE64",
    "BASE64_URL",
    "ENFORCED",
    "base64_text",
    "key_pattern",
    "max_length_of",
    "pattern_of",
]

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


_PATTERNS = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}[Tt]{_TIME}$",
    "hostname": f"^{_hostname()}$",
    "ipv6": f"^{_ipv6()}$",
}
"""Texts that JSON Schema allows."""
_MAX_LENGTHS = {"hostname": 253}
_NARROW_MAX_LENGTHS = _MAX_LENGTHS | {"email": 64, "name-email": 64}  # so that no label of a domain is too long

# Python's types do not have leap seconds, and seconds have at most six places.
_CLOCK = f"{_HOUR}:[0-5][0-9]:[0-5][0-9](?:[.][0-9]{{1,6}})?"
_ZONE = f"(?:Z|[+-]{_HOUR}:[0-5][0-9])"

_HEX = "[0-9a-fA-F]"
BASE64, BASE64_URL = "0-9A-Za-z+/", "0-9A-Za-z_-"


def base64_text(chars: str, least: int = 0, most: int | None = None) -> str:
    """Return an expression for bytes in base64: of a number of bytes, with unused bits that are zero."""
    ways = []
    # Two characters hold one byte and four unused bits, three hold two bytes and two unused bits.
    for rest, text in ((0, ""), (1, f"[{chars}][AQgw]=="), (2, f"[{chars}]{{2}}[AEIMQUYcgkosw048]=")):
        first = max(0, -(-(least - rest) // 3))
        last = "" if most is None else (most - rest) // 3
        if most is None or first <= int(last):
            ways.append(f"(?:[{chars}]{{4}}){{{first},{last}}}{text}")
    return f"(?:{'|'.join(ways)})"


def _duration() -> str:
    """Match RFC 3339's durations of up to four digits in each place: more may be too long for a timedelta."""
    number = "[0-9]{1,4}"
    time = f"T(?:{number}H(?:{number}M(?:{number}S)?)?|{number}M(?:{number}S)?|{number}S)"
    date = f"(?:{number}Y(?:{number}M(?:{number}D)?)?|{number}M(?:{number}D)?|{number}D)"
    return f"P(?:{date}(?:{time})?|{time}|{number}W)"


def _top_level_domain() -> str:
    """Match at least two letters that are not a domain reserved for special use."""
    reserved = {"a": ["rpa"], "i": ["nvalid"], "l": ["ocal", "ocalhost"], "o": ["nion"], "t": ["est"]}
    ways = [f"{first}{other_than(rest)}" for first, rest in reserved.items()]
    return f"(?:[b-hjkmnp-su-z][a-z]+|{'|'.join(ways)})"


def _email() -> str:
    """Match addresses that the package email-validator accepts: no domains that are reserved for special use."""
    name = "[0-9A-Za-z]{1,20}(?:[._+-][0-9A-Za-z]{1,20}){0,2}"
    label = "[0-9A-Za-z]{1,30}(?:-[0-9A-Za-z]{1,30})?"
    return f"{name}@(?:{label}[.]){{1,3}}{_top_level_domain()}"


_IPV4 = f"{_BYTE}(?:[.]{_BYTE}){{3}}"
# Networks of whole bytes or groups: the bits after the prefix must be zero.
_IPV4_NETWORK = f"(?:{_BYTE}[.]0[.]0[.]0/8|{_BYTE}[.]{_BYTE}[.]0[.]0/16|(?:{_BYTE}[.]){{3}}0/24|{_IPV4}/32)"
_IPV6_NETWORK = "(?:" + "|".join(f"{_HEX}{{1,4}}(?::{_HEX}{{1,4}}){{{n - 1}}}::/{16 * n}" for n in (2, 3, 4)) + ")"
_IPV4_INTERFACE = f"{_IPV4}/(?:3[0-2]|[12]?[0-9])"
_IPV6_INTERFACE = f"{_ipv6()}/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9])"
_NAME = "[A-Z][a-z]{1,30}(?: [A-Z][a-z]{1,30}){0,2}"

_NARROW = {
    "date-time": f"^{_DATE}T{_CLOCK}{_ZONE}$",
    "time": f"^{_CLOCK}{_ZONE}$",
    "duration": f"^{_duration()}$",
    "email": f"^{_email()}$",
}
"""Texts that are generated: less than JSON Schema allows, and valid for Python's types as well."""

_TYPE_FORMATS = {
    f"uuid{n}": f"^{_HEX}{{8}}-{_HEX}{{4}}-{n}{_HEX}{{3}}-[89abAB]{_HEX}{{3}}-{_HEX}{{12}}$" for n in range(1, 9)
} | {
    "base64": f"^{base64_text(BASE64)}$",
    "base64url": f"^{base64_text(BASE64_URL)}$",
    "local-date-time": f"^{_DATE}T{_CLOCK}$",
    "local-time": f"^{_CLOCK}$",
    "ipvanyaddress": f"^(?:{_IPV4}|{_ipv6()})$",
    "ipv4network": f"^{_IPV4_NETWORK}$",
    "ipv6network": f"^{_IPV6_NETWORK}$",
    "ipvanynetwork": f"^(?:{_IPV4_NETWORK}|{_IPV6_NETWORK})$",
    "ipv4interface": f"^{_IPV4_INTERFACE}$",
    "ipv6interface": f"^{_IPV6_INTERFACE}$",
    "ipvanyinterface": f"^(?:{_IPV4_INTERFACE}|{_IPV6_INTERFACE})$",
    "name-email": f"^(?:{_NAME} <{_email()}>|{_email()})$",
    "fraction": "^-?(?:0|[1-9][0-9]{0,17})(?:/[1-9][0-9]{0,17})?$",
}
"""Formats of pydantic's own, which its types insist on."""

_KEY_PATTERNS = {
    "ipv4": f"^{_IPV4}$",
    "uuid": f"^{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}$",
}
"""Formats that llguidance knows, for places where only a pattern can stand."""

ENFORCED = frozenset({
    *("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri", "zoneinfo"),
    *_TYPE_FORMATS,
})  # fmt: skip
"""The formats that are rules. All others are hints."""


def pattern_of(name: str, *, narrow: bool) -> str | None:
    """Return the pattern that stands for a format; None for formats that llguidance enforces well, and for hints.

    Args:
        name: the format.
        narrow: for texts that are generated. They are also what Python's types take.
    """
    if name == "zoneinfo":
        return _zones()
    return (_NARROW.get(name) if narrow else None) or _PATTERNS.get(name) or _TYPE_FORMATS.get(name)


def max_length_of(name: str, *, narrow: bool) -> int | None:
    """Return the length that no text of a format exceeds; None without a limit, or if the pattern has it."""
    return (_NARROW_MAX_LENGTHS if narrow else _MAX_LENGTHS).get(name)


def key_pattern(name: str) -> str | None:
    """Return a pattern for a format of an object's keys; None for hints."""
    return pattern_of(name, narrow=True) or _KEY_PATTERNS.get(name)


@functools.cache
def _zones() -> str:
    from zoneinfo import available_timezones

    names = sorted(available_timezones()) or ["UTC"]
    return "^(?:" + "|".join(name.replace("+", "[+]") for name in names) + ")$"
