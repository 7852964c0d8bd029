"""The grammar that a JSON schema becomes."""

from __future__ import annotations

import functools
import json

from xlc_core.constraints import lark_text, schema_rewriting
from xlc_core.errors import ConstraintError

__all__ = ["schema_grammar", "schema_rule"]

# One space after commas and colons: weak models otherwise go on with white space until the answer is full.
_COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_FLEXIBLE = {"whitespace_flexible": True}


@functools.lru_cache(maxsize=128)
def schema_grammar(schema_text: str, *, is_type: bool, any_space: bool = False) -> str:
    """Return the Lark text that a schema becomes. The last 128 are remembered.

    Args:
        schema_text: the schema as JSON text.
        is_type: whether a type's parse() checks the answer too; then oneOf may be treated as anyOf, and keywords that
            no grammar can express may be ignored.
        any_space: whether any white space is allowed, as in texts from elsewhere.
    """
    rule = schema_rule(schema_text, is_type=is_type, any_space=any_space)
    if any_space:
        return lark_text.with_rules(f"start: SPACE? json SPACE?\njson: {rule}\nSPACE: /[ \\t\\r\\n]+/")
    return lark_text.with_rules(f"start: {rule}")


def schema_rule(schema_text: str, *, is_type: bool, any_space: bool = False) -> str:
    """Return the rule for one JSON value, to be part of a Lark text; see schema_grammar."""
    schema = json.loads(schema_text)
    options = schema.get("x-guidance", {})
    if not isinstance(options, dict):
        raise ConstraintError("the constraint is refused: /x-guidance must be an object")
    assumed = {"coerce_one_of": True, "lenient": True} if is_type else {}
    whitespace = _FLEXIBLE if any_space else _COMPACT
    rewritten = schema_rewriting.rewritten(schema, is_type=is_type, narrow=not any_space)
    rewritten["x-guidance"] = {**whitespace, **assumed, **options}
    return "%json " + json.dumps(rewritten, ensure_ascii=False)
