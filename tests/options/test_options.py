from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import xlc_core as xlc
from xlc_core.options import (
    ChatOptions,
    CompletionOptions,
    EmbedOptions,
    EmbedStreamOptions,
    EngineOptions,
    RerankOptions,
    SamplingOptions,
    TokenEmbedOptions,
    base,
    kwargs,
)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("temprature", "temperature"),
        ("topk", "top_k"),
        ("tool_choise", "tool_choice"),
        ("max_token", "max_tokens"),
    ],
)
def test_unknown_name_is_refused_with_nearest(wrong: str, meant: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=f"unknown option '{wrong}'; did you mean '{meant}'"):
        ChatOptions.checked(**{wrong: 1})


def test_engine_option_in_request_is_explained() -> None:
    with pytest.raises(xlc.InvalidRequestError, match="did you mean 'n_ctx'"):
        EngineOptions.checked(model="m", nctx=512)


@pytest.mark.parametrize("use", [xlc.Engine, xlc.Engine.estimate, xlc.acquire_engine])
def test_options_beside_engine_options_are_refused(use: Callable[..., object]) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=r"n_ctx, n_batch cannot be given .*'n_ctx': …"):
        use(EngineOptions(model="smollm2-135m-instruct"), n_ctx=512, n_batch=64)


@pytest.mark.parametrize("n_ctx", [1, 2**24 + 1, 2**60])
def test_impossible_context_is_refused_at_once(n_ctx: int) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="n_ctx"):
        xlc.Engine.estimate("smollm2-135m-instruct", n_ctx=n_ctx)


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": -0.1},
        {"top_p": 1.5},
        {"min_p": -1},
        {"n": 0},
        {"seed": -1},
        {"seed": 2**32 - 1},
        {"repeat_last_n": 2**20 + 1},
        {"dry_penalty_last_n": 100_000_000},
        {"mirostat": 3},
        {"max_tokens": -2},
        {"repeat_penalty": 0},
        {"stop": [""]},
        {"samplers": ["top_q"]},
        {"dry_sequence_breakers": []},
        {"adaptive_decay": 1.0},
        {"timeout": 0},
    ],
)
def test_values_out_of_range_are_refused_by_name(values: dict[str, Any]) -> None:
    (name,) = values
    with pytest.raises(xlc.InvalidRequestError, match=name if name != "stop" else "stop sequence"):
        ChatOptions.checked(**values)


def test_all_faults_are_reported_together() -> None:
    with pytest.raises(xlc.InvalidRequestError, match=r"temperature.*top_p"):
        SamplingOptions.checked(temperature=-1, top_p=2)


def test_single_stop_becomes_tuple() -> None:
    assert SamplingOptions(stop="x").stop == ("x",)
    assert SamplingOptions(stop=None).stop == ()


def test_options_are_frozen_and_hashable() -> None:
    engine_options = EngineOptions(model="m", n_ctx=512)
    assert hash(engine_options) == hash(EngineOptions(model="m", n_ctx=512))
    with pytest.raises(ValueError, match="frozen"):
        engine_options.n_ctx = 1  # type: ignore[misc]


MODELS: tuple[tuple[type, type[base.NativeOptions], set[str]], ...] = (
    (kwargs.SamplingKwargs, SamplingOptions, set()),
    (kwargs.CompletionKwargs, CompletionOptions, set()),
    (kwargs.ChatKwargs, ChatOptions, set()),
    (kwargs.EngineKwargs, EngineOptions, {"model"}),
    (kwargs.TokenEmbedKwargs, TokenEmbedOptions, set()),
    (kwargs.EmbedKwargs, EmbedOptions, set()),
    (kwargs.EmbedStreamKwargs, EmbedStreamOptions, set()),
    (kwargs.RerankKwargs, RerankOptions, set()),
)


@pytest.mark.parametrize(("keywords", "model", "left_out"), MODELS)
def test_keyword_types_have_the_fields_of_their_models(
    keywords: type, model: type[base.NativeOptions], left_out: set[str]
) -> None:
    assert get_type_hints(keywords).keys() == model.model_fields.keys() - left_out


def test_written_keyword_types_are_fresh() -> None:
    script = Path(__file__).parents[2] / "cmake" / "make_kwargs.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("model", [model for _, model, _ in MODELS])
def test_none_is_the_default_of_every_field(model: type[base.NativeOptions]) -> None:
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    none = dict.fromkeys(model.model_fields.keys() - required)
    assert model(**none) == model()


@pytest.mark.parametrize(
    ("options", "values", "message"),
    [
        (EngineOptions, {"speculation": 3}, "speculation: must be an Ngram, DraftModel, Eagle3, DFlash, DSpark or Mtp"),
        (EngineOptions, {"speculation": {"kind": "simple"}}, "speculation: must be an Ngram, DraftModel"),
        (EngineOptions, {"speculation": [xlc.Ngram(), "x"]}, "speculation: must be an Ngram, DraftModel"),
        (EngineOptions, {"n_gpu_layers": "x"}, "n_gpu_layers: must be an integer, 'auto' or 'all', got 'x'"),
        (ChatOptions, {"stop": 5}, "stop: must be a text or a list of texts, got 5"),
        (ChatOptions, {"stop": ["a", 5]}, "stop[1]: must be a text, got 5"),
        (EngineOptions, {"lora": 7}, "lora: must be a path, a list of them, a mapping of paths to scales, or Lora"),
        (EngineOptions, {"lora": [{"path": 1}]}, "lora[0]['path']: must be a text or a path, got 1"),
        (EngineOptions, {"model": 5}, "model: must be a text or a path, got 5"),
        (EngineOptions, {"flash_attn": True}, "flash_attn: must be 'auto', 'on' or 'off', got True"),
        (EngineOptions, {"tensor_split": [1, "x"]}, "tensor_split[1]: must be a number, got 'x'"),
        (ChatOptions, {"logit_bias": {"a": "x"}}, "logit_bias['a']: must be False or a number, got 'x'"),
        (ChatOptions, {"logit_bias": 5}, "logit_bias: must be a mapping of tokens"),
        (ChatOptions, {"temperature": "hot"}, "temperature: must be a number, got 'hot'"),
        (ChatOptions, {"thinking_switch": 3}, "thinking_switch: must be a ThinkingSwitch, got 3"),
        (EmbedOptions, {"progress": 3}, "progress: must be True or False or a function, got 3"),
        (ChatOptions, {"tools": 3, "top_p": 2}, "top_p: must be less than or equal to 1, got 2; tools: must be a list"),
    ],
)
def test_wrong_value_is_one_line(options: type[base.Options], values: dict[str, Any], message: str) -> None:
    with pytest.raises(xlc.InvalidRequestError) as caught:
        options.checked(**values)
    assert str(caught.value).startswith(message)
    assert str(caught.value).count("; ") == len(values) - 1


def numbers_of(model: type[base.NativeOptions], kind: type) -> list[str]:
    """Return the fields of a model that are numbers of a kind."""
    hints = get_type_hints(model)
    return [name for name in model.model_fields if hints[name] is kind or kind in get_args(hints[name])]


@pytest.mark.parametrize("model", [model for _, model, _ in MODELS])
def test_numbers_beyond_cpp_s_are_refused_by_name(model: type[base.NativeOptions]) -> None:
    names = numbers_of(model, int)
    assert names
    for name in names:
        for number in (2**33, -(2**33), 2**70):
            with pytest.raises(xlc.InvalidRequestError, match=f"^{name}: must be"):
                model.checked(**{name: number})


@pytest.mark.parametrize("model", [SamplingOptions, ChatOptions, EngineOptions, EmbedOptions, RerankOptions])
def test_numbers_are_finite(model: type[base.NativeOptions]) -> None:
    names = numbers_of(model, float)
    assert names
    for name in names:
        for number in (float("nan"), float("inf"), float("-inf"), 1e300):
            with pytest.raises(xlc.InvalidRequestError, match=f"^{name}: must be"):
                model.checked(**{name: number})


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (ChatOptions, {"logit_bias": {2**40: 1.0}}),
        (ChatOptions, {"logit_bias": {5: float("nan")}}),
        (ChatOptions, {"logit_bias": {5: float("inf")}}),
        (ChatOptions, {"lora": {"a": float("nan")}}),
        (EngineOptions, {"tensor_split": [1.0, float("inf")]}),
        (EngineOptions, {"control_vector_layers": (1, 2**40)}),
        (EngineOptions, {"lora": {"a.gguf": float("nan")}}),
        (ChatOptions, {"stop": ["\ud800"]}),
        (ChatOptions, {"dry_sequence_breakers": ["\ud800"]}),
        (ChatOptions, {"logit_bias": {"\ud800": 1.0}}),
        (EngineOptions, {"chat_template": "\ud800"}),
        (EmbedOptions, {"prompt": "\ud800"}),
    ],
)
def test_values_of_the_wrong_type_are_refused_by_name(options: type[base.Options], values: dict[str, Any]) -> None:
    (name,) = values
    with pytest.raises(xlc.InvalidRequestError, match=f"^{name}"):
        options.checked(**values)


def test_template_kwargs_hold_any_json() -> None:
    assert ChatOptions.checked(template_kwargs={"big": 2**70, "deep": {"x": [1e300]}}).template_kwargs["big"] == 2**70


@pytest.mark.parametrize(
    "speculation",
    [
        xlc.Ngram("mod", n_max=5),
        xlc.DraftModel("small", n_gpu_layers="all"),
        xlc.Eagle3("head"),
        xlc.DFlash("head", n_max=4),
        xlc.DSpark("head"),
        xlc.Mtp(),
    ],
)
def test_speculation_survives_being_a_dictionary(speculation: xlc.Speculation) -> None:
    written = EngineOptions(model="m", speculation=[speculation]).model_dump(exclude_defaults=True)
    (read,) = EngineOptions.checked(**written).speculation
    assert read == speculation
    assert type(read) is type(speculation)


def test_minus_infinity_bans_a_token() -> None:
    assert SamplingOptions(logit_bias={7: float("-inf"), "a": False}).logit_bias == {7: False, "a": False}


@pytest.mark.parametrize("model", [EngineOptions, ChatOptions, EmbedStreamOptions, RerankOptions])
def test_every_field_is_documented(model: type[base.Options]) -> None:
    documented = "".join(cls.__doc__ or "" for cls in model.__mro__)
    for name in model.model_fields:
        assert re.search(rf"\n +{name}: ", documented), name  # Python 3.13 takes the common indentation away
