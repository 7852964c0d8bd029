"""XLlamaCrossEncoder on the shipped reranker, alone and inside langchain-classic's retrievers."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore

import xlc_core as xlc
from xlc_langchain import XLlamaCrossEncoder, XLlamaEmbeddings, XLlamaReranker
from xlc_langchain.errors import InputTooLongError

if TYPE_CHECKING:
    from xlc_core import Engine

PAIRS = [
    ("What happens to a cancelled request?", "A request that is cancelled frees its slot."),
    ("How long does tea steep?", "A request that is cancelled frees its slot."),
    ("How long does tea steep?", "Tea steeps for four minutes."),
    ("What happens to a cancelled request?", "Tea steeps for four minutes."),
]
TEXTS = ["The tower is in Paris.", "A request that is cancelled frees its slot.", "Tea steeps for four minutes."]


@pytest.fixture
def scorer(reranker: Engine) -> XLlamaCrossEncoder:
    return XLlamaCrossEncoder(engine=reranker)


async def test_each_pair_gets_its_own_score(scorer: XLlamaCrossEncoder, reranker: Engine) -> None:
    scores = scorer.score(PAIRS)
    assert scores[0] > scores[3]
    assert scores[2] > scores[1]
    for (query, document), score in zip(PAIRS, scores, strict=True):
        assert score == pytest.approx(reranker.rerank(query, [document])[0].score, abs=1e-3)
    assert await scorer.ascore(PAIRS) == pytest.approx(scores, abs=1e-3)
    assert all(type(score) is float for score in scores)


async def test_no_pairs_need_no_model() -> None:
    missing = XLlamaCrossEncoder(model="missing.gguf")
    assert missing.score([]) == await missing.ascore([]) == []


async def test_pair_that_is_too_long_is_refused_or_cut(reranker: Engine) -> None:
    pairs = [("tea", "word " * 2000)]
    with pytest.raises(InputTooLongError):
        XLlamaCrossEncoder(engine=reranker).score(pairs)
    cutting = XLlamaCrossEncoder(engine=reranker, truncate="end")
    assert len(cutting.score(pairs)) == len(await cutting.ascore(pairs)) == 1


def test_pickle_finds_its_model_again(scorer: XLlamaCrossEncoder) -> None:
    with pickle.loads(pickle.dumps(scorer)) as twin:
        assert twin.score(PAIRS[:1]) == pytest.approx(scorer.score(PAIRS[:1]), abs=1e-3)


@pytest.mark.parametrize("kind", ["cross_encoder", "reranker"])
async def test_in_retriever_that_reranks(kind: str, reranker: Engine, embedder: Engine) -> None:
    store = InMemoryVectorStore.from_texts(TEXTS, XLlamaEmbeddings(engine=embedder))
    compressor = (
        CrossEncoderReranker(model=XLlamaCrossEncoder(engine=reranker), top_n=1)
        if kind == "cross_encoder"
        else XLlamaReranker(engine=reranker, top_n=1)
    )
    retriever = ContextualCompressionRetriever(base_compressor=compressor, base_retriever=store.as_retriever())
    (best,) = retriever.invoke(PAIRS[0][0])
    assert isinstance(best, Document)
    assert best.page_content == TEXTS[1]
    assert (await retriever.ainvoke(PAIRS[0][0]))[0].page_content == TEXTS[1]


async def test_long_documents_instructions_and_scales() -> None:
    options = {"instruction": "find the opposite", "scores": "sigmoid", "truncate": "split"}
    pairs = [("llama", "the llama grazes " * 300), ("llama", "rates rose")]
    path = Path(__file__).parents[1] / "model_files" / "qwen3-reranker.gguf"
    with xlc.Engine(path, n_threads=1, n_ctx=512) as engine:
        expected = {
            score.index: score.score for score in engine.rerank("llama", [text for _, text in pairs], **options)
        }
        scorer = XLlamaCrossEncoder(engine=engine, **options)
        assert scorer.score(pairs) == pytest.approx([expected[0], expected[1]], abs=1e-4)
        assert await scorer.ascore(pairs) == pytest.approx([expected[0], expected[1]], abs=1e-4)
        reranker = XLlamaReranker(engine=engine, **options)
        documents = [Document(text) for _, text in pairs]
        for found in (
            reranker.compress_documents(documents, "llama"),
            await reranker.acompress_documents(documents, "llama"),
        ):
            by_text = {document.page_content: document.metadata["relevance_score"] for document in found}
            assert [by_text[text] for _, text in pairs] == pytest.approx([expected[0], expected[1]], abs=1e-4)
    for wrong in ({"truncate": "middle"}, {"scores": "percent"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            XLlamaCrossEncoder(model="some.gguf", **wrong)
