"""Judges one schema after the other, on command, in a process that may crash or hang without harm to the others.

Reads one task per line as JSON and answers with one line; ``constraint_corpus.py`` describes them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import xlc_core as xlc
from xlc_core import _native
from xlc_core.constraints.checking import llguidance_library
from xlc_core.constraints.property_order import accepted_in_some_order
from xlc_core.constraints.reading import plain_json
from xlc_core.constraints.tool_arguments import tool_arguments

_MASK_SECONDS = 0.3  # limit for the GBNF masks of a schema; each takes milliseconds in llama.cpp


def _constraint(engine: str, schema: Any) -> xlc.Constraint:
    if engine == "llguidance":
        return xlc.JsonSchema(schema)
    if engine in ("tool", "open tool"):
        given = _opened(schema) if engine == "open tool" else schema
        return xlc.JsonSchema(tool_arguments("tool", json.dumps(given, ensure_ascii=False)).schema)
    return xlc.Gbnf(_native.schema_to_gbnf(json.dumps(schema, ensure_ascii=False)))


def _opened(schema: Any) -> Any:
    """Return the schema in which each object may have further properties, unless it says whether."""
    if isinstance(schema, list):
        return [_opened(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: value if name in ("const", "default", "enum") else _opened(value) for name, value in schema.items()}
    return {**kept, "additionalProperties": True} if _is_open(kept) else kept


def _is_open(schema: dict[str, Any]) -> bool:
    return isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema


def _judge(engine: str, schema: Any, texts: list[str], report: Callable[[dict[str, Any]], None]) -> None:
    start = time.perf_counter()
    try:
        constraint = _constraint(engine, schema)
        constraint.check()
    except xlc.ConstraintError as error:
        report({"refused": str(error), "seconds": time.perf_counter() - start})
        return
    compiled = time.perf_counter() - start
    # JsonSchema.accepts() allows any order of properties, so Gbnf may try other orders too.
    accepts = constraint.accepts
    if engine == "gbnf":
        accepts = partial(accepted_in_some_order, constraint.explain)
    accepted = [accepts(text) for text in map(plain_json, texts)]
    report({"accepted": accepted, "compile": compiled, "seconds": time.perf_counter() - start})


def _time(engine: str, schema: Any, texts: list[str], every: int, vocab: _native.VocabFile) -> list[float]:
    kind, grammar = _constraint(engine, schema).grammar()
    seconds: list[float] = []
    start = time.perf_counter()
    for text in texts:
        try:
            seconds += _native.time_masks(kind, grammar, text, vocab, every)
        except xlc.ConstraintError:
            break
        if engine == "gbnf" and time.perf_counter() - start > _MASK_SECONDS:
            break
    return seconds


def main() -> None:
    def report(answer: dict[str, Any]) -> None:
        sys.__stdout__.write(json.dumps(answer) + "\n")  # type: ignore[union-attr]
        sys.__stdout__.flush()  # type: ignore[union-attr]

    engine, vocab_path = sys.argv[1:]
    vocab = None
    _native.set_llguidance_path(llguidance_library())
    report({"ready": True})
    for line in sys.stdin:
        task = json.loads(line)
        if task["what"] == "judge":
            _judge(engine, task["schema"], task["texts"], report)
        else:
            if vocab is None:
                vocab = _native.VocabFile.open(vocab_path)
                _native.time_masks("lark", "%llguidance {}\nstart: /a/", "a", vocab)  # reads the vocabulary
            report({"masks": _time(engine, task["schema"], task["texts"], task["every"], vocab)})


if __name__ == "__main__":
    main()
