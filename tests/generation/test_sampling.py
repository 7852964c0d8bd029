"""Every way to choose tokens reaches llama.cpp."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from xlc_core import _native
from xlc_core.options.sampling import CompletionOptions, SamplingOptions

PROMPT = "The cat sat on the mat. The cat sat on the"
GREEDY: dict[str, Any] = {"temperature": 0, "seed": 1, "max_tokens": 10}
DRAWN: dict[str, Any] = {"temperature": 1.0, "seed": 3, "max_tokens": 10}

NOT_DEFAULT: dict[str, Any] = {
    "max_tokens": 2,
    "n": 2,
    "temperature": 0.5,
    "top_k": 5,
    "top_p": 0.5,
    "min_p": 0.5,
    "typical_p": 0.5,
    "top_n_sigma": 1.0,
    "xtc_probability": 0.5,
    "xtc_threshold": 0.2,
    "dynatemp_range": 0.2,
    "dynatemp_exponent": 2.0,
    "repeat_last_n": 8,
    "repeat_penalty": 1.5,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "dry_multiplier": 0.8,
    "dry_base": 2.0,
    "dry_allowed_length": 3,
    "dry_penalty_last_n": 16,
    "dry_sequence_breakers": ["\n"],
    "mirostat": 2,
    "mirostat_tau": 3.0,
    "mirostat_eta": 0.2,
    "adaptive_target": 0.5,
    "adaptive_decay": 0.5,
    "min_keep": 2,
    "samplers": ["top_k", "temperature"],
    "logit_bias": {100: 1.0},
    "seed": 5,
    "stop": ["x"],
    "ignore_eos": True,
    "logprobs": 2,
    "post_sampling_probs": True,
    "cache_prompt": False,
    "n_keep": 3,
    "n_discard": 4,
    "n_indent": 1,
    "n_cache_reuse": 16,
    "max_generation_ms": 1000,
}

# Options that change what is drawn, each with what must be set beside it.
CHANGES: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 3.0, "samplers": ["temperature"]},
    "top_k": {"top_k": 1},
    "top_p": {"top_p": 0.0, "samplers": ["top_p", "temperature"]},
    "min_p": {"min_p": 1.0},
    "typical_p": {"typical_p": 0.01, "samplers": ["typ_p"]},
    "top_n_sigma": {"top_n_sigma": 0.0, "samplers": ["top_n_sigma", "temperature"]},
    "xtc": {"xtc_probability": 1.0, "xtc_threshold": 0.01, "samplers": ["xtc"]},
    "dynatemp_range": {"dynatemp_range": 1.0},
    "mirostat 1": {"mirostat": 1, "mirostat_tau": 0.1},
    "mirostat 2": {"mirostat": 2, "mirostat_tau": 0.1},
    "adaptive_target": {"adaptive_target": 0.01, "samplers": ["adaptive_p"]},
    "seed": {"seed": 99},
}


def test_every_field_is_tried_below() -> None:
    assert NOT_DEFAULT.keys() == SamplingOptions.model_fields.keys()
    for name, value in NOT_DEFAULT.items():
        assert getattr(SamplingOptions(**{name: value}), name) != SamplingOptions.model_fields[name].default, name


def test_native_parameters_have_every_field() -> None:
    native = {name for name in vars(_native.SamplingParams) if not name.startswith("_")}
    assert native == SamplingOptions.model_fields.keys()


@pytest.mark.parametrize("name", NOT_DEFAULT)
def test_field_is_accepted(engine: xlc.Engine, name: str) -> None:
    options = {"max_tokens": 2, name: NOT_DEFAULT[name]}
    answer = engine.complete(PROMPT, **options)
    assert 1 <= answer.usage.completion_tokens <= 2 * options.get("n", 1)


# llama.cpp's names in its server's report of a task, where they are others.
REPORTED_AS = {"n": "n_cmpl", "logprobs": "n_probs", "max_generation_ms": "t_max_predict_ms"}
CHANGED_TOO = {"max_tokens": {"n_predict"}, "ignore_eos": {"logit_bias"}, "seed": {"cache_prompt"}}


def task_settings(engine: xlc.Engine, **options: Any) -> dict[str, Any]:
    request = engine._requests.completion("Hi", CompletionOptions.checked(**options))
    settings: dict[str, Any] = json.loads(engine._native.task_settings(request.native))
    return settings


@pytest.mark.parametrize("name", NOT_DEFAULT)
def test_field_reaches_llama_cpp(engine: xlc.Engine, name: str) -> None:
    wanted = NOT_DEFAULT[name]
    plain, changed = task_settings(engine), task_settings(engine, **{name: wanted})
    key = REPORTED_AS.get(name, name)
    assert {one for one in plain if plain[one] != changed[one]} - CHANGED_TOO.get(name, set()) == {key}
    found = {bias["token"]: bias["bias"] for bias in changed[key]} if name == "logit_bias" else changed[key]
    assert found == (pytest.approx(wanted, rel=1e-6) if isinstance(wanted, float) else wanted)


@pytest.mark.parametrize("what", CHANGES)
def test_option_changes_sampling(engine: xlc.Engine, what: str) -> None:
    plain = engine.complete("My favourite word is", **{**DRAWN, "temperature": 1.2, "min_p": 0.0})
    changed = engine.complete("My favourite word is", **{**DRAWN, "temperature": 1.2, "min_p": 0.0, **CHANGES[what]})
    assert changed.text != plain.text


def test_temperature_0_takes_the_likeliest_token(engine: xlc.Engine) -> None:
    answer = engine.complete(PROMPT, **GREEDY, logprobs=3)
    assert engine.complete(PROMPT, **{**GREEDY, "seed": 2}).text == answer.text
    for token in answer.logprobs:
        assert token.id == token.top[0].id
        assert token.logprob == token.top[0].logprob


@pytest.mark.parametrize("only", [{"min_p": 1.0}, {"top_k": 1}])
def test_leaving_but_the_likeliest_token_equals_temperature_0(engine: xlc.Engine, only: dict[str, Any]) -> None:
    greedy = engine.complete(PROMPT, **GREEDY)
    assert engine.complete(PROMPT, **{**GREEDY, "temperature": 1.0, **only}).text == greedy.text


def test_bias_of_false_bans_a_token(engine: xlc.Engine) -> None:
    (likeliest, *_) = engine.complete(PROMPT, **GREEDY, logprobs=1).logprobs
    banned = engine.complete(PROMPT, **GREEDY, logprobs=1, logit_bias={likeliest.id: False})
    assert likeliest.id not in [token.id for token in banned.logprobs]


def test_bias_of_100_forces_a_token_by_number_and_by_text(engine: xlc.Engine) -> None:
    (token,) = engine.tokenize(" house")
    for key in (token, " house"):
        assert engine.complete(PROMPT, **{**GREEDY, "max_tokens": 3}, logit_bias={key: 100}).text == " house" * 3


def test_bias_on_a_token_that_does_not_exist_is_refused(engine: xlc.Engine) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=r"names token 49152.*0 to 49151"):
        engine.complete(PROMPT, logit_bias={49152: 1.0})


def test_ignore_eos_goes_on_to_max_tokens(engine: xlc.Engine) -> None:
    short = engine.chat("Hello!", temperature=0, max_tokens=300)
    assert short.finish_reason == "stop"
    n_more = short.usage.completion_tokens + 8
    answer = engine.chat("Hello!", temperature=0, max_tokens=n_more, ignore_eos=True)
    assert (answer.finish_reason, answer.usage.completion_tokens) == ("length", n_more)


def test_earliest_stop_sequence_wins(engine: xlc.Engine) -> None:
    answer = engine.complete("1, 2, 3, 4,", **{**GREEDY, "max_tokens": 30}, stop=["8", "6, 7"])
    assert answer.stop_sequence == "6, 7"
    assert answer.text.strip() == "5,"


@pytest.mark.parametrize(
    "samplers", [[], ["min_p"], ["temperature", "top_k"], ["penalties", "dry", "top_n_sigma", "typ_p", "top_p", "xtc"]]
)
def test_samplers_run_in_any_order(engine: xlc.Engine, samplers: list[Any]) -> None:
    assert engine.complete(PROMPT, max_tokens=2, ignore_eos=True, samplers=samplers).usage.completion_tokens == 2


def test_unknown_sampler_is_refused_by_name(engine: xlc.Engine) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=r"samplers.*top_q"):
        engine.complete(PROMPT, samplers=["top_q"])  # type: ignore[list-item]


def test_logprobs_are_sorted_and_add_up_to_at_most_1(engine: xlc.Engine) -> None:
    answer = engine.complete(PROMPT, **DRAWN, logprobs=20)
    assert len(answer.logprobs) == answer.usage.completion_tokens
    assert "".join(token.token for token in answer.logprobs).startswith(answer.text)
    for token in answer.logprobs:
        values = [candidate.logprob for candidate in token.top]
        assert len(values) == 20
        assert values == sorted(values, reverse=True)
        assert 0 < math.fsum(map(math.exp, values)) <= 1 + 1e-4
        assert token.logprob <= 0
        assert [c.logprob for c in token.top if c.id == token.id] in ([], [pytest.approx(token.logprob, abs=1e-4)])
        assert engine.detokenize([token.id], special=True) == token.token


def test_logprobs_of_the_whole_vocabulary_add_up_to_1(engine: xlc.Engine) -> None:
    peaked = engine.complete("1 2 3 4 5 6 7 8 9 10 11", temperature=0, max_tokens=1, logprobs=1000)
    assert math.fsum(math.exp(candidate.logprob) for candidate in peaked.logprobs[0].top) == pytest.approx(1, abs=0.02)


def test_stream_has_the_logprobs_of_the_whole_result(engine: xlc.Engine) -> None:
    whole = engine.complete(PROMPT, **DRAWN, logprobs=3)
    events = list(engine.stream_complete(PROMPT, **DRAWN, logprobs=3))
    in_deltas = [token for event in events if isinstance(event, xlc.TextDelta) for token in event.logprobs]
    finished = events[-1]
    assert isinstance(finished, xlc.Finished)
    assert finished.completion.text == whole.text
    assert [token.id for token in finished.completion.logprobs] == [token.id for token in whole.logprobs]
    assert [token.logprob for token in finished.completion.logprobs] == pytest.approx(
        [token.logprob for token in whole.logprobs], abs=1e-4
    )
    assert tuple(in_deltas) == finished.completion.logprobs[: len(in_deltas)]
    assert len(in_deltas) >= len(whole.logprobs) - 1


def test_logprobs_of_a_chat_cover_its_tokens(engine: xlc.Engine) -> None:
    answer = engine.chat("Say something.", max_tokens=5, logprobs=1, ignore_eos=True)
    assert len(answer.logprobs) == 5
    assert engine.chat("Say something.", max_tokens=2).logprobs == ()


def test_probabilities_after_sampling_are_renormalised(engine: xlc.Engine) -> None:
    answer = engine.complete(PROMPT, **DRAWN, logprobs=5, top_k=1, post_sampling_probs=True)
    assert [token.logprob for token in answer.logprobs] == pytest.approx([0] * len(answer.logprobs), abs=1e-4)


@pytest.mark.parametrize(
    "penalty",
    [
        {"repeat_penalty": 3.0},
        {"frequency_penalty": 5.0},
        {"presence_penalty": 20.0},
        {"dry_multiplier": 10.0, "dry_allowed_length": 1, "dry_sequence_breakers": ["\n"]},
    ],
)
def test_penalties_end_a_repetition(engine: xlc.Engine, penalty: dict[str, Any]) -> None:
    prompt = "red green blue red green blue red green blue red green blue red"
    repetition = " green blue green blue green"
    assert engine.complete(prompt, **GREEDY).text.startswith(repetition)
    assert not engine.complete(prompt, **GREEDY, **penalty).text.startswith(repetition)


def test_time_limit_ends_the_answer_at_a_new_line(engine: xlc.Engine) -> None:
    options: dict[str, Any] = {"max_tokens": 60, "ignore_eos": True, "temperature": 0, "seed": 1}
    answer = engine.complete("a\nb\nc\nd\ne\n", **options, max_generation_ms=1)
    assert answer.usage.completion_tokens < 60
    assert answer.finish_reason == "length"


@pytest.mark.parametrize(
    "sampling",
    [
        {"penalty_last_n": 2**31 - 1, "penalty_repeat": 1.5},
        {"mirostat": 7},
        {"temp": math.nan, "top_p": math.inf, "min_p": -math.inf, "penalty_repeat": 0.0},
        {"temp": 1e-44, "xtc_probability": math.nan, "mirostat_tau": math.nan},
    ],
    ids=str,
)
def test_settings_of_a_model_file_do_no_harm(tmp_path: Path, sampling: dict[str, float]) -> None:
    """Run in a process of its own with 4 GiB: such numbers aborted it, or allocated 8 GB for each slot."""
    model = write_byte_llama(tmp_path / "model.gguf", sampling=sampling)
    code = (
        "import resource, sys, xlc_core as xlc\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "with xlc.Engine(sys.argv[1], n_ctx=256, n_parallel=2, n_threads=1, warmup=False) as engine:\n"
        "    print(engine.complete('a', max_tokens=8, ignore_eos=True).usage.completion_tokens)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(model)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "8"), done.stderr
