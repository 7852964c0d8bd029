"""Measure speculative decoding with a model on this machine: the inputs of the theory, and the real speedup."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from typing_extensions import Unpack

from xlc_core.benchmarking.speculation_report import Recommendation, SpeculationReport, SpeculationResult, as_code
from xlc_core.benchmarking.speculation_theory import VerifyCosts, acceptance, best_draft_length
from xlc_core.engine.engine import Engine
from xlc_core.engine.model_facts import read_facts
from xlc_core.errors import InvalidRequestError, ModelLoadError, UnsupportedFeatureError
from xlc_core.options.engine import EngineOptions
from xlc_core.options.kwargs import EngineKwargs
from xlc_core.options.speculation import DFlash, DraftModel, DSpark, Eagle3, Mtp, Ngram, Speculation
from xlc_core.results import Timings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["PROMPT_SETS", "SPECULATION_TYPES", "measure_speculation", "prompt_set"]

PROMPT_SETS = ("copy", "prose")
"""Prompts whose answers copy much of the prompt, and free prose."""

WORTH_IT = 1.05
"""Smallest speedup that is recommended: a smaller one may be noise."""

_NGRAM_KINDS = ("simple", "map-k", "map-k4v", "mod", "cache")
_HEADS = {"draft-simple": DraftModel, "draft-eagle3": Eagle3, "draft-dflash": DFlash, "draft-dspark": DSpark}
_NGRAM_LENGTHS = {"simple": 48, "map-k": 48, "map-k4v": 48, "mod": 64}  # llama.cpp's defaults of n_max
_NGRAM_MATCHES = {"simple": 12, "map-k": 12, "map-k4v": 12, "mod": 24}  # and of n_match

SPECULATION_TYPES = (*(f"ngram-{kind}" for kind in _NGRAM_KINDS), *_HEADS, "draft-mtp")
"""The types that can be measured, by llama.cpp's names."""

_CALIBRATED_LENGTHS = (1, 3, 7, 15, 31, 63)
_LONGEST_DRAFT = 16  # for draft models and heads
_N_STEPS = 4  # steps that measure the verification of one length
_N_PROMPT = 1024  # tokens that the longest prompt may have

Report = Callable[[str], object]


def prompt_set(name: str) -> list[str]:
    """Return the prompts of a set."""
    text = resources.files("xlc_core.benchmarking").joinpath("speculation_prompts.toml").read_text("utf-8")
    return [prompt.strip() for prompt in tomllib.loads(text)[name]["prompts"]]


def measure_speculation(
    model: str | Path | None = None,
    *,
    draft: str | Path | None = None,
    types: Sequence[str] | None = None,
    prompts: Sequence[str] = PROMPT_SETS,
    n_predict: int = 128,
    rounds: int = 1,
    progress: Report | None = None,
    **options: Unpack[EngineKwargs],
) -> SpeculationReport:
    """Measure how much speculation gains with a model on this machine.

    Opens the model once for each setting and runs each prompt with and without speculation, greedily and past the end
    token. Only the generation is timed. Then the draft length that the theory prefers is measured too. Blocks for
    minutes with a small model on a CPU. A speedup below 1.05 is not recommended: it may be noise.

    Args:
        model: path, catalog name or ``hf:`` name; None takes the name in ``XLLAMA_MODEL``.
        draft: a smaller model with the same vocabulary, or a head for the types that need one; None: only types that
            need neither.
        types: names from SPECULATION_TYPES; None: all kinds of n-grams, and ``draft-simple`` if there is a draft.
        prompts: names from PROMPT_SETS.
        n_predict: tokens to generate for each prompt, at least 8.
        rounds: number of repetitions; each opens the model again, so that no cache remains.
        progress: called with a text that names the next measurement; None: it is not reported.
        **options: fields of EngineOptions, for all engines.

    Returns:
        all measurements, and the fastest setting for each set of prompts.

    Raises:
        InvalidRequestError: a type or set is unknown, a draft is missing, or a number is out of range.
        ModelNotFoundError: the model does not exist.
        ModelLoadError: the model cannot be loaded. If only a type fails to start, the report says so instead.
    """
    settings = _settings(types, draft)
    if n_predict < 8 or rounds < 1:
        raise InvalidRequestError(f"n_predict must be at least 8 and rounds at least 1, got {n_predict} and {rounds}")
    for name in prompts:
        if name not in PROMPT_SETS:
            raise InvalidRequestError(f"unknown set of prompts {name!r}; choose from {', '.join(PROMPT_SETS)}")
    bench = _Bench(model, {name: prompt_set(name) for name in prompts}, n_predict, rounds, progress, options)
    bench.calibrate(max(_longest(setting) if isinstance(setting, Ngram) else _LONGEST_DRAFT for setting in settings))
    for setting in settings:
        bench.measure(setting)
    for setting in bench.refined():
        bench.measure(setting)
    return bench.report()


def _settings(types: Sequence[str] | None, draft: str | Path | None) -> list[Speculation]:
    if types is None:
        types = [f"ngram-{kind}" for kind in _NGRAM_KINDS] + (["draft-simple"] if draft is not None else [])
    settings: list[Speculation] = []
    for name in types:
        if name not in SPECULATION_TYPES:
            raise InvalidRequestError(f"unknown type {name!r}; choose from {', '.join(SPECULATION_TYPES)}")
        if name.startswith("ngram-"):
            settings.append(Ngram(name.removeprefix("ngram-")))
        elif name == "draft-mtp":
            settings.append(Mtp())
        elif draft is None:
            raise InvalidRequestError(f"{name} needs a draft model; set one with draft")
        else:
            settings.append(_HEADS[name](draft))
    if not settings:
        raise InvalidRequestError("there is no type to measure")
    return settings


def _longest(setting: Speculation) -> int:
    if isinstance(setting, Ngram):
        return setting.n_max or _NGRAM_LENGTHS.get(setting.kind, 8)
    return setting.n_max


@dataclass
class _Counts:
    """Sums over requests: seconds and steps without speculation, and all counters with it."""

    n_requests: int = 0
    n_tokens: int = 0
    seconds: float = 0.0
    plain_steps: int = 0
    plain_seconds: float = 0.0
    drafted: int = 0
    accepted: int = 0
    steps: int = 0

    def add(self, timings: Timings, plain: Timings) -> None:
        self.n_requests += 1
        self.n_tokens += timings.generation_tokens
        self.seconds += timings.generation_seconds
        self.plain_steps += plain.generation_tokens - 1
        self.plain_seconds += plain.generation_seconds
        self.drafted += timings.draft_tokens
        self.accepted += timings.draft_accepted
        self.steps += timings.draft_steps

    @property
    def undrafted(self) -> int:
        """Steps without a draft.

        A step with a draft yields its accepted tokens plus one. A request's first token comes with the prompt.
        """
        return max(0, self.n_tokens - self.n_requests - self.steps - self.accepted)

    @property
    def step_cost(self) -> float:
        """Time of a step with a draft, as a multiple of a step for one token."""
        seconds_per_token = self.plain_seconds / self.plain_steps
        return (self.seconds - self.undrafted * seconds_per_token) / self.steps / seconds_per_token


class _Bench:
    """Runs the measurements and keeps their results."""

    def __init__(
        self,
        model: str | Path | None,
        prompts: Mapping[str, list[str]],
        n_predict: int,
        rounds: int,
        progress: Report | None,
        options: EngineKwargs,
    ) -> None:
        self._model, self._prompts, self._n_predict, self._rounds = model, prompts, n_predict, rounds
        self._announce: Report = progress or (lambda text: None)
        n_ctx = _N_PROMPT + max(n_predict, _N_STEPS * (max(_CALIBRATED_LENGTHS) + 1))
        if (facts := read_facts(EngineOptions(model=model, n_parallel=1))) is not None:
            n_ctx = min(n_ctx, facts.n_ctx)
        self._options: EngineKwargs = {"n_ctx": n_ctx, "n_parallel": 1, **options}
        self._name = ""
        self._seconds_per_token = 0.0
        self._verify = VerifyCosts(())
        self._draft_costs: dict[str, float] = {}
        self._results: list[SpeculationResult] = []
        self._unavailable: dict[str, str] = {}

    def calibrate(self, longest: int) -> None:
        """Measure v(k) with drafts of fixed lengths, while the model copies a passage."""
        passage = prompt_set("repeated")[0]
        points, seconds, steps = [], 0.0, 0
        for length in _CALIBRATED_LENGTHS:
            self._announce(f"the cost of verifying {length + 1} tokens")
            counts = _Counts()
            # A match of few tokens suffices to find the passage; n_match may not exceed the length of a draft.
            with self._open(Ngram("simple", n_match=min(length, 3), n_max=length)) as engine:
                self._name = engine.info.name
                text = f"{passage}\n\n{passage}\n\n{passage}\n\n"
                self._complete(engine, text, 4, speculative=False)  # warms up
                for _ in range(self._rounds):
                    n_tokens = max(16, _N_STEPS * (length + 1)) + 1
                    plain = self._complete(engine, text, 17, speculative=False)
                    counts.add(self._complete(engine, text, n_tokens, speculative=True), plain)
            seconds, steps = seconds + counts.plain_seconds, steps + counts.plain_steps
            if counts.steps:
                points.append((1 + counts.drafted / counts.steps, counts.step_cost))
            if length >= longest:
                break
        self._seconds_per_token = seconds / steps
        self._verify = VerifyCosts(tuple(sorted(points)))

    def measure(self, setting: Speculation) -> None:
        """Measure one setting on all prompts; if it fails to start, record why."""
        self._announce(as_code(setting))
        counts = {name: _Counts() for name in self._prompts}
        try:
            for _ in range(self._rounds):
                with self._open(setting) as engine:
                    self._measure_round(engine, counts)
        except (ModelLoadError, UnsupportedFeatureError) as error:
            self._unavailable[setting.type_name] = str(error)
            return
        self._results += [self._result(name, setting, one) for name, one in counts.items()]

    def _measure_round(self, engine: Engine, counts: Mapping[str, _Counts]) -> None:
        self._ask(engine, "Hello", 8, speculative=False)  # warms up
        for name, prompts in self._prompts.items():
            for prompt in prompts:
                # With drafts first: some types remember earlier requests, and must not have seen the same answer.
                timings = self._ask(engine, prompt, self._n_predict, speculative=True)
                counts[name].add(timings, self._ask(engine, prompt, self._n_predict, speculative=False))

    def _result(self, prompts: str, setting: Speculation, counts: _Counts) -> SpeculationResult:
        speeds = {
            "n_tokens": counts.n_tokens,
            "tokens_per_second": (counts.n_tokens - counts.n_requests) / counts.seconds,
            "plain_tokens_per_second": counts.plain_steps / counts.plain_seconds,
        }
        if not counts.steps:
            return SpeculationResult(prompts, setting, **speeds)  # type: ignore[arg-type]
        length = counts.drafted / counts.steps
        verify_cost = self._verify.at(length + 1)
        return SpeculationResult(
            prompts, setting, **speeds,  # type: ignore[arg-type]
            draft_tokens=counts.drafted,
            draft_accepted=counts.accepted,
            draft_steps=counts.steps,
            acceptance=acceptance(1 + counts.accepted / counts.steps, length),
            draft_cost=self._draft_cost(setting, length, counts.step_cost - verify_cost),
            verify_cost=verify_cost,
            coverage=counts.steps / (counts.steps + counts.undrafted),
        )  # fmt: skip

    def _draft_cost(self, setting: Speculation, length: float, remainder: float) -> float:
        """Return c. n-grams: 0. Draft model: measured. Head: step cost minus verify cost (it cannot run alone)."""
        if isinstance(setting, Ngram):
            return 0.0
        if setting.type_name != "draft-simple":
            return max(0.0, remainder / length)
        assert isinstance(setting, DraftModel)
        name = str(setting.model)
        if name not in self._draft_costs:
            self._announce(f"the cost of drafting with {name}")
            options: EngineKwargs = {**self._options, "n_gpu_layers": setting.n_gpu_layers}
            with Engine(setting.model, progress=False, **options) as engine:
                self._ask(engine, "Hello", 8, speculative=False)
                timings = self._ask(engine, prompt_set("prose")[0], 64, speculative=False)
            per_token = timings.generation_seconds / (timings.generation_tokens - 1)
            self._draft_costs[name] = per_token / self._seconds_per_token
        return self._draft_costs[name]

    def refined(self) -> list[Speculation]:
        """Return the draft models, the heads and the best n-grams with the draft length that the theory prefers."""
        made: list[Speculation] = []
        for name in self._prompts:
            results = [result for result in self._results if result.prompts == name and result.draft_steps]
            ngrams = [one for one in results if isinstance(one.setting, Ngram) and one.setting.kind in _NGRAM_LENGTHS]
            best = [max(ngrams, key=lambda one: one.speedup)] if ngrams else []
            for result in [*best, *(one for one in results if not isinstance(one.setting, Ngram))]:
                longest = _longest(result.setting) if isinstance(result.setting, Ngram) else _LONGEST_DRAFT
                length = best_draft_length(result.acceptance, result.draft_cost, self._verify, longest)
                setting = _with_length(result.setting, length)
                if length != _longest(result.setting) and setting not in made:
                    made.append(setting)
        return made

    def report(self) -> SpeculationReport:
        """Return the results and the recommendations."""
        recommendations = []
        for name in self._prompts:
            results = [result for result in self._results if result.prompts == name]
            best = max(results, key=lambda one: one.speedup, default=None)
            if best is not None and best.draft_steps and best.speedup >= WORTH_IT:
                recommendations.append(Recommendation(name, best.setting, best.speedup))
            else:
                recommendations.append(Recommendation(name, None, 1.0))
        return SpeculationReport(
            model=self._name,
            n_predict=self._n_predict,
            seconds_per_token=self._seconds_per_token,
            verify_costs=self._verify,
            results=tuple(self._results),
            recommendations=tuple(recommendations),
            unavailable=self._unavailable,
        )

    def _open(self, setting: Speculation) -> Engine:
        options: EngineKwargs = {**self._options, "speculation": setting}
        return Engine(self._model, progress=False, **options)

    def _ask(self, engine: Engine, prompt: str, n_tokens: int, *, speculative: bool) -> Timings:
        if not engine.info.has_chat_template:
            return self._complete(engine, f"{prompt}\n\n", n_tokens, speculative=speculative)
        answer = engine.chat(prompt, max_tokens=n_tokens, temperature=0.0, ignore_eos=True, speculative=speculative)
        return answer.timings

    def _complete(self, engine: Engine, text: str, n_tokens: int, *, speculative: bool) -> Timings:
        answer = engine.complete(text, max_tokens=n_tokens, temperature=0.0, ignore_eos=True, speculative=speculative)
        return answer.timings


def _with_length(setting: Speculation, length: int) -> Speculation:
    """Copy the setting with another draft length.

    n_match may not exceed the length, since llama.cpp drafts at least n_match tokens.
    """
    changes: dict[str, object] = {"n_max": length}
    if isinstance(setting, Ngram):
        changes["n_match"] = min(_NGRAM_MATCHES[setting.kind], length)
        if setting.kind == "mod":
            changes["n_min"] = min(48, length)
    return setting.model_copy(update=changes)
