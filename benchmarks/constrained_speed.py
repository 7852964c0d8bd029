"""Compares the speed of constrained answers of SmolLM2 with that of free answers with as many tokens, in turns."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from settings import Settings
from tables import spread, write_section

import xlc_core as xlc
from constraints import RESULTS, TITLE

PROMPT = "Describe a person as JSON, with all details you can think of."
WARM_UP_ROUNDS = 2
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3, "maxLength": 40},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "email": {"type": "string", "format": "email"},
        "city": {"type": "string", "maxLength": 40},
        "biography": {"type": "string", "minLength": 60, "maxLength": 200},
        "skills": {"type": "array", "items": {"type": "string", "maxLength": 20}, "minItems": 2, "maxItems": 4},
        "active": {"type": "boolean"},
        "score": {"type": "number", "minimum": 0, "maximum": 10},
        "joined": {"type": "string", "format": "date"},
        "level": {"enum": ["junior", "senior", "principal"]},
    },
    "additionalProperties": False,
}
SCHEMA["required"] = list(SCHEMA["properties"])


BOOKING = xlc.Tool(
    name="book_room",
    description="Book a room in a hotel.",
    parameters={
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 40},
            "guest": {"type": "string", "maxLength": 40},
            "arrival": {"type": "string", "format": "date"},
            "nights": {"type": "integer", "minimum": 1, "maximum": 30},
            "room": {"enum": ["single", "double", "suite"]},
        },
        "required": ["city", "guest", "arrival", "nights", "room"],
    },
)


@dataclass
class Figures:
    """Tokens per second of one side, one figure per round.

    Attributes:
        generation: by the engine's timings, without the prompt.
        whole: for the whole call.
    """

    generation: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)

    def add(self, completion: xlc.Completion, seconds: float) -> None:
        """Add the figures of a round."""
        self.generation.append(completion.timings.generation_tokens_per_second)
        self.whole.append(completion.usage.completion_tokens / seconds)


@dataclass(frozen=True)
class Case:
    """An answer that is constrained.

    Attributes:
        title: its name in the document.
        prompt: the question.
        options: constrain it.
        free_options: let it be free, with the same prompt.
    """

    title: str
    prompt: str
    options: dict[str, Any]
    free_options: dict[str, Any]


CASES = (
    Case("an object of 10 fields", PROMPT, {"constraint": xlc.JsonSchema(SCHEMA)}, {}),
    Case(
        "a call with 5 arguments",
        "Book a room in Paris for Ann.",
        {"tools": [BOOKING], "tool_choice": "required"},
        {"tools": [BOOKING], "tool_choice": "none"},
    ),
)


def measure(engine: xlc.Engine, case: Case, n_rounds: int, temperature: float) -> tuple[Figures, Figures, list[int]]:
    """Return the figures without and with a constraint, and the length of each round's answers."""
    free, constrained, lengths = Figures(), Figures(), []
    for number in range(-WARM_UP_ROUNDS, n_rounds):
        # Both sides have the same seed and a prompt that is never cached, so that only the constraint differs.
        common: dict[str, Any] = {"temperature": temperature, "seed": number + 100, "cache_prompt": False}
        start = time.perf_counter()
        bound = engine.chat(case.prompt, max_tokens=400, parallel_tool_calls=False, **case.options, **common)
        bound_seconds = time.perf_counter() - start
        n_tokens = bound.usage.completion_tokens
        start = time.perf_counter()
        unbound = engine.chat(case.prompt, max_tokens=n_tokens, ignore_eos=True, **case.free_options, **common)
        unbound_seconds = time.perf_counter() - start
        if number >= 0:
            constrained.add(bound, bound_seconds)
            free.add(unbound, unbound_seconds)
            lengths.append(n_tokens)
    return free, constrained, lengths


def ratio(constrained: list[float], free: list[float]) -> str:
    return spread([ours / theirs for ours, theirs in zip(constrained, free, strict=True)], 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="rounds that count (default: %(default)s)")
    parser.add_argument("--temperature", type=float, default=1.0, help="default: %(default)s")
    parser.add_argument("--write", action="store_true", help=f"put the table into docs/{RESULTS.name}")
    options = parser.parse_args()
    rows = ["| | without | with | ratio | target |", "| --- | ---: | ---: | ---: | ---: |"]
    with xlc.Engine("smollm2-135m-instruct", n_ctx=1024, n_parallel=1) as engine:
        for case in CASES:
            free, constrained, lengths = measure(engine, case, options.rounds, options.temperature)
            rows += [
                f"| {case.title}, {min(lengths)}–{max(lengths)} tokens: tokens/s of generation | "
                f"{spread(free.generation, 1)} | {spread(constrained.generation, 1)} | "
                f"{ratio(constrained.generation, free.generation)} | ≥ 1.0 |",
                f"| tokens/s of the whole request, with prompt and compilation | {spread(free.whole, 1)} | "
                f"{spread(constrained.whole, 1)} | {ratio(constrained.whole, free.whole)} | |",
            ]
    text = (
        "## Speed of constrained generation\n\nSmolLM2-135M-Instruct writes an object, or calls a tool, "
        f"{options.rounds} rounds at temperature {options.temperature:g}; each answer is followed by\none of as many "
        "tokens without the constraint, to the same prompt. Medians, least and greatest in brackets; ratios are\ntaken "
        "within a round.\n\n"
        "    python benchmarks/constrained_speed.py\n\n" + "\n".join(rows) + f"\n\n{Settings().machine}"
    )
    print(text)
    if options.write:
        if not RESULTS.exists():
            Path(RESULTS).write_text(TITLE, "utf-8")
        write_section(RESULTS, "speed", text)


if __name__ == "__main__":
    main()
