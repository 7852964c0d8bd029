"""Generative rerankers compute the instruction and the query once for all documents. Tokens are counted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

import xlc_core as xlc
from xlc_core import _native

MODEL = Path(__file__).parents[1] / "model_files" / "qwen3-reranker.gguf"
INSTRUCTION = "find what the llama does, " * 12
QUERY = "which llama grazes where?"
DOCUMENTS = [f"llama number {number} grazes {number * 7} hours, and rates rose" for number in range(50)]


def ranked(engine: xlc.Engine, documents: list[str], **options: str) -> tuple[list[float], int]:
    """Return the scores by document, and the number of tokens that were computed."""
    before = _native.n_encoded_tokens()
    scores = engine.rerank(QUERY, documents, **options)  # type: ignore[arg-type]
    by_document = [score.score for score in sorted(scores, key=lambda score: score.index)]
    return by_document, _native.n_encoded_tokens() - before


def one_by_one(engine: xlc.Engine, documents: list[str], **options: str) -> tuple[list[float], int]:
    """The same without sharing, which takes two documents."""
    alone = [ranked(engine, [document], **options) for document in documents]
    return [scores[0] for scores, _ in alone], sum(n for _, n in alone)


@pytest.fixture(scope="module")
def engine() -> xlc.Engine:
    return xlc.Engine(MODEL, n_threads=1, n_ctx=1024)


@pytest.mark.parametrize("n_batch", [None, 32, 512])
def test_instruction_and_query_are_computed_once(n_batch: int | None) -> None:
    with xlc.Engine(MODEL, n_threads=1, n_ctx=1024, n_batch_retrieval=n_batch) as engine:
        expected, n_alone = one_by_one(engine, DOCUMENTS, instruction=INSTRUCTION)
        scores, n_tokens = ranked(engine, DOCUMENTS, instruction=INSTRUCTION)
    assert np.ptp(expected) > 0.01
    assert scores == pytest.approx(expected, abs=1e-4)
    assert n_tokens < n_alone / 3


def test_other_queries_and_long_documents_between(engine: xlc.Engine) -> None:
    """The kept tokens belong to one query, also if the context grows for a longer document."""
    long = ["llama " * 170, *DOCUMENTS[:3]]
    expected = {
        instruction: one_by_one(engine, documents, instruction=instruction)[0]
        for instruction, documents in (("first " * 20, DOCUMENTS[:5]), ("second " * 20, long))
    }
    for _ in range(2):
        assert ranked(engine, DOCUMENTS[:5], instruction="first " * 20)[0] == pytest.approx(
            expected["first " * 20], abs=1e-4
        )
        assert ranked(engine, long, instruction="second " * 20)[0] == pytest.approx(expected["second " * 20], abs=1e-4)


def test_equal_and_empty_documents(engine: xlc.Engine) -> None:
    documents = ["", "the same", "the same", ""]
    expected, _ = one_by_one(engine, documents)
    assert ranked(engine, documents)[0] == pytest.approx(expected, abs=1e-4)
    assert ranked(engine, ["the same"] * 3)[0] == pytest.approx(expected[1:2] * 3, abs=1e-4)


async def test_jobs_that_alternate_do_not_mix(engine: xlc.Engine) -> None:
    """Micro-batches of two jobs take turns, with two beginnings."""
    instructions = ["one " * 30, "another " * 30]
    expected = [one_by_one(engine, DOCUMENTS, instruction=instruction)[0] for instruction in instructions]
    answers = await asyncio.gather(
        *(engine.arerank(QUERY, DOCUMENTS, instruction=instruction) for instruction in instructions)
    )
    for answer, wanted in zip(answers, expected, strict=True):
        scores = [score.score for score in sorted(answer, key=lambda score: score.index)]
        assert scores == pytest.approx(wanted, abs=1e-4)


async def test_cancelled_job_leaves_nothing_wrong(engine: xlc.Engine) -> None:
    expected, _ = one_by_one(engine, DOCUMENTS[:4], instruction=INSTRUCTION)
    for timeout in (1e-3, 5e-3, 2e-2):
        with pytest.raises(xlc.RequestTimeoutError):
            await engine.arerank(QUERY, DOCUMENTS * 40, instruction=INSTRUCTION, timeout=timeout)
        assert ranked(engine, DOCUMENTS[:4], instruction=INSTRUCTION)[0] == pytest.approx(expected, abs=1e-4)
