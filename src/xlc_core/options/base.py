"""The base of all options: frozen, checked, and an unknown name is refused with the name that was meant."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, ClassVar, Literal, get_args

from annotated_types import Le
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from typing_extensions import Self

from xlc_core.errors import InvalidRequestError
from xlc_core.options.hints import hint_for
from xlc_core.texts import check_text, native_path, plain_path, show_value

__all__ = ["GpuLayers", "NativeOptions", "Options", "Seconds", "Takes", "describe"]

_LARGEST_INT = 0x7FFF_FFFF  # C++'s int32_t
_LARGEST_FLOAT = 3.4e38  # C++'s float

# The expected values, by the kind of pydantic's error. Errors of other kinds say more than that.
_NOUNS = {
    "bool": "True or False",
    "callable": "a function",
    "dict": "a mapping",
    "float": "a number",
    "int": "an integer",
    "list": "a list",
    "mapping": "a mapping",
    "path": "a path",
    "string": "a text",
    "tuple": "a list",
}


class Options(BaseModel):
    """Base of every option model: frozen, and an unknown name is an error that names the one that was meant."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)

    forms: ClassVar[Mapping[str, str]] = {}
    """Descriptions of the values that fields take, for messages, where the type does not say it."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_names(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for name in values:
                if name not in cls.model_fields:
                    hint = hint_for(str(name), values[name], cls)
                    raise ValueError(f"unknown option {name!r}{hint and f'; {hint}'}")
        return values

    @classmethod
    def checked(cls, **values: Any) -> Self:
        """Return the options. Pydantic's report becomes one InvalidRequestError.

        Args:
            **values: the fields.

        Raises:
            InvalidRequestError: a name is unknown or a value is out of range; the message lists all of them.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise InvalidRequestError(describe(error, cls.forms)) from None


class NativeOptions(Options):
    """Base of the options whose values go to llama.cpp: each value fits into its C++ type.

    None stands for the default of every field that does not take None itself.
    """

    scope: ClassVar[Literal["engine", "request", "retrieval", ""]] = ""
    """Whose options these are: of an engine, a request, or a request to embed or rank; empty for parts of those."""

    used_by: ClassVar[str] = ""
    """The functions that take them as keyword arguments, for messages."""

    with_scope: ClassVar[list[type[NativeOptions]]] = []
    """All classes with a scope, the general ones first."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if cls.scope:
            NativeOptions.with_scope.append(cls)

    @model_validator(mode="before")
    @classmethod
    def _take_none_as_default(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        given = {name: value for name, value in values.items() if value is not None or name not in _with_default(cls)}
        return {name: plain_path(value) for name, value in given.items()}

    @field_validator("*")
    @classmethod
    def _fits_native_types(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[info.field_name or ""]
        # A limit of the field's own may be larger, as a seed is unsigned. pydantic has checked it.
        has_limit = any(isinstance(limit, Le) for limit in field.metadata)
        for part in _native_parts(value, field.annotation):
            if isinstance(part, PurePath) or (isinstance(part, str) and Path in get_args(field.annotation)):
                native_path(part, "it")
            elif isinstance(part, str):
                check_text(part, "it")
            elif isinstance(part, (int, float)):
                largest = _LARGEST_INT if isinstance(part, int) else _LARGEST_FLOAT
                if part > largest and not has_limit:
                    raise ValueError(f"must be at most {largest}")
                if part < -largest:
                    raise ValueError(f"must be at least -{largest}")
        return value


@dataclass(frozen=True)
class Takes:
    """The type of a field's keyword argument, where validators take more than the field's type says.

    Attributes:
        text: the type as it is written in options/kwargs.py.
    """

    text: str


def _refuse_negative(value: Any) -> Any:
    if isinstance(value, int) and value < 0:
        raise ValueError("must be 'auto' for as many layers as fit, 'all', or a number from 0")
    return value


GpuLayers = Annotated[int | Literal["auto", "all"], BeforeValidator(_refuse_negative)]
"""Layers on the GPU: a number, as many as fit, or all. Negative numbers mean different things elsewhere."""

Seconds = Annotated[float, Field(gt=0, le=1e9)]
"""A time in seconds, above 0 and at most 10⁹, some 30 years."""


@functools.cache
def _with_default(cls: type[NativeOptions]) -> frozenset[str]:
    """Return the fields whose default None stands for: those with a default that do not take None."""
    return frozenset(
        name
        for name, field in cls.model_fields.items()
        if not field.is_required() and field.annotation is not Any and type(None) not in get_args(field.annotation)
    )


def _native_parts(value: Any, annotation: Any) -> Iterator[Any]:
    """Yield what llama.cpp gets of a field: the value, or its parts. A part of any type becomes JSON."""
    is_any = annotation is Any or Any in get_args(annotation)
    if isinstance(value, dict):
        yield from value
        yield from () if is_any else value.values()
    elif isinstance(value, tuple):
        yield from () if is_any else value
    elif annotation is not Any:
        yield value


def describe(error: ValidationError, forms: Mapping[str, str] | None = None) -> str:
    """Return one line for each wrong value, with the reason.

    Args:
        error: pydantic's report, which has an entry for each type that a union could have been.
        forms: descriptions of the values that fields take, by name, where their types do not say it.
    """
    faults: dict[Any, list[Any]] = {}
    for fault in error.errors(include_url=False):
        place = fault["loc"][:-1] or fault["loc"]
        faults.setdefault((place, id(fault["input"])), []).append(fault)
    return "; ".join(_line(together, forms or {}) for together in faults.values())


def _line(faults: list[Any], forms: Mapping[str, str]) -> str:
    """Describe one wrong value by the errors that the types of a union gave."""
    place = faults[0]["loc"]
    if len(faults) > 1:
        place = place[:-1]
    nouns = [_expected(fault) for fault in faults]
    telling = [fault for fault, expected in zip(faults, nouns, strict=True) if not expected]
    if telling:
        reason = telling[0]["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    else:
        form = forms.get(str(place[0])) if len(place) == 1 else None
        reason = f"must be {form or _joined([noun for expected in nouns for noun in expected])}"
    return f"{_place(place)}: {reason}, got {show_value(faults[0]['input'])}" if place else reason


def _expected(fault: Any) -> list[str]:
    """Return descriptions of the expected values; none when the type is right."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "literal_error":
        return str(context["expected"]).replace(" or ", ", ").split(", ")
    if kind in {"model_type", "dataclass_type"}:
        return [f"a {context['class_name']}"]
    if kind == "is_instance_of":
        return [f"a {context['class']}"]
    if kind == "int_from_float":
        return ["an integer"]
    noun, _, rest = kind.partition("_")
    return [_NOUNS[noun]] if noun in _NOUNS and rest in {"type", "parsing"} else []


def _joined(nouns: list[str]) -> str:
    *most, last = dict.fromkeys(nouns)
    return f"{', '.join(most)} or {last}" if most else last


def _place(parts: tuple[int | str, ...]) -> str:
    first, *rest = parts
    return str(first) + "".join(f"[{part!r}]" for part in rest)
