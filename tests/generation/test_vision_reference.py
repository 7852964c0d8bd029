"""A model that sees answers as transformers does with the same weights (tests/model_files/make_vision.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc

MODELS = Path(__file__).parents[1] / "model_files"
REFERENCE = json.loads((MODELS / "gemma3-vision.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def seeing() -> Iterator[xlc.Engine]:
    mmproj = MODELS / "gemma3-vision-mmproj.gguf"
    with xlc.Engine(
        MODELS / "gemma3-vision.gguf", mmproj=mmproj, n_ctx=512, n_parallel=2, n_threads=1, warmup=False
    ) as engine:
        yield engine


@pytest.mark.parametrize("row", REFERENCE["answers"], ids=lambda row: f"{row['image']}-{row['question']}")
def test_greedy_answers_about_an_image_agree(seeing: xlc.Engine, row: dict[str, Any]) -> None:
    picture = xlc.ImagePart(path=MODELS / f"gemma3-vision-{row['image']}.png")
    question = xlc.Message(role="user", content=(picture, xlc.TextPart(text=row["question"])))
    answer = seeing.chat(
        [question], temperature=0, max_tokens=len(row["tokens"]), ignore_eos=True, logprobs=1,
        logit_bias=dict.fromkeys(REFERENCE["banned"], False),
    )  # fmt: skip
    assert answer.usage.prompt_tokens == len(row["prompt_tokens"])
    assert [token.id for token in answer.logprobs] == row["tokens"]


def test_images_make_the_difference() -> None:
    by_question: dict[str, set[tuple[int, ...]]] = {}
    for row in REFERENCE["answers"]:
        by_question.setdefault(row["question"], set()).add(tuple(row["tokens"]))
    assert any(len(answers) > 1 for answers in by_question.values())
