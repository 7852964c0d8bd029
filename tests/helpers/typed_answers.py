"""Types for structured answers: a table of those whose answers must all be valid, and strategies that make more."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import ipaddress as ip
from collections import Counter, deque
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pydantic as p
from hypothesis import strategies as st
from typing_extensions import NotRequired, TypedDict

T = TypeVar("T")


class Number(enum.IntEnum):
    one = 1
    two = 2


class Colour(str, enum.Enum):
    red = "r"
    blue = "b"


class Mixed(enum.Enum):
    pair = (1, 2)  # JSON cannot express it
    text = "x"
    half = 0.5


class Pair(NamedTuple):
    count: int
    name: str = "x"


class Cat(p.BaseModel):
    kind: Literal["cat"] = "cat"
    age: int = 0


class Dog(p.BaseModel):
    kind: Literal["dog", "wolf"] = "dog"
    age: int = 0


class Carp(p.BaseModel):
    kind: Literal["fish"] = "fish"
    water: Literal["fresh"] = "fresh"


class Shark(p.BaseModel):
    kind: Literal["fish"] = "fish"
    water: Literal["salt"] = "salt"


Fish = Annotated[Carp | Shark, p.Field(discriminator="water")]
Animal = Annotated[Cat | Dog | Fish, p.Field(discriminator="kind")]


class Tree(p.BaseModel):
    value: int
    parts: list[Tree] = p.Field(max_length=2)


class Ping(p.BaseModel):
    pong: Pong | None = None


class Pong(p.BaseModel):
    ping: list[Ping] = []


class Box(p.BaseModel, Generic[T]):
    content: T
    more: list[T]


class Aliased(p.BaseModel):
    first: int = p.Field(validation_alias=p.AliasPath("row", 0))
    second: bool = p.Field(validation_alias=p.AliasPath("row", 1))
    deep: int = p.Field(validation_alias=p.AliasPath("outer", "inner"))
    other: int = p.Field(validation_alias=p.AliasChoices("name", p.AliasPath("a", "b")))
    plain: int = p.Field(alias="Plain")
    hidden: int = p.Field(exclude=True, serialization_alias="shown")

    @p.computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> int:
        return self.first + self.hidden


class Open(p.BaseModel):
    model_config = p.ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int]
    known: int


class Strict(p.BaseModel):
    model_config = p.ConfigDict(strict=True)
    numbers: set[int]
    pair: tuple[int, bool]
    day: dt.date
    by_number: dict[int, int]
    key: UUID
    colour: Colour
    raw: bytes = p.Field(max_length=4)


class Stripped(p.BaseModel):
    model_config = p.ConfigDict(str_strip_whitespace=True, str_min_length=2)
    free: str
    short: str = p.Field(max_length=4)


class Encoded(p.BaseModel):
    model_config = p.ConfigDict(val_json_bytes="base64")
    raw: bytes
    few: bytes = p.Field(min_length=2, max_length=5)


class Looking(p.BaseModel):
    model_config = p.ConfigDict(regex_engine="python-re")
    password: str = p.Field(pattern=r"^(?=.*\d)(?=.*[A-Z])(?!admin)\w{4,8}\Z")
    name: str = p.Field(pattern=r"^(?!\s*$).+")


@dataclasses.dataclass
class Parcel:
    weight: int
    sent: dt.date
    colour: Colour = Colour.red
    seen: int = dataclasses.field(default=3, init=False)


class Row(TypedDict):
    count: int
    colours: NotRequired[set[Colour]]


def _tag_of(value: Any) -> Any:
    return value.get("kind") if isinstance(value, dict) else value.kind


ByFunction = Annotated[
    Annotated[Cat, p.Tag("cat")] | Annotated[Carp, p.Tag("fish")], p.Discriminator(_tag_of)
]  # fmt: skip

_DAY, _CLOCK = dt.date(2020, 1, 1), dt.time(8)

TYPES: dict[str, Any] = {
    "aware": p.AwareDatetime,
    "naive": p.NaiveDatetime,
    "past": p.PastDate,
    "future": p.FutureDatetime,
    "time": dt.time,
    "timedelta": dt.timedelta,
    "bounded date": Annotated[dt.date, p.Field(ge=_DAY, lt=dt.date(2021, 3, 5))],
    "bounded datetime": Annotated[dt.datetime, p.Field(gt=dt.datetime(2020, 1, 1), le=dt.datetime(2021, 3, 5))],
    "bounded time": Annotated[dt.time, p.Field(ge=_CLOCK, lt=dt.time(18, 30))],
    "ipv4 network": ip.IPv4Network,
    "ipv6 network": ip.IPv6Network,
    "any interface": p.IPvAnyInterface,
    "any url": p.AnyUrl,
    "http url": p.HttpUrl,
    "file url": p.FileUrl,
    "postgres": p.PostgresDsn,
    "zone": ZoneInfo,
    "uuid": UUID,
    "uuid7": p.UUID7,
    "path": Path,
    "secret": p.SecretStr,
    "decimal": Decimal,
    "decimal of digits": p.condecimal(max_digits=4, decimal_places=2),
    "decimal of any places": p.condecimal(max_digits=5),
    "bounded decimal": p.condecimal(ge=Decimal("1.5"), lt=Decimal(5), max_digits=3, decimal_places=1),
    "stepped decimal": p.condecimal(multiple_of=Decimal("0.25")),
    "fraction": Fraction,
    "complex": complex,
    "finite": p.FiniteFloat,
    "stepped": p.conint(multiple_of=3, gt=5, le=100),
    "bytes": Annotated[bytes, p.Field(min_length=1, max_length=3)],
    "base64": p.Base64Bytes,
    "stripped": p.constr(strip_whitespace=True, min_length=2, to_lower=True, pattern="^[A-Z ]+$"),
    "number enum": Number,
    "mixed enum": Mixed,
    "literal": Literal["a", 1, None, True],
    "set of enum": p.conset(Colour, min_length=2),
    "set of small numbers": p.conset(p.conint(ge=0, lt=3), min_length=2),
    "frozenset": frozenset[bool],
    "tuple": tuple[int, bool],
    "many": tuple[int, ...],
    "named tuple": Pair,
    "deque": deque[int],
    "counter": Counter[str],
    "keys of enum": dict[Number, int],
    "all keys of enum": Annotated[dict[Colour, int], p.Field(min_length=2)],
    "keys of literal": dict[Literal["a", "b"], int],
    "keys of bounded int": dict[p.conint(ge=-3, lt=20), int],
    "keys of float": dict[float, int],
    "keys of bool": dict[bool, int],
    "keys of date": dict[dt.date, int],
    "keys of uuid": dict[UUID, int],
    "keys of pattern": dict[p.constr(pattern="^[ab]{1,3}$"), int],
    "keys of union": dict[int | Colour, int],
    "discriminated": Animal,
    "discriminated by function": ByFunction,
    "union": list[Cat | Dog],
    "optional": Cat | None,
    "recursive": Tree,
    "mutually recursive": Ping,
    "generic": Box[Colour],
    "generic of recursive": Box[Tree],
    "root": p.RootModel[dict[Colour, int]],
    "dataclass": Parcel,
    "typed dict": Row,
    "aliases": Aliased,
    "extra": Open,
    "strict": Strict,
    "stripped model": Stripped,
    "encoded": Encoded,
    "looking": Looking,
}
"""Every answer for one of these is valid, whatever the model writes."""


def _leaves() -> st.SearchStrategy[Any]:
    return st.sampled_from(
        [
            int, bool, float, str, Decimal, dt.date, dt.datetime, dt.time, dt.timedelta, UUID, bytes, Path, p.SecretStr,
            Colour, Number, Literal["a", 2, None], p.conint(ge=-5, lt=70), p.confloat(gt=0, le=1), p.UUID4,
            p.constr(min_length=1, max_length=6), p.constr(pattern=r"^[A-Z]{2}-\d{3}$"), p.Base64Bytes, p.IPvAnyAddress,
            p.condecimal(max_digits=5, decimal_places=2), p.AwareDatetime, p.PastDate, p.HttpUrl, Animal, Tree, Row,
        ]
    )  # fmt: skip


_KEYS = st.sampled_from([str, int, Colour, Number, UUID, dt.date, Literal["x", "y"], p.constr(pattern="^k[0-9]$")])
_ITEMS = st.sampled_from([int, bool, Colour, Number, dt.date, UUID, Literal["a", "b"], p.conint(ge=0, le=4), str])


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(lambda kind, most: Annotated[list[kind], p.Field(max_length=most)], inner, st.integers(1, 3)),
        st.builds(lambda kind: set[kind], _ITEMS),
        st.builds(lambda kind: frozenset[kind], _ITEMS),
        st.builds(lambda first, second: tuple[first, second], inner, inner),
        st.builds(lambda key, kind: dict[key, kind], _KEYS, inner),
        st.builds(lambda kind: kind | None, inner),
        st.builds(lambda first, second: first | second, inner, inner),
        st.builds(lambda kind: Box[kind], inner),
        st.lists(inner, min_size=1, max_size=3).map(_as_model),
        st.lists(inner, min_size=1, max_size=3).map(_as_dataclass),
        st.lists(inner, min_size=1, max_size=2).map(_as_typed_dict),
    )


def _as_model(kinds: list[Any]) -> Any:
    fields: dict[str, Any] = {f"field{index}": (kind, ...) for index, kind in enumerate(kinds)}
    return p.create_model("Made", **fields)


def _as_dataclass(kinds: list[Any]) -> Any:
    return dataclasses.make_dataclass("MadeData", [(f"field{index}", kind) for index, kind in enumerate(kinds)])


def _as_typed_dict(kinds: list[Any]) -> Any:
    return TypedDict("MadeDict", {f"field{index}": kind for index, kind in enumerate(kinds)})


def types() -> st.SearchStrategy[Any]:
    """Types of every kind, nested."""
    return st.recursive(_leaves(), _containers, max_leaves=4)


def models() -> st.SearchStrategy[Any]:
    """Models whose fields have such types."""
    return st.lists(types(), min_size=1, max_size=3).map(_as_model)
