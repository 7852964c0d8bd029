"""The JSON schema of a Python type, for generating its values.

pydantic's schema of a type allows more than the type takes: any text for a Decimal, a union's member without its tag,
any key for ``dict[int, str]``. Everything that the schema allows is generated sooner or later, so here it is narrower.
docs/types.md lists what is enforced for which type.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Any

from pydantic import ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema, SchemaError, SchemaValidator, to_jsonable_python

from xlc_core.constraints.key_schemas import key_schema
from xlc_core.constraints.pattern_parts import between
from xlc_core.constraints.schema_formats import BASE64_URL, base64_text
from xlc_core.constraints.tags import require_tags

__all__ = ["TypeSchema"]

_LARGEST_FLOAT = 10**15
"""Bound of numbers that must be finite: with a bound, numbers have no exponent."""
_MOST_PLACES = 6
"""Digits after the decimal point of a number; texts may have more."""
_NO_OUTER_SPACE = r"^(?:\S(?:[\s\S]*\S)?)?$"
_URL_PATH = r"(?:/[!#$&-;=?-Z_a-z~]*)?"
_HOST = "(?:[0-9a-z]{1,30}(?:-[0-9a-z]{1,30})?[.]){0,3}[a-z][0-9a-z]{0,29}(?::[1-9][0-9]{0,3})?"


class TypeSchema(GenerateJsonSchema):
    """Makes schemas whose values the type takes, as far as a schema can express it."""

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        """Return the schema of a type; see the base."""
        made = super().generate(schema, mode)
        require_tags(made)
        return made

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Leave out titles that repeat the names of fields: the model would have to read them."""
        return False

    # Texts

    def str_schema(self, schema: Any) -> JsonSchemaValue:
        """Keep the flags of a compiled pattern, and no space where the type strips it."""
        made = super().str_schema(schema)
        pattern = schema.get("pattern")
        if isinstance(pattern, re.Pattern):
            flags = "".join(letter for letter in "imsx" if pattern.flags & getattr(re, letter.upper()))
            made["pattern"] = f"(?{flags}){pattern.pattern}" if flags else pattern.pattern
        if schema.get("strip_whitespace", self._setting("str_strip_whitespace")):
            _add_pattern(made, _NO_OUTER_SPACE)
        return made

    def bytes_schema(self, schema: Any) -> JsonSchemaValue:
        """Count bytes, not characters, and know how the type reads them."""
        least, most = schema.get("min_length") or 0, schema.get("max_length")
        form = self._setting("val_json_bytes") or "utf8"
        if form == "base64":
            if not least and most is None:
                return {"type": "string", "format": "base64url"}
            return {"type": "string", "pattern": f"^{base64_text(BASE64_URL, least, most)}$"}
        if form == "hex":
            return {"type": "string", "pattern": f"^(?:[0-9a-f]{{2}}){{{least},{'' if most is None else most}}}$"}
        made: JsonSchemaValue = {"type": "string", "format": "binary"}
        if least:
            made["minLength"] = least
        if most is not None:
            made |= {"maxLength": most, "pattern": "^[ -~]*$"}  # other characters have more bytes than one
        return made

    # Numbers

    def float_schema(self, schema: Any) -> JsonSchemaValue:
        """Bound numbers that must be finite."""
        made = super().float_schema(schema)
        allowed = schema.get("allow_inf_nan")
        if (self._setting("allow_inf_nan", default=True) if allowed is None else allowed) is False:
            _bound(made)
        return made

    def decimal_schema(self, schema: Any) -> JsonSchemaValue:
        """Allow a number, and a text where no bound is to be checked, of as many digits as the type takes."""
        bounds = {name: schema[name] for name in ("le", "ge", "lt", "gt") if schema.get(name) is not None}
        number = self.float_schema({"type": "float", "allow_inf_nan": False, **_floats(bounds)})
        if (step := schema.get("multiple_of")) is not None:
            return number | {"multipleOf": _plain_number(float(step))}
        digits, places = schema.get("max_digits"), schema.get("decimal_places")
        numbers = _of_digits(number, digits, places)
        if bounds:
            return numbers[0] if len(numbers) == 1 else {"anyOf": numbers}
        return {"anyOf": [*numbers, {"type": "string", "pattern": _decimal_text(digits, places)}]}

    def fraction_schema(self, schema: Any) -> JsonSchemaValue:
        """Allow a number, and a text where no bound is to be checked."""
        bounds = {name: schema[name] for name in ("le", "ge", "lt", "gt") if schema.get(name) is not None}
        number = self.float_schema({"type": "float", "allow_inf_nan": False, **_floats(bounds)})
        return number if bounds else {"anyOf": [number, {"type": "string", "format": "fraction"}]}

    def complex_schema(self, schema: Any) -> JsonSchemaValue:
        """Allow Python's way to write a complex number."""
        number = "[0-9]{1,15}(?:[.][0-9]{1,15})?"
        return {"type": "string", "pattern": f"^-?{number}(?:[+-]{number}j)?$"}

    # Dates and times

    def date_schema(self, schema: Any) -> JsonSchemaValue:
        """Add the bounds of dates, which pydantic's schema lacks."""
        made: JsonSchemaValue = {"type": "string", "format": "date"}
        day = timedelta(days=1)
        low = _last(schema.get("ge"), _shifted(schema.get("gt"), day))
        high = _first(schema.get("le"), _shifted(schema.get("lt"), -day))
        if schema.get("now_op") == "past":
            high = _first(high, date.today() - day)
        elif schema.get("now_op") == "future":
            low = _last(low, date.today() + 2 * day)
        return made | _date_bounds(low, high)

    def datetime_schema(self, schema: Any) -> JsonSchemaValue:
        """Add the bounds of dates as whole days that are inside them in every time zone."""
        is_naive = schema.get("tz_constraint") == "naive"
        made: JsonSchemaValue = {"type": "string", "format": "local-date-time" if is_naive else "date-time"}
        margin = timedelta(days=1 if is_naive else 2)
        low = _last(*(_shifted(schema.get(name), margin) for name in ("ge", "gt")))
        high = _first(*(_shifted(schema.get(name), -margin) for name in ("le", "lt")))
        if schema.get("now_op") == "past":
            high = _first(high, date.today() - timedelta(days=2))
        elif schema.get("now_op") == "future":
            low = _last(low, date.today() + timedelta(days=3))
        return made | _date_bounds(low, high)

    def time_schema(self, schema: Any) -> JsonSchemaValue:
        """Leave out the zone where the type refuses it, or compares with a time without one."""
        (low, has_low), (high, has_high) = _clock_bound(schema, "ge", "gt"), _clock_bound(schema, "le", "lt")
        if low is None and high is None:
            return {"type": "string", "format": "local-time" if schema.get("tz_constraint") == "naive" else "time"}
        ends = [end for end, has_it in ((low, has_low), (high, has_high)) if end is not None and has_it]
        return {"type": "string", "format": "local-time", "pattern": _clock_pattern(low, high, ends)}

    def timedelta_schema(self, schema: Any) -> JsonSchemaValue:
        """Durations have one form."""
        return {"type": "string", "format": "duration"}

    # Listed values

    def literal_schema(self, schema: Any) -> JsonSchemaValue:
        """Leave out values that JSON cannot express, such as bytes."""
        return _listed(super().literal_schema(schema), schema, schema["expected"])

    def enum_schema(self, schema: Any) -> JsonSchemaValue:
        """Leave out members that JSON cannot express, such as tuples."""
        return _listed(super().enum_schema(schema), schema, schema["members"])

    # Objects

    def dict_schema(self, schema: Any) -> JsonSchemaValue:
        """Constrain the keys to the texts that their type takes."""
        return self._keyed(super().dict_schema(schema), schema)

    def frozendict_schema(self, schema: Any) -> JsonSchemaValue:
        """Constrain the keys, as dict_schema."""
        return self._keyed(super().frozendict_schema(schema), schema)

    def ordered_dict_schema(self, schema: Any) -> JsonSchemaValue:
        """Constrain the keys, as dict_schema."""
        return self._keyed(super().ordered_dict_schema(schema), schema)

    def counter_schema(self, schema: Any) -> JsonSchemaValue:
        """Constrain the keys, as dict_schema."""
        return self._keyed(super().counter_schema(schema), schema)

    def _keyed(self, made: JsonSchemaValue, schema: Any) -> JsonSchemaValue:
        keys = schema.get("keys_schema")
        if keys is None:
            return made
        named = key_schema(self.generate_inner(keys), lambda text: _takes(keys, text))
        if named is None:
            raise PydanticInvalidForJsonSchema("the keys of JSON objects are texts, and none of them is such a key")
        values = made.get("additionalProperties", next(iter(made.get("patternProperties", {}).values()), True))
        kept = {name: value for name, value in made.items() if name in {"type", "minProperties", "maxProperties"}}
        return kept | ({"propertyNames": named} if named else {}) | {"additionalProperties": values}

    def _named_required_fields_schema(self, named_required_fields: Any) -> JsonSchemaValue:
        """Put a field where its alias path says that it is read."""
        paths = [_alias_path(field) if self.by_alias else None for _, _, field in named_required_fields]
        if not any(paths):
            return super()._named_required_fields_schema(named_required_fields)
        plain = [field for field, path in zip(named_required_fields, paths, strict=True) if path is None]
        made = super()._named_required_fields_schema(plain)
        for (_, required, field), path in zip(named_required_fields, paths, strict=True):
            if path is not None:
                _place_at(made, path, self.generate_inner(field), required=required)
        return made

    # Links

    def url_schema(self, schema: Any) -> JsonSchemaValue:
        """Allow plain host names: not all that the grammar of a URI derives is a link that can be read."""
        names = schema.get("allowed_schemes")
        most = schema.get("max_length")
        host = "" if names == ["file"] else _HOST
        made: JsonSchemaValue = {
            "type": "string",
            "format": "uri",
            "pattern": f"^{_schemes(names)}://{host}{_URL_PATH}$",
        }
        return made if most is None else made | {"maxLength": most}

    def multi_host_url_schema(self, schema: Any) -> JsonSchemaValue:
        """Allow one host or several."""
        user = "(?:[0-9a-z]{1,30}(?::[0-9A-Za-z]{1,30})?@)?"
        pattern = f"^{_schemes(schema.get('allowed_schemes'))}://{user}{_HOST}(?:,{_HOST}){{0,2}}{_URL_PATH}$"
        return {"type": "string", "pattern": pattern}

    def is_subclass_schema(self, schema: Any) -> JsonSchemaValue:
        """Refuse classes."""
        return self.handle_invalid_for_json_schema(schema, f"a subclass of {schema['cls'].__name__}")

    def _setting(self, name: str, *, default: Any = None) -> Any:
        """Return a setting of the model around the schema."""
        value = getattr(self._config, name, None)
        return default if value is None else value


def _add_pattern(schema: JsonSchemaValue, pattern: str) -> None:
    if "pattern" in schema:
        schema["allOf"] = [*schema.get("allOf", []), {"pattern": pattern}]
    else:
        schema["pattern"] = pattern


def _bound(schema: JsonSchemaValue, largest: float = _LARGEST_FLOAT) -> None:
    """Add bounds to a number where it does not have any that are closer."""
    for sign, inclusive, exclusive in ((-1, "minimum", "exclusiveMinimum"), (1, "maximum", "exclusiveMaximum")):
        given = [schema[name] * sign for name in (inclusive, exclusive) if name in schema]
        if not given or min(given) > largest:
            schema.pop(exclusive, None)
            schema[inclusive] = sign * _plain_number(largest)


def _floats(bounds: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_number(float(value)) for name, value in bounds.items() if math.isfinite(float(value))}


def _plain_number(value: float) -> float:
    """Return an integer as an integer, so that JSON does not show its decimal point."""
    return int(value) if float(value).is_integer() else value


def _of_digits(number: JsonSchemaValue, digits: int | None, places: int | None) -> list[JsonSchemaValue]:
    """Return the schemas of numbers with so many digits, and so many of them after the decimal point."""
    if digits is None and places is None:
        return [number]
    made = []
    for n in [places] if places is not None else range(min(digits or 0, _MOST_PLACES) + 1):
        limited = number | {"multipleOf": _plain_number(10.0 ** -min(n, _MOST_PLACES))}
        if digits is not None:
            _bound(limited, min(_LARGEST_FLOAT, 10 ** max(0, digits - n) - 10.0**-n))
        made.append(limited)
    return made


def _decimal_text(digits: int | None, places: int | None) -> str:
    if digits is None:
        return f"^-?(?:0|[1-9][0-9]{{0,29}}){_fraction(30 if places is None else places)}$"
    ways = []
    for n in range(digits + 1) if places is None else [places]:
        whole = digits - n
        ways.append((f"(?:0|[1-9][0-9]{{0,{whole - 1}}})" if whole > 0 else "0") + _fraction(n))
    return f"^-?(?:{'|'.join(ways)})$"


def _fraction(places: int) -> str:
    return f"(?:[.][0-9]{{1,{places}}})?" if places > 0 else ""


def _shifted(value: Any, by: timedelta) -> date | None:
    """Return the day of a bound, moved; None without a bound, or if it would leave the calendar."""
    if not isinstance(value, date):
        return None
    try:
        return (value.date() if isinstance(value, datetime) else value) + by
    except OverflowError:
        return None


def _last(*days: Any) -> date | None:
    return max((day for day in days if day is not None), default=None)


def _first(*days: Any) -> date | None:
    return min((day for day in days if day is not None), default=None)


def _date_bounds(low: date | None, high: date | None) -> JsonSchemaValue:
    if low is not None and high is not None and low > high:
        return {}  # no whole day is between them: the type checks the answer
    made = {"formatMinimum": low and low.isoformat(), "formatMaximum": high and high.isoformat()}
    return {name: value for name, value in made.items() if value is not None}


def _clock_bound(schema: Any, inclusive: str, exclusive: str) -> tuple[time | None, bool]:
    """Return the bound of a time without a zone, None without a bound, and whether it is a value itself."""
    for name in (exclusive, inclusive):
        bound = schema.get(name)
        if isinstance(bound, time) and bound.tzinfo is None:
            return bound, name == inclusive and not bound.microsecond
    return None, False


def _clock_pattern(low: time | None, high: time | None, ends: list[time]) -> str:
    """Return the pattern of the whole minutes between two times, and of those ends that are values themselves."""
    ways = [f"{end:%H:%M:%S}" for end in ends]
    first = 0 if low is None else low.hour * 60 + low.minute + 1
    last = 24 * 60 - 1 if high is None else high.hour * 60 + high.minute - 1
    if first <= last:
        ways.append(f"{between(*(f'{minute // 60:02}:{minute % 60:02}' for minute in (first, last)))}:[\\s\\S]*")
    return f"^(?:{'|'.join(ways)})$"


def _schemes(names: list[str] | None) -> str:
    return f"(?:{'|'.join(re.escape(name) for name in names)})" if names else "[a-z][0-9a-z]{1,9}"


def _takes(schema: CoreSchema, text: str) -> bool:
    """Return whether a type takes a JSON text; False for types that are named here and defined elsewhere."""
    try:
        SchemaValidator(schema).validate_json(text)
    except (ValidationError, SchemaError):
        return False
    return True


def _listed(made: JsonSchemaValue, schema: Any, values: list[Any]) -> JsonSchemaValue:
    """Drop the values of an enum that the type does not take when it reads JSON."""
    plain = [to_jsonable_python(value.value if isinstance(value, Enum) else value) for value in values]
    kept = [value for value in plain if _takes(schema, json.dumps(value))]
    if len(kept) == len(plain):
        return made
    if not kept:
        raise PydanticInvalidForJsonSchema(f"no value of {made.get('title', 'a Literal')} can be written as JSON")
    made.pop("const", None)
    return made | {"enum": kept}


def _alias_path(field: Any) -> list[str | int] | None:
    """Return where a field is read from, if that is not a property of its object."""
    alias = field.get("validation_alias")
    if not isinstance(alias, list) or not alias:
        return None
    paths: list[list[str | int]] = alias if isinstance(alias[0], list) else [alias]
    return None if any(len(path) == 1 for path in paths) else paths[0]


def _place_at(schema: JsonSchemaValue, path: list[str | int], value: JsonSchemaValue, *, required: bool) -> None:
    """Put a value's schema at a path inside an object's schema."""
    for step, following in zip(path, [*path[1:], None], strict=True):
        is_end = following is None
        inner = value if is_end else {"type": "object" if isinstance(following, str) else "array"}
        if isinstance(step, str):
            properties = schema.setdefault("properties", {})
            if required and step not in (names := schema.setdefault("required", [])):
                names.append(step)
            schema = properties[step] = inner if is_end else properties.get(step, inner)
        else:
            items = schema.setdefault("prefixItems", [])
            schema["items"] = False
            items += [{} for _ in range(step + 1 - len(items))]
            schema["minItems"] = max(schema.get("minItems", 0), step + 1 if required else 0)
            schema = items[step] = inner if is_end else (items[step] or inner)
