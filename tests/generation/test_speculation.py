"""Speculative decoding: the same text in fewer steps, and a clear error where it cannot be had."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama

DRAFT = "smollm2-135m-instruct-q4_1"
LINES = "\n".join(f"* item {number}: the quick brown fox number {number}" for number in range(8))
COPY = f"Copy this list word by word:\n{LINES}"
GREEDY: dict[str, Any] = {"temperature": 0, "seed": 1, "max_tokens": 64, "ignore_eos": True}


def open_with(speculation: Any, **options: Any) -> xlc.Engine:
    return xlc.Engine(
        "smollm2-135m-instruct",
        **{"n_ctx": 1024, "n_parallel": 1, "warmup": False, "speculation": speculation, **options},
    )


@pytest.fixture(scope="module")
def plain() -> str:
    with open_with(()) as engine:
        answer = engine.chat(COPY, **GREEDY)
    assert answer.timings.draft_tokens == 0
    return answer.text


@pytest.mark.parametrize(
    "speculation",
    [
        xlc.Ngram("simple", n_match=3),
        xlc.Ngram("map-k", n_match=3, n_max=16),
        xlc.Ngram("map-k4v", n_match=3, n_max=16),
        xlc.Ngram("mod", n_match=3, n_min=2, n_max=16),
        xlc.Ngram("cache"),
        xlc.DraftModel(DRAFT, n_max=4),
        xlc.DraftModel(DRAFT, n_max=4, sampling="probabilistic"),
        [xlc.Ngram("simple", n_match=4), xlc.DraftModel(DRAFT)],
    ],
    ids=repr,
)
def test_text_is_the_same_and_drafts_are_counted(speculation: Any, plain: str) -> None:
    with open_with(speculation) as engine:
        answer = engine.chat(COPY, **GREEDY)
        metrics = engine.metrics()
    assert answer.text == plain
    timings = answer.timings
    assert timings.draft_tokens >= timings.draft_accepted > 0
    assert 0 < timings.draft_steps <= timings.draft_tokens
    assert timings.draft_acceptance == timings.draft_accepted / timings.draft_tokens
    assert metrics.draft_tokens == timings.draft_tokens


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_step_starts_threads_of_its_own() -> None:
    with open_with(xlc.DraftModel(DRAFT, n_max=4), n_threads=2) as engine:
        engine.chat(COPY, **{**GREEDY, "max_tokens": 8})
        before = set(os.listdir("/proc/self/task"))
        seen = set()
        for _ in engine.stream_chat(COPY, **{**GREEDY, "max_tokens": 24}):
            seen.update(os.listdir("/proc/self/task"))
    assert seen <= before


def test_request_can_turn_it_off(plain: str) -> None:
    with open_with(xlc.Ngram("simple", n_match=3)) as engine:
        assert engine.chat(COPY, speculative=False, **GREEDY).timings.draft_tokens == 0
        assert engine.chat(COPY, **GREEDY).timings.draft_tokens > 0
        forced = {"constraint": xlc.Choice("The quick brown fox."), "max_tokens": 20}
        assert engine.chat("Say it.", speculative=False, **forced).timings.draft_tokens == 0  # type: ignore[arg-type]


def test_logprobs_are_of_every_token(plain: str) -> None:
    with open_with(xlc.Ngram("simple", n_match=3)) as engine:
        answer = engine.chat(COPY, logprobs=1, **GREEDY)
    assert answer.timings.draft_tokens == 0
    assert answer.logprobs is not None
    assert "".join(token.token for token in answer.logprobs) == answer.text == plain


def test_many_requests_share_it(plain: str) -> None:
    with open_with(xlc.Ngram("simple", n_match=3), n_parallel=4, n_ctx=1024) as engine:
        streams = [engine.stream_chat(COPY, **{**GREEDY, "max_tokens": 48}) for _ in range(4)]
        texts = {stream.result().text for stream in streams}
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("speculation", "reason"),
    [
        (xlc.Mtp(), "MTP"),
        (xlc.Eagle3(DRAFT), "draft-eagle3.*not a head.*llama"),
        (xlc.DraftModel("all-minilm-l6-v2"), "draft-simple.*vocab"),
    ],
    ids=["mtp", "eagle3", "vocabulary"],
)
def test_failed_start_raises_error(speculation: Any, reason: str) -> None:
    with pytest.raises(xlc.ModelLoadError, match=reason):
        open_with(speculation)


def test_draft_model_of_another_vocabulary_size_is_an_error(tmp_path: Path) -> None:
    path = write_byte_llama(tmp_path / "bytes.gguf")
    with pytest.raises(xlc.ModelLoadError, match="vocab"):
        open_with(xlc.DraftModel(path))


def test_missing_draft_model_is_named() -> None:
    with pytest.raises(xlc.ModelNotFoundError, match="no-such-model"):
        open_with(xlc.DraftModel("no-such-model"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: [xlc.DraftModel("a"), xlc.Mtp()], "one draft model"),
        (lambda: "ngram", "speculation"),
    ],
)
def test_ambiguous_arguments_are_refused(make: Any, reason: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=reason):
        open_with(make())


def test_options_of_another_kind_are_refused() -> None:
    with pytest.raises(xlc.InvalidRequestError, match="min_hits"):
        xlc.Ngram("cache", min_hits=2).arguments()
    with pytest.raises(ValueError, match="did you mean 'n_match'"):
        xlc.Ngram("simple", n_mach=2)


def test_drafts_may_be_drawn_and_verified_by_rejection() -> None:
    with open_with(xlc.DraftModel(DRAFT, n_max=4, sampling="probabilistic")) as engine:
        options: dict[str, Any] = {**GREEDY, "temperature": 1.0}
        answer = engine.chat(COPY, **options)
        assert 0 < answer.timings.draft_accepted <= answer.timings.draft_tokens
        assert engine.chat(COPY, **options).text == answer.text  # the seed decides
        options.update(constraint=xlc.Choice("The quick brown fox."), max_tokens=20, ignore_eos=False)
        forced = engine.chat("Which?", **options)
        assert forced.text == "The quick brown fox."


@pytest.mark.parametrize("head", [xlc.Eagle3, xlc.DFlash, xlc.DSpark])
def test_heads_draft_greedily_only(head: Any) -> None:
    with pytest.raises(ValueError, match=f"{head.__name__} takes no sampling='probabilistic'"):
        head("head.gguf", sampling="probabilistic")


def test_options_can_be_compared_and_pickled() -> None:
    options = xlc.EngineOptions(model="m", speculation=xlc.DraftModel("d", n_max=5))
    assert pickle.loads(pickle.dumps(options)) == options
    assert hash(options) == hash(xlc.EngineOptions(model="m", speculation=[xlc.DraftModel("d", n_max=5)]))
