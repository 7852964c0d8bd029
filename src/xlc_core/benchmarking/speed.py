"""Measure a model on this machine: reading prompts, generating, several requests at once, embedding, reranking."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from xlc_core.benchmarking.speculation import prompt_set
from xlc_core.engine.engine import Engine
from xlc_core.errors import InvalidRequestError
from xlc_core.options.kwargs import EngineKwargs

__all__ = ["SpeedFigure", "SpeedReport", "measure_speed"]

_N_WORDS = 150  # of a text to embed or rank


@dataclass(frozen=True)
class SpeedFigure:
    """One measured figure.

    Attributes:
        name: what was measured, such as ``"prompt"``.
        unit: such as ``"tokens/s"``.
        values: one for each round, in the order of the rounds.
    """

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.values)


@dataclass(frozen=True)
class SpeedReport:
    """The figures of a model on this machine.

    Attributes:
        model: its name.
        description: llama.cpp's description, with the type of the weights.
        load_seconds: seconds until it was open, with its file in the system's cache or not.
        memory_bytes: bytes that it takes, on all devices.
        figures: what was measured.
    """

    model: str
    description: str
    load_seconds: float
    memory_bytes: int
    figures: tuple[SpeedFigure, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values, with the medians."""
        figures = [{**asdict(one), "values": list(one.values), "median": one.median} for one in self.figures]
        return {**asdict(self), "figures": figures}


def measure_speed(
    model: str | Path | None = None,
    *,
    n_prompt: int = 512,
    n_predict: int = 64,
    n_requests: int = 8,
    n_texts: int = 32,
    rounds: int = 3,
    progress: Callable[[str], object] | None = None,
    **options: Unpack[EngineKwargs],
) -> SpeedReport:
    """Measure a model on this machine. A first round, which warms everything up, does not count.

    Opens the model in this process, and blocks until all is measured: ``rounds + 1`` times as long as one round.

    Args:
        model: path, catalog name or ``hf:`` name; None takes the name in ``XLLAMA_MODEL``.
        n_prompt: tokens of the prompt, as far as the context holds them; none of them are cached.
        n_predict: tokens of each answer, past the end token.
        n_requests: requests that are generated together.
        n_texts: texts to embed in one call, or documents to rank for one query, of 150 words each.
        rounds: repetitions.
        progress: is called with what is being measured, a text; None: it is not reported.
        **options: fields of EngineOptions.

    Returns:
        a figure for each thing that the model can do, with a value for each round.

    Raises:
        InvalidRequestError: a number is below 1.
        XllamaError: the errors of Engine.
    """
    numbers = {"n_prompt": n_prompt, "n_predict": n_predict, "n_requests": n_requests, "n_texts": n_texts}
    for name, number in {**numbers, "rounds": rounds}.items():
        if number < 1:
            raise InvalidRequestError(f"{name} must be at least 1, got {number}")
    tell = progress or (lambda _: None)
    begin = time.perf_counter()
    with Engine(model, progress=False, **options) as engine:
        load_seconds = time.perf_counter() - begin
        work: list[Callable[[int], dict[tuple[str, str], float]]] = []
        if engine.info.can_rerank:
            work.append(lambda n: _rank(engine, n_texts, n))
        elif engine.info.can_generate and not engine.options.pooling:
            work.append(lambda n: _generate(engine, n_prompt, n_predict, n))
            work.append(lambda n: _generate_together(engine, n_requests, n_predict, n))
        else:
            work.append(lambda n: _embed(engine, n_texts, n))
        found: dict[tuple[str, str], list[float]] = {}
        for number in range(rounds + 1):
            tell("warming up" if number == 0 else f"round {number} of {rounds}")
            for measure in work:
                for key, value in measure(number).items():
                    found.setdefault(key, []).append(value)
        figures = tuple(SpeedFigure(name, unit, tuple(values[1:])) for (name, unit), values in found.items())
        memory = engine.memory().total
        return SpeedReport(engine.info.name, engine.info.description, load_seconds, memory, figures)


def _generate(engine: Engine, n_prompt: int, n_predict: int, number: int) -> dict[tuple[str, str], float]:
    n_prompt = min(n_prompt, engine.info.n_ctx - n_predict - 8)
    tokens = engine.tokenize(f"{number}. " + " ".join(prompt_set("prose")) * (1 + n_prompt // 50))
    prompt = engine.detokenize(tokens[:n_prompt])
    timings = engine.complete(
        prompt, max_tokens=n_predict, ignore_eos=True, temperature=0.0, cache_prompt=False
    ).timings
    return {
        ("prompt", "tokens/s"): timings.prompt_tokens_per_second,
        ("generation", "tokens/s"): timings.generation_tokens_per_second,
        ("first token after the prompt", "ms"): timings.prompt_seconds * 1000,
    }


def _generate_together(engine: Engine, n_requests: int, n_predict: int, number: int) -> dict[tuple[str, str], float]:
    prompts = [f"Story {number}.{n}: Once upon a time" for n in range(n_requests)]
    begin = time.perf_counter()
    streams = [
        engine.stream_complete(prompt, max_tokens=n_predict, ignore_eos=True, temperature=0.0) for prompt in prompts
    ]
    n_tokens = sum(stream.result().usage.completion_tokens for stream in streams)
    return {(f"{n_requests} requests together", "tokens/s"): n_tokens / (time.perf_counter() - begin)}


def _texts(n_texts: int, number: int) -> list[str]:
    words = (" ".join(prompt_set("prose")) + " ").split() * 20
    return [f"{number}.{n} " + " ".join(words[n : n + _N_WORDS]) for n in range(n_texts)]


def _embed(engine: Engine, n_texts: int, number: int) -> dict[tuple[str, str], float]:
    texts = _texts(n_texts, number)
    begin = time.perf_counter()
    engine.embed(texts, truncate="end")
    end = time.perf_counter()
    engine.embed([f"the price of {number} apples"])
    return {
        ("embedding", "texts/s"): n_texts / (end - begin),
        ("one short query", "ms"): (time.perf_counter() - end) * 1000,
    }


def _rank(engine: Engine, n_texts: int, number: int) -> dict[tuple[str, str], float]:
    begin = time.perf_counter()
    engine.rerank(f"the price of {number} apples", _texts(n_texts, number), truncate="end")
    return {("reranking", "pairs/s"): n_texts / (time.perf_counter() - begin)}
