"""The results of the benchmark of speculative decoding."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xlc_core.benchmarking.speculation_theory import VerifyCosts, overall_speedup, theoretical_speedup
from xlc_core.options.speculation import DraftModel, Mtp, Ngram, Speculation

__all__ = ["Recommendation", "SpeculationReport", "SpeculationResult", "as_code"]


def as_code(setting: Speculation) -> str:
    """Return a setting as Python code, with the options that differ from the defaults and a draft model's ``n_max``."""
    first = "kind" if isinstance(setting, Ngram) else "model"
    chosen = getattr(setting, first)
    arguments = [] if chosen is None else [repr(str(chosen))]
    for name, field_ in type(setting).model_fields.items():
        value = getattr(setting, name)
        if name != first and (value != field_.default or (name == "n_max" and isinstance(setting, (DraftModel, Mtp)))):
            arguments.append(f"{name}={value!r}")
    return f"{type(setting).__name__}({', '.join(arguments)})".replace("'", '"')


@dataclass(frozen=True)
class SpeculationResult:
    """One setting on one set of prompts.

    Attributes:
        prompts: name of the set.
        setting: the setting that drafted.
        n_tokens: tokens generated with speculation, over all prompts.
        tokens_per_second: tokens generated in a second with speculation.
        plain_tokens_per_second: speed of the same requests on the same engine without it, measured in turns.
        draft_tokens: tokens drafted.
        draft_accepted: number of drafted tokens that were right.
        draft_steps: steps that verified a draft.
        acceptance: α, the probability that a drafted token is right if those before it are.
        draft_cost: c, the time to draft one token, as a multiple of a step for one token.
        verify_cost: v(γ+1) at the mean length of the drafts.
        coverage: share of the steps that verified a draft.
    """

    prompts: str
    setting: Speculation
    n_tokens: int
    tokens_per_second: float
    plain_tokens_per_second: float
    draft_tokens: int = 0
    draft_accepted: int = 0
    draft_steps: int = 0
    acceptance: float = 0.0
    draft_cost: float = 0.0
    verify_cost: float = 1.0
    coverage: float = 0.0

    @property
    def draft_length(self) -> float:
        """γ, the mean length of the drafts; 0 without drafts."""
        return self.draft_tokens / self.draft_steps if self.draft_steps else 0.0

    @property
    def speedup(self) -> float:
        """Speed with speculation as a multiple of the speed without it."""
        return self.tokens_per_second / self.plain_tokens_per_second if self.plain_tokens_per_second else 0.0

    @property
    def theoretical_speedup(self) -> float:
        """E / (γc + v(γ+1)) with E = (1 − α^(γ+1)) / (1 − α): the speedup of the steps with a draft; 1 without drafts.

        By Leviathan and others (2023), who take v as 1.
        """
        if not self.draft_steps:
            return 1.0
        return theoretical_speedup(self.acceptance, self.draft_length, self.draft_cost, self.verify_cost)

    @property
    def expected_speedup(self) -> float:
        """The theoretical speedup over all steps, also those without a draft; ``speedup`` should be close to it."""
        if not self.draft_steps:
            return 1.0
        costs = (self.draft_cost, self.verify_cost)
        return overall_speedup(self.acceptance, self.draft_length, *costs, self.coverage)


@dataclass(frozen=True)
class Recommendation:
    """The recommended setting for one set of prompts.

    Attributes:
        prompts: name of the set.
        setting: the fastest setting; None if none gains enough.
        speedup: the setting's speedup; 1 for None.
    """

    prompts: str
    setting: Speculation | None
    speedup: float


@dataclass(frozen=True)
class SpeculationReport:
    """All measurements, and the recommendations that follow from them.

    Attributes:
        model: name of the model.
        n_predict: tokens that were generated for each prompt.
        seconds_per_token: seconds of one step for one token.
        verify_costs: v(k).
        results: one for each setting and set of prompts.
        recommendations: one for each set of prompts.
        unavailable: types that failed to start with this model, and why.
    """

    model: str
    n_predict: int
    seconds_per_token: float
    verify_costs: VerifyCosts
    results: tuple[SpeculationResult, ...]
    recommendations: tuple[Recommendation, ...]
    unavailable: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "model": self.model,
            "n_predict": self.n_predict,
            "seconds_per_token": self.seconds_per_token,
            "verify_costs": [{"tokens": k, "cost": cost} for k, cost in self.verify_costs.measured],
            "results": [_plain_result(result) for result in self.results],
            "recommendations": [
                {"prompts": one.prompts, "setting": _plain_setting(one.setting), "speedup": one.speedup}
                for one in self.recommendations
            ],
            "unavailable": self.unavailable,
        }


def _plain_result(result: SpeculationResult) -> dict[str, Any]:
    derived = ("draft_length", "speedup", "theoretical_speedup", "expected_speedup")
    values = {name: value for name, value in vars(result).items() if name != "setting"}
    return {**values, "setting": _plain_setting(result.setting), **{name: getattr(result, name) for name in derived}}


def _plain_setting(setting: Speculation | None) -> dict[str, Any] | None:
    if setting is None:
        return None
    return {"type": setting.type_name, "code": as_code(setting), **setting.model_dump(mode="json", exclude_none=True)}
