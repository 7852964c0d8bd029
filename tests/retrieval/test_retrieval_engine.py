"""Embedding and reranking through the engine: shapes, order, what is too long, and what a model cannot do."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import xlc_core as xlc
from xlc_core.options.retrieval import RerankOptions
from xlc_core.retrieval.scores import best_first

TEXTS = ["A llama grazes in the Andes.", "", "Interest rates rose.", "word " * 300, "🦙", "An alpaca eats grass."]
DOCUMENTS = [
    "Interest rates rose by half a point.",
    "Paris is the capital and largest city of France.",
    "The llama is a domesticated animal of the Andes.",
]
QUERY = "What is the capital of France?"


def test_each_text_gets_normalised_row_in_order(embedder: xlc.Engine) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    assert vectors[0] @ vectors[5] > vectors[0] @ vectors[2]


def test_vectors_do_not_depend_on_other_texts(embedder: xlc.Engine) -> None:
    together = embedder.embed(TEXTS)
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    assert np.einsum("ij,ij->i", together, alone).min() > 1 - 1e-3
    np.testing.assert_allclose(embedder.embed(TEXTS[::-1])[::-1], together, atol=2e-3)


def test_no_texts_give_no_rows(embedder: xlc.Engine) -> None:
    assert embedder.embed([]).shape == (0, 384)
    assert embedder.embed([]).dtype == np.float32
    assert embedder.embed_tokens([]) == []


def test_vectors_need_not_be_normalised(embedder: xlc.Engine) -> None:
    raw = embedder.embed(TEXTS[:1], normalize=False)
    length = np.linalg.norm(raw)
    assert abs(length - 1) > 1e-3
    assert raw / length == pytest.approx(embedder.embed(TEXTS[:1]), abs=1e-5)


def test_result_can_be_written_to_and_outlives_its_engine() -> None:
    with xlc.Engine("all-minilm-l6-v2") as engine:
        vectors = engine.embed(["a", "b"])
    vectors += 1
    assert np.isfinite(vectors).all()


def test_text_that_is_too_long_is_refused_with_its_place_and_length(embedder: xlc.Engine) -> None:
    with pytest.raises(xlc.InputTooLongError, match="512") as caught:
        embedder.embed(["short", "word " * 700, "word " * 900])
    assert caught.value.index == 1
    assert caught.value.n_tokens == 702
    assert caught.value.limit == 512
    assert isinstance(caught.value, ValueError)


def test_text_that_is_too_long_can_be_cut_at_either_end(embedder: xlc.Engine) -> None:
    n_kept = 510  # and two special tokens
    text = "llama " + "word " * 700 + "bank"
    n_words = len(embedder.tokenize(text))
    assert embedder.embed([text], truncate="end") == pytest.approx(
        embedder.embed([" ".join(text.split()[: n_kept - (n_words - 702)])]), abs=1e-3
    )
    assert embedder.embed([text], truncate="start") == pytest.approx(
        embedder.embed([" ".join(text.split()[-n_kept:])]), abs=1e-3
    )


def test_unknown_way_to_cut_is_refused(embedder: xlc.Engine) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="middle"):
        embedder.embed(["a"], truncate="middle")  # type: ignore[arg-type]


def test_prompt_comes_before_each_text(embedder: xlc.Engine) -> None:
    prefixed = embedder.embed(["a llama", "a bank"], prompt="query: ")
    assert prefixed == pytest.approx(embedder.embed(["query: a llama", "query: a bank"]), abs=1e-6)


def test_leading_dimensions_can_be_kept(embedder: xlc.Engine) -> None:
    short = embedder.embed(TEXTS[:1], dimensions=64)
    full = embedder.embed(TEXTS[:1])[:, :64]
    assert short == pytest.approx(full / np.linalg.norm(full), abs=1e-6)
    with pytest.raises(xlc.InvalidRequestError, match="dimensions=385"):
        embedder.embed(TEXTS[:1], dimensions=385)


def test_progress_is_shown_on_stderr_when_asked_for(embedder: xlc.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    embedder.embed(["word " * 50] * 20, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "20/20" in shown.err
    embedder.embed(["word"])
    assert capsys.readouterr() == ("", "")


def test_each_token_gets_row(embedder: xlc.Engine) -> None:
    rows = embedder.embed_tokens(["a llama", "", "a b c d"])
    assert [row.shape for row in rows] == [(len(embedder.tokenize(t)) + 2, 384) for t in ("a llama", "", "a b c d")]
    assert all(row.dtype == np.float32 for row in rows)
    assert np.linalg.norm(rows[0], axis=1) == pytest.approx(np.ones(len(rows[0])), abs=1e-5)


@pytest.mark.parametrize("texts", [["fine", "\ud800"], ["fine", None], [b"bytes"], "one text", 3])
def test_non_text_is_refused(embedder: xlc.Engine, texts: Any) -> None:
    with pytest.raises((xlc.InvalidRequestError, TypeError)):
        embedder.embed(texts)


def test_answer_comes_first(reranker: xlc.Engine) -> None:
    scores = reranker.rerank(QUERY, DOCUMENTS)
    assert scores[0].index == 1
    assert sorted(score.index for score in scores) == [0, 1, 2]
    assert [score.score for score in scores] == sorted((score.score for score in scores), reverse=True)
    assert reranker.rerank(QUERY, DOCUMENTS, top_n=2) == scores[:2]
    assert reranker.rerank(QUERY, DOCUMENTS, top_n=9) == scores


def test_scores_do_not_depend_on_order_of_documents(reranker: xlc.Engine) -> None:
    scores = {DOCUMENTS[score.index]: score.score for score in reranker.rerank(QUERY, DOCUMENTS)}
    turned = {DOCUMENTS[::-1][score.index]: score.score for score in reranker.rerank(QUERY, DOCUMENTS[::-1])}
    assert turned == pytest.approx(scores, abs=0.05)


def test_equal_scores_keep_their_order() -> None:
    scores = best_first(np.array([1, 2, 1, 2], dtype=np.float32), RerankOptions())
    assert scores == [xlc.RerankScore(1, 2), xlc.RerankScore(3, 2), xlc.RerankScore(0, 1), xlc.RerankScore(2, 1)]


def test_order_weight_is_applied() -> None:
    # −log of the places 1 to 3, standardised: 1.33, −0.21, −1.12; the scores: −1.41, 0.71, 0.71.
    given = np.array([-5, 1, 1], dtype=np.float32)

    def order(weight: float, scores: npt.NDArray[np.float32] = given) -> list[int]:
        ranked = best_first(scores, RerankOptions(order_weight=weight))
        assert {score.index: score.score for score in ranked} == dict(enumerate(scores))
        return [score.index for score in ranked]

    assert order(0) == [1, 2, 0]
    assert order(1) == [1, 0, 2]
    assert order(3) == [0, 1, 2]
    assert order(1, np.zeros(3, np.float32)) == [0, 1, 2]
    assert order(1, given[:1]) == [0]
    assert order(1, given[:0]) == []


def test_order_counts_before_best_are_kept(reranker: xlc.Engine) -> None:
    assert reranker.rerank(QUERY, DOCUMENTS, top_n=1)[0].index == 1
    assert reranker.rerank(QUERY, DOCUMENTS, top_n=1, order_weight=100.0)[0].index == 0
    with pytest.raises(xlc.InvalidRequestError, match="order_weight"):
        reranker.rerank(QUERY, DOCUMENTS, order_weight=-1.0)


def test_equal_documents_score_alike(reranker: xlc.Engine) -> None:
    scores = [score.score for score in reranker.rerank(QUERY, [DOCUMENTS[1]] * 4)]
    assert max(scores) - min(scores) < 0.05


def test_no_documents_give_no_scores(reranker: xlc.Engine) -> None:
    assert reranker.rerank(QUERY, []) == []
    assert len(reranker.rerank("", [""])) == 1


def test_pair_that_is_too_long_is_refused_or_cut(reranker: xlc.Engine) -> None:
    documents = ["short", "word " * 2000]
    with pytest.raises(xlc.InputTooLongError) as caught:
        reranker.rerank(QUERY, documents)
    assert caught.value.index == 1
    assert caught.value.n_tokens > caught.value.limit
    assert len(reranker.rerank(QUERY, documents, truncate="end")) == 2
    with pytest.raises(xlc.InputTooLongError):
        reranker.rerank("word " * 2000, ["short"], truncate="end")


def test_embedder_has_no_ranking_head(embedder: xlc.Engine) -> None:
    with pytest.raises(xlc.UnsupportedFeatureError, match="no ranking head"):
        embedder.rerank(QUERY, DOCUMENTS)


def test_reranker_gives_no_embeddings(reranker: xlc.Engine) -> None:
    with pytest.raises(xlc.UnsupportedFeatureError, match="rank"):
        reranker.embed(["a"])


def test_timeout_ends_job_and_next_one_runs(embedder: xlc.Engine, reranker: xlc.Engine) -> None:
    with pytest.raises(xlc.RequestTimeoutError, match=r"0\.05 s"):
        embedder.embed(["word " * 400] * 2000, timeout=0.05)
    assert embedder.embed(["next"], timeout=20).shape == (1, 384)
    with pytest.raises(xlc.RequestTimeoutError):
        reranker.rerank(QUERY, ["word " * 300] * 2000, timeout=0.05)
    assert len(reranker.rerank(QUERY, ["next"], timeout=20)) == 1


def test_threads_get_their_own_vectors(embedder: xlc.Engine) -> None:
    texts = [f"text number {number}" for number in range(24)]
    expected = embedder.embed(texts)

    def embed(number: int) -> np.ndarray:
        return embedder.embed([texts[number]])[0]

    with ThreadPoolExecutor(8) as pool:
        vectors = np.stack(list(pool.map(embed, range(24))))
    assert np.einsum("ij,ij->i", vectors, expected).min() > 1 - 1e-3


def test_short_request_does_not_wait_for_end_of_long_one(embedder: xlc.Engine) -> None:
    done = threading.Event()

    def embed_many() -> None:
        embedder.embed(["word " * 100] * 100)
        done.set()

    thread = threading.Thread(target=embed_many)
    thread.start()
    for _ in range(3):
        embedder.embed(["short"])
    assert not done.is_set()
    thread.join()


def test_chat_model_embeds_while_it_answers(engine: xlc.Engine) -> None:
    with engine.stream_chat("Count", max_tokens=200, ignore_eos=True) as stream:
        next(stream)
        assert engine.embed(["meanwhile"]).shape == (1, 576)
        assert engine.metrics().requests_running == 1
