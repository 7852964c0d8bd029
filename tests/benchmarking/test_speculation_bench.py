"""`xllama bench speculation`: the formulas by known values, and a short measurement with the real model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import xlc_core as xlc
from xlc_core.benchmarking import SpeculationReport, SpeculationResult, VerifyCosts, measure_speculation
from xlc_core.benchmarking import speculation as bench
from xlc_core.benchmarking.speculation_report import as_code
from xlc_core.benchmarking.speculation_theory import (
    acceptance,
    best_draft_length,
    expected_tokens,
    overall_speedup,
    theoretical_speedup,
)
from xlc_core.cli import main

MODEL = "smollm2-135m-instruct"
TINY_MODEL = str(Path(__file__).parents[1] / "model_files" / "llama.gguf")
LIST = "Copy this list:\n" + "\n".join(f"* item {number}: the quick brown fox number {number}" for number in range(12))


def test_step_yields_what_theory_says() -> None:
    assert expected_tokens(0.8, 4) == pytest.approx(3.3616)  # 1 + 0.8 + 0.64 + 0.512 + 0.4096
    assert expected_tokens(0.0, 7) == 1
    assert expected_tokens(1.0, 7) == 8
    assert expected_tokens(0.5, 1) == pytest.approx(1.5)


@pytest.mark.parametrize("alpha", [0.05, 0.5, 0.93])
@pytest.mark.parametrize("gamma", [1, 3.5, 48])
def test_acceptance_is_found_back(alpha: float, gamma: float) -> None:
    assert acceptance(expected_tokens(alpha, gamma), gamma) == pytest.approx(alpha, abs=1e-6)


def test_acceptance_at_its_ends() -> None:
    assert acceptance(1.0, 4) == pytest.approx(0, abs=1e-6)
    assert acceptance(5.0, 4) == pytest.approx(1, abs=1e-6)


def test_speedups() -> None:
    assert theoretical_speedup(0.8, 4, 0.1, 1.2) == pytest.approx(3.3616 / 1.6)
    assert overall_speedup(0.8, 4, 0.1, 1.2, coverage=1) == pytest.approx(theoretical_speedup(0.8, 4, 0.1, 1.2))
    assert overall_speedup(0.8, 4, 0.1, 1.2, coverage=0) == 1
    # Of two steps one has a draft: 4.3616 tokens in the time of 2.6 steps.
    assert overall_speedup(0.8, 4, 0.1, 1.2, coverage=0.5) == pytest.approx(4.3616 / 2.6)


def test_verify_costs_lie_on_lines() -> None:
    costs = VerifyCosts(((3.0, 2.0), (5.0, 3.0)))
    assert [costs.at(k) for k in (1, 2, 3, 4, 5, 9)] == pytest.approx([1, 1.5, 2, 2.5, 3, 5])
    assert VerifyCosts(()).at(7) == 1


def test_best_length_depends_on_acceptance_and_cost() -> None:
    free = VerifyCosts(((64.0, 1.0),))
    dear = VerifyCosts(((64.0, 64.0),))
    assert best_draft_length(0.9, 0.0, free, 20) == 20  # nothing costs anything
    assert best_draft_length(0.9, 0.0, dear, 20) == 1  # each token costs a step
    assert 1 < best_draft_length(0.8, 0.1, free, 20) < 20


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        (xlc.Ngram("simple"), 'Ngram("simple")'),
        (xlc.Ngram("mod", n_match=3, n_max=4), 'Ngram("mod", n_match=3, n_max=4)'),
        (xlc.DraftModel("small"), 'DraftModel("small", n_max=3)'),
        (xlc.Eagle3("head", n_max=5, p_min=0.5), 'Eagle3("head", n_max=5, p_min=0.5)'),
        (xlc.Mtp(), "Mtp(n_max=3)"),
        (xlc.Mtp("layers", n_max=2), 'Mtp("layers", n_max=2)'),
    ],
    ids=repr,
)
def test_setting_is_shown_as_code(setting: Any, code: str) -> None:
    assert as_code(setting) == code
    assert eval(code, dict(vars(xlc))) == setting


def test_n_match_does_not_exceed_draft_length() -> None:
    assert bench._with_length(xlc.Ngram("simple"), 5) == xlc.Ngram("simple", n_match=5, n_max=5)
    assert bench._with_length(xlc.Ngram("mod"), 30) == xlc.Ngram("mod", n_match=24, n_max=30, n_min=30)
    assert bench._with_length(xlc.DraftModel("small", p_min=0.5), 7) == xlc.DraftModel("small", n_max=7, p_min=0.5)


def test_sets_of_prompts_are_there() -> None:
    assert all(len(bench.prompt_set(name)) == 4 for name in bench.PROMPT_SETS)
    assert len(bench.prompt_set("repeated")) == 1


def test_unmeasurable_settings_are_refused() -> None:
    for arguments, reason in (
        ({"types": ["ngram"]}, "unknown type 'ngram'.*ngram-simple"),
        ({"types": []}, "no type"),
        ({"types": ["draft-simple"]}, "needs a draft"),
        ({"prompts": ["poems"]}, "unknown set of prompts 'poems'.*copy"),
        ({"n_predict": 1}, "got 1"),
        ({"rounds": 0}, "got .* 0"),
    ):
        with pytest.raises(xlc.InvalidRequestError, match=reason):
            measure_speculation(MODEL, **arguments)  # type: ignore[arg-type]
    with pytest.raises(xlc.ModelNotFoundError, match="no-such-model"):
        measure_speculation("no-such-model")


@pytest.fixture(scope="module")
def short() -> Iterator[None]:
    """One prompt a set and few lengths, so that a measurement takes seconds."""
    repeated = bench.prompt_set("repeated")
    texts = {"copy": [LIST], "prose": ["Tell me a story."], "repeated": repeated}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "prompt_set", texts.__getitem__)
        patch.setattr(bench, "_CALIBRATED_LENGTHS", (1, 7))
        yield


@pytest.fixture(scope="module")
def report(short: None) -> SpeculationReport:
    types = ["ngram-cache", "draft-simple", "draft-mtp"]
    seen: list[str] = []
    made = measure_speculation(  # one thread: two wait long for each other where other tests run beside
        MODEL,
        draft="smollm2-135m-instruct-q4_1",
        types=types,
        n_predict=24,
        progress=seen.append,
        warmup=False,
        n_threads=1,
    )
    assert 'Ngram("cache")' in seen
    return made


def test_measurements_are_coherent(report: SpeculationReport) -> None:
    assert report.model == MODEL
    assert report.seconds_per_token > 0
    short, long = (k for k, _ in report.verify_costs.measured)
    assert (short, round(long)) in ((2, 7), (2, 8))  # the last draft of an answer is shorter
    assert all(cost > 0 for _, cost in report.verify_costs.measured)
    drafting = [one for one in report.results if isinstance(one.setting, xlc.DraftModel)]
    assert {one.prompts for one in drafting} == {"copy", "prose"}
    for result in report.results:
        check(result)
    # The draft is the target with other weights: most of what it drafts is right, and it is not free.
    assert all(one.acceptance > 0.3 and one.draft_cost > 0 and one.coverage > 0.5 for one in drafting)
    copied = [one for one in report.results if isinstance(one.setting, xlc.Ngram) and one.prompts == "copy"]
    assert all(one.draft_cost == 0 for one in copied)
    assert any(one.draft_steps for one in copied)


def check(result: SpeculationResult) -> None:
    assert result.n_tokens == 24
    assert result.tokens_per_second > 0
    assert result.speedup == pytest.approx(result.tokens_per_second / result.plain_tokens_per_second)
    if not result.draft_steps:
        assert result.theoretical_speedup == result.expected_speedup == 1
        return
    assert 0 < result.draft_accepted <= result.draft_tokens
    assert result.draft_accepted / result.draft_tokens <= result.acceptance + 1e-6 <= 1 + 2e-6
    assert 0 < result.coverage <= 1
    per_step = expected_tokens(result.acceptance, result.draft_length)
    assert per_step == pytest.approx(1 + result.draft_accepted / result.draft_steps, rel=1e-3)
    cost = result.draft_length * result.draft_cost + result.verify_cost
    assert result.theoretical_speedup == pytest.approx(per_step / cost)
    low, high = sorted((1.0, result.theoretical_speedup))
    assert low - 1e-9 <= result.expected_speedup <= high + 1e-9


def test_setting_is_recommended_only_if_it_was_fastest(report: SpeculationReport) -> None:
    assert [one.prompts for one in report.recommendations] == ["copy", "prose"]
    for recommended in report.recommendations:
        best = max((one for one in report.results if one.prompts == recommended.prompts), key=lambda one: one.speedup)
        if recommended.setting is None:
            assert best.speedup < bench.WORTH_IT or not best.draft_steps
        else:
            assert (recommended.setting, recommended.speedup) == (best.setting, best.speedup)


def test_type_that_cannot_start_is_reported(report: SpeculationReport) -> None:
    assert list(report.unavailable) == ["draft-mtp"]
    assert "MTP" in report.unavailable["draft-mtp"]


def test_report_as_json(report: SpeculationReport) -> None:
    plain = json.loads(json.dumps(report.as_dict()))
    assert len(plain["results"]) == len(report.results)
    first = plain["results"][0]
    assert first["setting"] == {"type": "ngram-cache", "code": 'Ngram("cache")', "kind": "cache"}
    assert first["speedup"] == report.results[0].speedup
    assert plain["verify_costs"][0]["cost"] == report.verify_costs.measured[0][1]


@pytest.mark.parametrize("as_json", [False, True])
def test_from_command_line(short: None, monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    monkeypatch.setattr(bench, "_CALIBRATED_LENGTHS", (1,))
    arguments = [
        "bench",
        "speculation",
        "--model",
        TINY_MODEL,
        "--types",
        "ngram-simple",
        "--prompts",
        "copy",
        "--threads",
        "1",
    ]
    done = CliRunner().invoke(main.app, [*arguments, "--n-predict", "8", *(["--json"] if as_json else [])])
    assert done.exit_code == 0, done.output
    if as_json:
        assert json.loads(done.stdout)["n_predict"] == 8
    else:
        assert 'Ngram("simple")' in done.stdout
        assert "for copy: " in done.stdout
        assert "measured" in done.stdout


def test_wrong_type_is_one_line_on_stderr() -> None:
    done = CliRunner().invoke(main.app, ["bench", "speculation", "--model", MODEL, "--types", "ngram"])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: unknown type 'ngram'; choose from ngram-simple")
    assert done.stderr.count("\n") == 1
