"""XLlamaEmbedding and XLlamaRerank beyond the conformance suites."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.embeddings.loading import load_embed_model
from llama_index.core.rate_limiter import BaseRateLimiter
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore

import xlc_core as xlc
from helpers.llamaindex_watching import watched_events
from xlc_core.models.identity import model_identity
from xlc_core.reranking.rerank import arerank_documents, rerank_documents
from xlc_core.testing import ScriptedEngine
from xlc_llamaindex import XLlama, XLlamaEmbedding, XLlamaRerank


def test_model_has_two_names(embed_model: XLlamaEmbedding) -> None:
    named = XLlamaEmbedding(model_name="all-minilm-l6-v2")
    assert (named.model, named.model_name) == ("all-minilm-l6-v2", "all-minilm-l6-v2")
    assert load_embed_model(named.to_dict()).to_dict() == named.to_dict()
    with pytest.raises(ValueError, match="xllama models list"):
        XLlamaEmbedding()
    with pytest.raises(ValueError, match="did you mean 'n_parallel'"):
        XLlamaEmbedding(model="a.gguf", engine_options={"n_paralel": 2})


def test_prompts_come_from_model_unless_given() -> None:
    asking = XLlamaEmbedding(model="some.gguf")._embed_options("query")
    assert (asking["prompt"], asking["prompt_name"]) == (None, "query")
    given = XLlamaEmbedding(model="some.gguf", query_prompt="", document_prompt="t: ")
    assert (given._embed_options("query")["prompt"], given._embed_options("document")["prompt"]) == ("", "t: ")


def test_names_of_other_adapters_are_refused() -> None:
    with pytest.raises(ValueError, match="no field 'query_instruction'; write query_prompt="):
        XLlamaEmbedding(model="some.gguf", query_instruction="q: ")


def test_prompts_change_vectors(embed_model: XLlamaEmbedding) -> None:
    told = embed_model.model_copy(update={"query_prompt": "question: ", "document_prompt": "passage: "})
    expected = embed_model.get_text_embedding("question: tea")
    np.testing.assert_allclose(told.get_query_embedding("tea"), expected, atol=2e-3)
    np.testing.assert_allclose(
        told.get_text_embedding("tea"), embed_model.get_text_embedding("passage: tea"), atol=2e-3
    )


def test_dimensions_and_length(embed_model: XLlamaEmbedding) -> None:
    short = embed_model.model_copy(update={"dimensions": 64})
    assert len(short.get_query_embedding("tea")) == 64
    assert math.isclose(np.linalg.norm(short.get_query_embedding("tea")), 1, abs_tol=1e-3)
    raw = embed_model.model_copy(update={"normalize": False})
    assert not math.isclose(np.linalg.norm(raw.get_query_embedding("tea")), 1, abs_tol=1e-2)


async def test_long_text_is_refused_unless_it_may_be_cut(embed_model: XLlamaEmbedding) -> None:
    long = "tea " * 2000
    with pytest.raises(xlc.InputTooLongError) as caught:
        embed_model.get_text_embedding_batch(["short", long])
    assert caught.value.index == 1
    cutting = embed_model.model_copy(update={"truncate": "end"})
    assert len(await cutting.aget_text_embedding(long)) == 384


def test_identities() -> None:
    assert model_identity("all-minilm-l6-v2") != model_identity("xllama-rerank-mini")
    assert model_identity("hf:nobody/nothing-of-the-sort") is None


def found(*texts: str) -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text, metadata={"file": "a.md"}), score=0.25) for text in texts]


def test_retrieval_score_is_kept_but_not_shown(rerank: XLlamaRerank) -> None:
    (best,) = rerank.postprocess_nodes(found("A slot is free."), query_str="Is a slot free?")
    assert best.node.metadata == {"file": "a.md", "retrieval_score": 0.25}
    for mode in (MetadataMode.LLM, MetadataMode.EMBED):
        assert "retrieval_score" not in best.node.get_content(metadata_mode=mode)
    (again,) = rerank.postprocess_nodes([best], query_str="Is a slot free?")
    assert again.node.metadata["retrieval_score"] == 0.25
    plain = rerank.model_copy(update={"keep_retrieval_score": False})
    (best,) = plain.postprocess_nodes(found("A slot is free."), query_str="Is a slot free?")
    assert best.node.metadata == {"file": "a.md"}


async def test_events_are_balanced_when_something_fails() -> None:
    broken = XLlamaRerank(model="missing.gguf")
    with watched_events() as events:
        with pytest.raises(xlc.ModelNotFoundError):
            broken.postprocess_nodes(found("A"), query_str="q")
        with pytest.raises(xlc.ModelNotFoundError):
            await broken.apostprocess_nodes(found("A"), query_str="q")
    counts = events.counts()
    assert counts["ReRankStartEvent"] == counts["ReRankEndEvent"] == 2


@pytest.mark.parametrize("method", ["cross-encoder", "late-interaction"])
async def test_method_that_model_cannot_do_is_refused(llm: XLlama, method: Any) -> None:
    with pytest.raises(xlc.UnsupportedFeatureError):
        XLlamaRerank(model="all-minilm-l6-v2", method="cross-encoder").postprocess_nodes(found("A"), query_str="q")
    with pytest.raises(xlc.XllamaError):
        await XLlamaRerank(model="all-minilm-l6-v2", method="generative").apostprocess_nodes(found("A"), query_str="q")


def test_late_interaction_is_mean_of_best_cosines(embedder: xlc.Engine) -> None:
    documents = ["Green tea is hot.", "A road tyre."]
    query, *tokens = embedder.embed_tokens(["hot tea", *documents])
    scores = rerank_documents(embedder, "hot tea", documents)
    assert [score.index for score in scores] == [0, 1]
    for score in scores:
        expected = np.mean([max(float(q @ d) for d in tokens[score.index]) for q in query])
        np.testing.assert_allclose(score.score, expected, atol=2e-3)


async def test_judge_score_is_logit_of_its_yes() -> None:
    def judged(**logprobs: float) -> xlc.Completion:
        top = tuple(xlc.TokenLogprob(token, n, value) for n, (token, value) in enumerate(logprobs.items()))
        choice = xlc.CompletionChoice(text="", logprobs=(xlc.TokenLogprob("", 0, 0.0, top),))
        return xlc.Completion((choice,), xlc.Usage(1, 1), "scripted")

    replies = [judged(Yes=-1.0, yes=-1.0, no=-2.0), judged(No=-0.5, maybe=-4.0)]
    expected = [math.log(2 * math.exp(-1)) + 2, -4.0 + 0.5]
    sync = rerank_documents(ScriptedEngine(replies), "q", ["a", "b"], method="generative")
    tasks = await arerank_documents(ScriptedEngine(replies), "q", ["a", "b"], method="generative")
    for scores in (sync, tasks):
        np.testing.assert_allclose([score.score for score in scores], expected, atol=1e-5)


def test_judge_refuses_or_truncates_long_documents(llm: XLlama) -> None:
    judge = llm._get_engine()
    with pytest.raises(xlc.InputTooLongError) as caught:
        rerank_documents(judge, "q", ["short", "word " * 3000], method="generative")
    assert caught.value.index == 1
    with pytest.raises(xlc.InputTooLongError, match="the query leaves no room"):
        rerank_documents(judge, "word " * 3000, ["short"], method="generative")


async def test_long_nodes_instructions_and_scales() -> None:
    options: dict[str, Any] = {
        "instruction": "find the opposite", "scores": "sigmoid", "truncate": "split", "overlap": 200,
    }  # fmt: skip
    texts = ["the llama grazes " * 300, "rates rose"]
    path = Path(__file__).parents[1] / "model_files" / "qwen3-reranker.gguf"
    with xlc.Engine(path, n_threads=1, n_ctx=512) as engine:
        expected = {texts[score.index]: score.score for score in engine.rerank("llama", texts, **options)}
        rerank = XLlamaRerank(engine=engine, metadata_mode=MetadataMode.NONE, **options)
        for nodes in (
            rerank.postprocess_nodes(found(*texts), query_str="llama"),
            await rerank.apostprocess_nodes(found(*texts), query_str="llama"),
        ):
            scores = {node.node.get_content(metadata_mode=MetadataMode.NONE): node.score for node in nodes}
            assert scores == pytest.approx(expected, abs=1e-4)
        assert rerank.to_dict()["instruction"] == "find the opposite"


class CountingEngine(ScriptedEngine):
    """Keeps the texts that it embeds."""

    def embed(self, texts: Any, **options: Any) -> Any:
        self.__dict__.setdefault("embedded", []).extend(texts)
        return super().embed(texts, **options)


def test_cache_holds_each_text_once_and_copies_no_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = CountingEngine(embeddings=lambda texts: np.ones((len(texts), 2), dtype=np.float32))
    store = SimpleKVStore()
    embed_model = XLlamaEmbedding(engine=engine, embeddings_cache=store, embed_batch_size=2)
    monkeypatch.setattr(XLlamaEmbedding, "model_copy", None)  # a call that copied would fail
    for _ in range(2):
        assert embed_model.get_text_embedding_batch(["a", "b", "c"], show_progress=True) == [[1.0, 1.0]] * 3
    assert embed_model.get_text_embedding("a") == embed_model.get_query_embedding("a") == [1.0, 1.0]
    assert engine.__dict__["embedded"] == ["a", "b", "c", "a"]
    assert len(store.get_all("embeddings")) == 4
    assert embed_model.embeddings_cache is store


class Limiter(BaseRateLimiter):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def acquire(self) -> None:
        self.asked += 1

    async def async_acquire(self) -> None:
        self.asked += 1


async def test_rate_limiter_is_asked_before_the_engine_only() -> None:
    engine = ScriptedEngine(embeddings=lambda texts: np.ones((len(texts), 2), dtype=np.float32))
    limiter = Limiter()
    embed_model = XLlamaEmbedding(engine=engine, embeddings_cache=SimpleKVStore(), rate_limiter=limiter)
    for _ in range(2):
        await embed_model.aget_text_embedding_batch(["a", "b"])
        embed_model.get_query_embedding("a")
    assert limiter.asked == 2
