"""The fields of a body: of a JSON object, of a JSON list, or of a request without a body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from xlc_server.errors import ApiError
from xlc_server.sending import Scope

__all__ = ["Reader", "read_list", "read_nothing", "read_object"]


@dataclass(frozen=True)
class Reader:
    """Reads the fields of a body.

    Attributes:
        media_type: the type of the body; empty without a body.
        read: returns the fields of a request, from its scope and its body.
        whole: the field that is the whole body; empty if the body is an object of all fields.
    """

    media_type: str
    read: Callable[[Scope, bytes], dict[str, Any]]
    whole: str = ""

    @property
    def is_object(self) -> bool:
        """Whether the body is an object of all fields."""
        return bool(self.media_type) and not self.whole


def _object(_: Scope, body: bytes) -> dict[str, Any]:
    fields = _from_json(body)
    if not isinstance(fields, dict):
        raise ApiError(400, "the body must be a JSON object", code="invalid_json")
    return fields


def read_list(field: str) -> Reader:
    """Return a reader of a JSON list, which becomes one field."""

    def read(_: Scope, body: bytes) -> dict[str, Any]:
        items = _from_json(body)
        if not isinstance(items, list):
            raise ApiError(400, "the body must be a JSON list", code="invalid_json")
        return {field: items}

    return Reader("application/json", read, field)


def _from_json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, f"the body is not JSON: {error}", code="invalid_json") from None


read_object = Reader("application/json", _object)
read_nothing = Reader("", lambda _, __: {})
