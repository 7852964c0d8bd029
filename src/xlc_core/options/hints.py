"""Advice for an unknown option's name: the name that is meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from xlc_core.options.foreign_names import ENGINE_NAMES, REQUEST_NAMES, RETRIEVAL_NAMES, ForeignName

if TYPE_CHECKING:
    from xlc_core.options.base import NativeOptions, Options

__all__ = ["hint_for", "hint_for_field", "known_to"]

_NEAR = 0.75  # of 1; names less alike than this are probably not a slip of the finger
_TABLES: Mapping[str, tuple[Mapping[str, ForeignName], ...]] = {
    "request": (REQUEST_NAMES, ENGINE_NAMES, RETRIEVAL_NAMES),
    "engine": (ENGINE_NAMES, REQUEST_NAMES, RETRIEVAL_NAMES),
    "retrieval": (RETRIEVAL_NAMES, REQUEST_NAMES, ENGINE_NAMES),
}


def hint_for(name: str, value: Any, options: type[Options]) -> str:
    """Return the advice for an unknown name, or an empty text.

    Args:
        name: the unknown name.
        value: its value, which is translated where that is simple.
        options: the options that do not have it.
    """
    scope = getattr(options, "scope", "")
    if not scope:  # a message, a LoRA file…: other options have nothing to do with it
        return _nearest(name, options.model_fields)
    own, *others = _TABLES[scope]
    if name in own:
        return _translation(own[name], value, options)
    if (owner := known_to(name)) is not None:
        return f"it is an option of {owner.used_by}"
    for table in others:
        if name in table:
            return _translation(table[name], value, options)
    return _nearest(name, options.model_fields)


def hint_for_field(name: str, value: Any, fields: Collection[str]) -> str:
    """Return the advice for an unknown name of a framework's model, or an empty text.

    Args:
        name: the unknown name.
        value: its value.
        fields: the model's own fields. Other options of the engine go into its ``engine_options``.
    """
    tables = (REQUEST_NAMES, ENGINE_NAMES, RETRIEVAL_NAMES)
    foreign = next((table[name] for table in tables if name in table), None)
    if foreign is None and known_to(name) is not None:
        foreign = ForeignName(name, repr)
    if foreign is None:
        return _nearest(name, fields)
    if not foreign.ours or foreign.ours.startswith("Engine."):
        return "" if foreign.ours else foreign.note
    text = _translated(foreign, value)
    owner = known_to(foreign.ours)
    if foreign.ours not in fields and owner is not None and owner.scope == "engine":
        return f"use engine_options={{{foreign.ours!r}: {text or '…'}}}"
    return f"use {foreign.ours}" if text is None else f"use {foreign.ours}={text}"


def known_to(name: str) -> type[NativeOptions] | None:
    """Return the options of an engine, a request or retrieval that have a field of this name, the most general ones."""
    from xlc_core.options.base import NativeOptions

    return next((one for one in NativeOptions.with_scope if name in one.model_fields), None)


def _nearest(name: str, fields: Collection[str]) -> str:
    near = difflib.get_close_matches(name, fields, n=1, cutoff=_NEAR)
    return f"did you mean {near[0]!r}?" if near else ""


def _translated(foreign: ForeignName, value: Any) -> str | None:
    try:
        return None if foreign.value is None else foreign.value(value)
    except (ArithmeticError, ValueError):  # infinity as an integer, or an integer of more digits than Python writes
        return None


def _translation(foreign: ForeignName, value: Any, options: type[Options]) -> str:
    if not foreign.ours:
        return foreign.note
    text = _translated(foreign, value)
    hint = f"use {foreign.ours}" if text is None else f"use {foreign.ours}={text}"
    if foreign.ours not in options.model_fields and (owner := known_to(foreign.ours)) is not None:
        hint += f", an option of {owner.used_by}"
    return f"{hint} ({foreign.note})" if foreign.note else hint
