from __future__ import annotations

from typing import Any, get_type_hints

import pytest

import xlc_core as xlc
from xlc_core.options import kwargs, options
from xlc_core.options.options import ChatOptions, EngineOptions, SamplingOptions


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


@pytest.mark.parametrize(
    ("keywords", "model", "left_out"),
    [
        (kwargs.SamplingKwargs, options.SamplingOptions, set()),
        (kwargs.CompletionKwargs, options.CompletionOptions, set()),
        (kwargs.ChatKwargs, options.ChatOptions, set()),
        (kwargs.EngineKwargs, options.EngineOptions, {"model"}),
    ],
)
def test_keyword_types_have_the_fields_of_their_models(
    keywords: type, model: type[options.Options], left_out: set[str]
) -> None:
    assert get_type_hints(keywords).keys() == model.model_fields.keys() - left_out


@pytest.mark.parametrize("model", [options.EngineOptions, options.ChatOptions])
def test_every_field_is_documented(model: type[options.Options]) -> None:
    documented = "".join(cls.__doc__ or "" for cls in model.__mro__)
    for name in model.model_fields:
        assert f"\n        {name}: " in documented, name
