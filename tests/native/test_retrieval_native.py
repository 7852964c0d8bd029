"""The retrieval worker by itself: packing, pooling, truncation, pairs, turns and endings."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from xlc_core import _native
from xlc_core.errors import (
    EngineClosedError,
    InputTooLongError,
    InvalidRequestError,
    ModelLoadError,
    RequestCancelledError,
    UnsupportedFeatureError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = Path(__file__).parents[2] / "models" / "xllama_models"
EMBEDDER = str(MODELS / "all-minilm-l6-v2-f16.gguf")
TINY_EMBEDDER = str(Path(__file__).parents[1] / "model_files" / "bert-embedder.gguf")
RERANKER = str(MODELS / "xllama-rerank-mini-q8_0.gguf")
WAIT_SECONDS = 120

# The error of Q8_0 weights compared with float32. llama.cpp's graph is up to 0.2 off with them, because it also rounds
# activations to eight bits.
Q8_SCORE_TOLERANCE = 0.1 if _native.best_kernels() else 0.25


@pytest.fixture(scope="module")
def embedder() -> Iterator[Any]:
    retriever = _native.Retriever.open(EMBEDDER, 2)
    yield retriever
    retriever.close()


@pytest.fixture(scope="module")
def reranker() -> Iterator[Any]:
    retriever = _native.Retriever.open(RERANKER, 2)
    yield retriever
    retriever.close()


def finished(job: Any) -> Any:
    """Wait for a job and take its result."""
    assert job.wait(WAIT_SECONDS)
    return job.result()


def some_texts(n: int, n_words: int = 40) -> list[str]:
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    draw = random.Random(0)
    return [" ".join(draw.choices(words, k=n_words)) for _ in range(n)]


def test_embed_gives_normalised_float32_rows(embedder: Any) -> None:
    vectors = finished(embedder.embed(["a cat sat on the mat", "a kitten on a rug", "stock prices fell"]))
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_packing_does_not_change_the_vectors(embedder: Any) -> None:
    texts = [*some_texts(20), "hi", "", *some_texts(3, n_words=200)]
    packed = finished(embedder.embed(texts))
    alone = np.concatenate([finished(embedder.embed([text])) for text in texts])
    assert np.abs(packed - alone).max() < 2e-3


@pytest.mark.parametrize("text", ["", "nul\0inside", "emoji 🦙 \U0010ffff", "\u200b", "[CLS] [SEP] </s>"])
def test_odd_texts_are_embedded(embedder: Any, text: str) -> None:
    assert np.isfinite(finished(embedder.embed([text]))).all()


def test_names_of_special_tokens_in_a_text_stay_text(embedder: Any) -> None:
    (rows,) = finished(embedder.embed_tokens(["[SEP]"]))
    assert len(rows) == 5  # [CLS] [ sep ] [SEP]


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_pooling_agrees_with_token_vectors(pooling: str) -> None:
    retriever = _native.Retriever.open(EMBEDDER, 2, pooling=pooling)
    (vector,) = finished(retriever.embed(["pooled in several ways"], normalize=False))
    (rows,) = finished(retriever.embed_tokens(["pooled in several ways"], normalize=False))
    expected = {"mean": rows.mean(axis=0), "cls": rows[0], "last": rows[-1]}[pooling]
    assert vector == pytest.approx(expected, abs=1e-5)


def test_token_vectors_share_one_buffer_that_outlives_the_retriever() -> None:
    retriever = _native.Retriever.open(EMBEDDER, 2)
    first, second = finished(retriever.embed_tokens(["one two three", "four"]))
    retriever.close()
    del retriever
    assert first.shape == (5, 384)
    assert second.shape == (3, 384)
    assert np.linalg.norm(second, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert second.ctypes.data - first.ctypes.data == first.nbytes


def test_dimensions_keep_the_first_and_normalise_again(embedder: Any) -> None:
    short = finished(embedder.embed(["matryoshka"], dimensions=64))
    full = finished(embedder.embed(["matryoshka"]))[:, :64]
    assert short == pytest.approx(full / np.linalg.norm(full), abs=1e-6)
    with pytest.raises(InvalidRequestError, match="dimensions=385"):
        finished(embedder.embed(["matryoshka"], dimensions=385))


def test_prefix_is_put_before_each_text(embedder: Any) -> None:
    prefixed = finished(embedder.embed(["llamas?"], prefix="query: "))
    assert prefixed == pytest.approx(finished(embedder.embed(["query: llamas?"])), abs=1e-6)


def test_too_long_text_is_refused_with_its_numbers(embedder: Any) -> None:
    with pytest.raises(InputTooLongError, match="truncate") as caught:
        finished(embedder.embed(["short", "word " * 600]))
    assert (caught.value.index, caught.value.n_tokens, caught.value.limit) == (1, 602, 512)


@pytest.mark.parametrize(("truncate", "kept"), [("end", "first " + "x " * 509), ("start", "x " * 509 + "last")])
def test_truncation_keeps_one_end_and_the_special_tokens(embedder: Any, truncate: str, kept: str) -> None:
    whole = "first " + "x " * 600 + "last"
    truncated = finished(embedder.embed([whole], truncate=truncate))
    assert truncated == pytest.approx(finished(embedder.embed([kept])), abs=1e-5)


def test_truncation_at_the_start_spares_the_prefix(embedder: Any) -> None:
    truncated = finished(embedder.embed(["x " * 600], truncate="start", prefix="query: "))
    assert truncated == pytest.approx(finished(embedder.embed(["query: " + "x " * 508])), abs=1e-5)


@pytest.mark.parametrize(
    ("texts", "message"),
    [("one string", "list"), (["ok", 3], "text 1 must be a str"), (["a\ud800"], "text 0 .*surrogate")],
)
def test_bad_inputs_are_refused(embedder: Any, texts: Any, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        embedder.embed(texts)


def test_nothing_gives_nothing(embedder: Any, reranker: Any) -> None:
    assert finished(embedder.embed([])).shape == (0, 384)
    assert finished(embedder.embed_tokens([])) == []
    assert finished(reranker.rerank("query", [])).shape == (0,)


@pytest.mark.parametrize("n_ctx", [1, 2, 3, 40])
def test_tiny_context_does_not_abort(n_ctx: int) -> None:
    retriever = _native.Retriever.open(EMBEDDER, 2, n_ctx=n_ctx)
    job = retriever.embed(["more than three tokens"], truncate="end")
    if n_ctx < 3:
        with pytest.raises(InputTooLongError):
            finished(job)
    else:
        assert finished(job).shape == (1, 384)


def test_scores_match_the_reference(reranker: Any) -> None:
    pairs = json.loads((MODELS / "xllama-rerank-mini-reference.json").read_text())
    for query in {pair["query"] for pair in pairs}:
        asked = [pair for pair in pairs if pair["query"] == query]
        scores = finished(reranker.rerank(query, [pair["document"] for pair in asked], sentence_types=False))
        assert scores.dtype == np.float32
        assert scores == pytest.approx([pair["score"] for pair in asked], abs=Q8_SCORE_TOLERANCE)


def test_sentence_types_reach_the_model(reranker: Any) -> None:
    query, document = "What is the capital of France?", "The Eiffel Tower is in Paris."
    typed = finished(reranker.rerank(query, [document], sentence_types=True))
    untyped = finished(reranker.rerank(query, [document], sentence_types=False))
    # 4.26 and 1.64 by a float32 computation in numpy.
    assert typed[0] - untyped[0] == pytest.approx(2.6, abs=0.5)


def test_rerank_truncates_the_document_only(reranker: Any) -> None:
    query = "capital of France"
    with pytest.raises(InputTooLongError) as caught:
        finished(reranker.rerank(query, ["Paris", "Paris " * 600]))
    assert caught.value.index == 1
    assert np.isfinite(finished(reranker.rerank(query, ["Paris " * 600], truncate="end"))).all()
    with pytest.raises(InputTooLongError, match="query") as caught:
        finished(reranker.rerank("France " * 600, ["Paris"], truncate="end"))
    assert caught.value.index == -1


def test_each_kind_of_model_refuses_unsupported_calls(embedder: Any, reranker: Any) -> None:
    with pytest.raises(UnsupportedFeatureError, match="no ranking head"):
        finished(embedder.rerank("query", ["document"]))
    with pytest.raises(UnsupportedFeatureError, match="reranker"):
        finished(reranker.embed(["text"]))
    per_token = _native.Retriever.open(EMBEDDER, 2, pooling="none")
    with pytest.raises(UnsupportedFeatureError, match="embed_tokens"):
        finished(per_token.embed(["text"]))


def test_short_job_does_not_wait_for_a_long_one(embedder: Any) -> None:
    long = embedder.embed(some_texts(400))
    finished(embedder.embed(["a short query"]))
    assert long.n_done < long.n_total == 400
    assert not long.wait(0)
    long.cancel()
    with pytest.raises(RequestCancelledError):
        long.result()


def test_many_threads_ask_at_once(embedder: Any) -> None:
    texts = some_texts(16)
    expected = finished(embedder.embed(texts))
    answers: dict[int, Any] = {}

    def ask(i: int) -> None:
        answers[i] = finished(embedder.embed([texts[i]]))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.concatenate([answers[i] for i in range(len(texts))]) == pytest.approx(expected, abs=2e-3)


def test_waker_is_called_once_when_the_job_is_over(embedder: Any) -> None:
    woken = threading.Event()
    job = embedder.embed(some_texts(20))
    job.set_waker(woken.set)
    if job.arm():
        assert woken.wait(WAIT_SECONDS)
    assert finished(job).shape == (20, 384)
    assert not job.arm()


@pytest.mark.parametrize("call", ["embed", "embed_tokens", "rerank"])
def test_job_that_is_dropped_is_cancelled(embedder: Any, reranker: Any, call: str) -> None:
    woken: list[bool] = []
    texts = some_texts(2000)
    job = reranker.rerank("alpha", texts) if call == "rerank" else getattr(embedder, call)(texts)
    job.set_waker(lambda: woken.append(True))
    assert job.arm()
    del job
    assert woken


def test_close_fails_jobs_under_way_and_refuses_new_ones() -> None:
    retriever = _native.Retriever.open(EMBEDDER, 2)
    running, waiting = retriever.embed(some_texts(300)), retriever.embed(some_texts(300))
    retriever.close()
    retriever.close()
    for job in (running, waiting):
        with pytest.raises(EngineClosedError):
            finished(job)
    with pytest.raises(EngineClosedError):
        retriever.embed(["too late"])


def test_missing_file_is_a_load_error(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="absent"):
        _native.Retriever.open(str(tmp_path / "absent.gguf"), 1)


@pytest.mark.parametrize("own_kernels", [True, False])
def test_micro_batch_is_chosen_from_the_first_ones(own_kernels: bool) -> None:
    retriever = _native.Retriever.open(TINY_EMBEDDER, 2, own_kernels=own_kernels)

    def size_after(texts: list[str]) -> int:
        finished(retriever.embed(texts))
        finished(retriever.embed(["one query"]))  # the worker has taken note of the job before by then
        return int(retriever.n_batch_tokens)

    first = retriever.n_batch_tokens
    assert size_after(["another"]) == first  # a query alone tells nothing
    # Long ones, and some so short that only their number fills a micro-batch.
    chosen = size_after([*some_texts(150), *(["a"] * 3000)])
    assert chosen in (64, 128, 256, 512)
    for _ in range(3):  # and stays
        assert size_after(some_texts(40)) == chosen
    retriever.close()


def test_given_micro_batch_is_kept() -> None:
    retriever = _native.Retriever.open(TINY_EMBEDDER, 2, n_batch_tokens=96)
    finished(retriever.embed(some_texts(60)))
    assert retriever.n_batch_tokens == 96
    retriever.close()


def busy_with(retriever: Any) -> Any:
    """Start a job that keeps the worker busy while others are queued. It is to be cancelled."""
    return retriever.embed(["word " * 300] * 5000, truncate="end")


@pytest.mark.parametrize("own_kernels", [True, False])
def test_small_jobs_that_wait_share_micro_batches(own_kernels: bool) -> None:
    retriever = _native.Retriever.open(TINY_EMBEDDER, 2, n_batch_tokens=512, own_kernels=own_kernels)
    texts = [*some_texts(30, n_words=3), *some_texts(10, n_words=9)]
    alone = [finished(retriever.embed([text])) for text in texts]
    busy = busy_with(retriever)
    jobs = [retriever.embed([text]) for text in texts]
    before = retriever.n_batches
    together = [finished(job) for job in jobs]
    # They fill what the long job's micro-batches have left, or one of their own.
    assert retriever.n_batches - before < len(texts) // 4
    assert np.abs(np.concatenate(together) - np.concatenate(alone)).max() < 2e-3
    assert busy.n_done < busy.n_total
    retriever.close()


def test_jobs_that_share_a_micro_batch_end_apart() -> None:
    retriever = _native.Retriever.open(TINY_EMBEDDER, 2, n_batch_tokens=512)
    right = finished(retriever.embed(["a cat"]))
    busy = busy_with(retriever)
    wanted = retriever.embed(["a cat"])
    too_long = retriever.embed(["word " * 5000])
    cancelled = retriever.embed(["a dog"])
    rows = retriever.embed_tokens(["a cat"])
    wrong = retriever.embed(["a cat"], dimensions=10_000)
    nothing = retriever.embed([])
    after = retriever.embed(["a cat"])
    cancelled.cancel()
    for job in (wanted, after):
        assert np.abs(finished(job) - right).max() < 2e-3
    assert finished(rows)[0].shape == (len(retriever.text_ends("a cat", 9, 0)) + 2, right.shape[1])
    assert finished(nothing).shape == (0, right.shape[1])
    for job, error in ((too_long, InputTooLongError), (wrong, InvalidRequestError), (cancelled, RequestCancelledError)):
        with pytest.raises(error):
            finished(job)
    assert busy.n_done < busy.n_total
    retriever.close()


def test_small_rerankings_share_micro_batches(reranker: Any) -> None:
    pairs = [("capital of France", "Paris is it."), ("how to boil eggs", "Ten minutes."), ("colour of milk", "White.")]
    alone = [finished(reranker.rerank(query, [document])) for query, document in pairs]
    busy = reranker.rerank("alpha", some_texts(60, n_words=300), truncate="end")
    jobs = [reranker.rerank(query, [document]) for query, document in pairs * 4]
    before = reranker.n_batches
    together = [finished(job) for job in jobs]
    assert reranker.n_batches - before < len(jobs)
    assert np.abs(np.concatenate(together) - np.concatenate(alone * 4)).max() < Q8_SCORE_TOLERANCE
    busy.cancel()


def test_close_fails_all_jobs_of_a_micro_batch() -> None:
    retriever = _native.Retriever.open(TINY_EMBEDDER, 2, n_batch_tokens=512)
    jobs = [busy_with(retriever), *(retriever.embed([text]) for text in some_texts(50, n_words=3))]
    retriever.close()
    for job in jobs:
        assert job.wait(WAIT_SECONDS)
        try:
            job.result()
        except EngineClosedError:
            continue
