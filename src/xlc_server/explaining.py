"""``/constraints/explain``: how far a text satisfies a constraint, and what may follow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field

from xlc_core import Constraint, Explanation, Gbnf, JsonSchema, Lark, Regex, RequestTimeoutError
from xlc_server.errors import ApiError
from xlc_server.service import Body, Service

__all__ = ["ExplainBody", "answer_explanation"]

_LONGEST = 1 << 16
"""Characters of a constraint or a text. A schema of this size may take some seconds."""

_CONTROL = b"\xff"
"""The byte with which the core begins the name of a control token."""

_KINDS: dict[str, Callable[[Any], Constraint]] = {
    "json_schema": JsonSchema,
    "regex": Regex,
    "gbnf": Gbnf,
    "lark": Lark,
}


class ExplainBody(Body):
    """A constraint, and the beginning of an answer or a whole one."""

    kind: Literal["json_schema", "regex", "gbnf", "lark"] = "json_schema"
    constraint: str | dict[str, Any]
    text: str = Field("", max_length=_LONGEST)

    def checked_constraint(self) -> Constraint:
        """Return the constraint.

        Raises:
            ApiError: it is too large, or not a text where it must be one.
            ConstraintError: it is malformed.
        """
        if isinstance(self.constraint, dict) and self.kind != "json_schema":
            raise ApiError(400, f"constraint: it must be a text, as kind is {self.kind!r}", param="constraint")
        made = _KINDS[self.kind](self.constraint)
        size = len(made.text if isinstance(made, JsonSchema) else self.constraint)
        if size > _LONGEST:
            message = f"constraint: it has {size} characters; at most {_LONGEST} are explained here"
            raise ApiError(400, message, param="constraint")
        return made


async def answer_explanation(service: Service, body: ExplainBody) -> Mapping[str, Any]:
    """Return how far a text satisfies a constraint, and the tokens that may follow."""
    constraint, timeout = body.checked_constraint(), service.options.timeout
    with await service.engine(body) as lease:
        working = asyncio.to_thread(lease.engine.explain, constraint, body.text)
        try:
            found = await asyncio.wait_for(working, timeout)
        except asyncio.TimeoutError:
            raise RequestTimeoutError(f"the constraint was not compiled within {timeout:g} s") from None
    return {"model": service.model_name(body), **_explained(found, body.text)}


def _explained(found: Explanation, text: str) -> dict[str, Any]:
    allowed = text.encode()[: found.n_bytes].decode("utf-8", "ignore")  # whole characters
    return {
        "accepted": found.accepted,
        "complete": found.complete,
        "n_bytes": found.n_bytes,
        "allowed": allowed,
        "refused": text[len(allowed) :],
        "expected": [_token(token) for token in found.expected],
    }


def _token(token: bytes) -> dict[str, Any]:
    is_control = token.startswith(_CONTROL)
    token = token.removeprefix(_CONTROL)
    return {"token": token.decode("utf-8", "replace"), "bytes": list(token), "is_control": is_control}
