"""Answers that fill the context, by on_overflow: on a tiny model, whose context is full at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_media import write_mmproj
from helpers.tiny_models import write_byte_llama

PROMPT = "the hat of a llama"
LONG: dict[str, Any] = {"temperature": 0, "ignore_eos": True}
ONE: dict[str, Any] = {"temperature": 0, "max_tokens": 1}


@pytest.fixture(scope="module")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_byte_llama(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="module")
def shifting(tiny_path: Path) -> Iterator[xlc.Engine]:
    with xlc.Engine(tiny_path, n_ctx=256, n_parallel=1, n_threads=1, on_overflow="shift") as engine:
        yield engine


def test_by_default_an_answer_ends_with_the_context(tiny_path: Path) -> None:
    with xlc.Engine(tiny_path, n_ctx=256, n_parallel=1, n_threads=1) as engine:
        answer = engine.complete(PROMPT, max_tokens=600, **LONG)
        assert answer.finish_reason == "length"
        assert 250 <= answer.usage.total_tokens <= 256
        with pytest.raises(xlc.ContextOverflowError, match="the context holds 256"):
            engine.complete("a" * 300)


def test_with_shift_an_answer_outgrows_the_context(shifting: xlc.Engine) -> None:
    answer = shifting.complete(PROMPT, max_tokens=600, **LONG)
    assert (answer.usage.completion_tokens, answer.finish_reason) == (600, "length")
    streamed = list(shifting.stream_complete(PROMPT, max_tokens=400, **LONG))[-1]
    assert isinstance(streamed, xlc.Finished)
    assert streamed.completion.usage.completion_tokens == 400


def test_with_shift_a_prompt_that_does_not_fit_is_refused_all_the_same(shifting: xlc.Engine) -> None:
    with pytest.raises(xlc.ContextOverflowError, match="the context holds 256") as caught:
        shifting.complete("a" * 300)
    assert caught.value.n_prompt_tokens == 301


@pytest.mark.parametrize(("n_keep", "keeps_prompt"), [(0, False), (-1, True)])
def test_shift_keeps_n_keep_tokens(shifting: xlc.Engine, n_keep: int, keeps_prompt: bool) -> None:
    prompt = f"{'abc'[n_keep]} tale of the hat"  # no other begins so
    n_prompt = shifting.complete(prompt, max_tokens=400, n_keep=n_keep, **LONG).usage.prompt_tokens
    n_cached = shifting.complete(prompt, **ONE).usage.cached_tokens
    assert n_cached == n_prompt - 1 if keeps_prompt else n_cached <= 1


def test_n_discard_sets_tokens_dropped_by_shift(shifting: xlc.Engine, tmp_path: Path) -> None:
    held = {}
    for n_discard in (0, 20):
        answer = shifting.complete(PROMPT, max_tokens=300, n_discard=n_discard, cache_prompt=False, **LONG)
        held[n_discard] = shifting.save_session(tmp_path / "s").n_tokens
        assert answer.usage.completion_tokens == 300
    assert held[0] < held[20] <= 256  # half of the context was dropped, or 20 tokens at a time


def test_model_that_cannot_shift_says_so_when_it_is_opened(tiny_path: Path, tmp_path: Path) -> None:
    projector = write_mmproj(tmp_path / "mmproj.gguf")  # with which llama.cpp turns shifting off
    with pytest.raises(xlc.UnsupportedFeatureError, match=r"'.*tiny.*' cannot shift its context"):
        xlc.Engine(tiny_path, n_ctx=512, n_threads=1, on_overflow="shift", llama_args=["--mmproj", str(projector)])


def test_neighbour_is_not_disturbed_by_a_shift(tiny_path: Path) -> None:
    with xlc.Engine(tiny_path, n_ctx=256, n_parallel=2, n_threads=1, on_overflow="shift") as engine:
        alone = engine.complete(PROMPT, max_tokens=200, **LONG)
        with engine.stream_complete("a", max_tokens=900, **LONG) as shifted:
            next(shifted)
            beside = engine.complete(PROMPT, max_tokens=200, cache_prompt=False, **LONG)
            assert shifted.result().usage.completion_tokens == 900
    assert beside.text == alone.text
