"""XLlamaEmbeddings and XLlamaReranker over a scripted engine."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from langchain_core.documents import Document

from xlc_core.testing import ScriptedEngine
from xlc_langchain import XLlamaCrossEncoder, XLlamaEmbeddings, XLlamaReranker
from xlc_langchain.errors import RequestTimeoutError, UnsupportedFeatureError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlc_core import Engine


class RecordingEngine(ScriptedEngine):
    """Keeps what it was asked to embed or rerank."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[dict[str, Any]] = []

    def embed(self, texts: Sequence[str], **options: Any) -> Any:
        self.asked.append({"texts": list(texts), **options})
        return super().embed(texts, **options)

    def rerank(self, query: str, documents: Sequence[str], **options: Any) -> Any:
        self.asked.append({"query": query, **options})
        return super().rerank(query, documents, **options)


def lengths(texts: Sequence[str]) -> Any:
    return np.array([[len(text), 1] for text in texts], dtype=np.float32)


async def test_embeddings_sync_and_async() -> None:
    engine = RecordingEngine(embeddings=lengths)
    embeddings = XLlamaEmbeddings(engine=engine, query_prompt="query: ", truncate="end")
    assert embeddings.embed_documents(["a", "bcd"]) == [[1.0, 1.0], [3.0, 1.0]]
    assert await embeddings.aembed_documents(["a", "bcd"]) == [[1.0, 1.0], [3.0, 1.0]]
    assert embeddings.embed_query("abc") == [10.0, 1.0]
    assert await embeddings.aembed_query("abc") == [10.0, 1.0]
    assert engine.asked[0] == engine.asked[1]
    assert engine.asked[0]["truncate"] == "end"
    assert engine.asked[2] == engine.asked[3]


async def test_no_texts_need_no_model() -> None:
    embeddings = XLlamaEmbeddings(model="missing.gguf")
    assert embeddings.embed_documents([]) == await embeddings.aembed_documents([]) == []
    reranker = XLlamaReranker(model="missing.gguf")
    assert reranker.compress_documents([], "q") == await reranker.acompress_documents([], "q") == []


def test_prompts_come_from_model_unless_given() -> None:
    asking = XLlamaEmbeddings(model="some.gguf")._embed_options("query")
    assert (asking["prompt"], asking["prompt_name"]) == (None, "query")
    given = XLlamaEmbeddings(model="some.gguf", query_prompt="", document_prompt="d: ")
    assert given._embed_options("query")["prompt"] == ""
    assert given._embed_options("document")["prompt"] == "d: "


DOCUMENTS = [
    Document("cats sleep", metadata={"source": "a.md"}),
    Document("what is a slot", metadata={"source": "b.md"}, id="2"),
    Document("a slot of a door", metadata={"source": "c.md"}),
]


async def test_reranking_orders_and_keeps_input() -> None:
    before = copy.deepcopy(DOCUMENTS)
    engine = RecordingEngine()
    reranker = XLlamaReranker(engine=engine, top_n=2, truncate="end")
    best = reranker.compress_documents(DOCUMENTS, "what is a slot")
    assert [document.metadata for document in best] == [
        {"source": "b.md", "relevance_score": 1.0},
        {"source": "c.md", "relevance_score": 0.5},
    ]
    assert best[0].id == "2"
    assert await reranker.acompress_documents(DOCUMENTS, "what is a slot") == best
    assert before == DOCUMENTS
    assert engine.asked[0] == {
        "query": "what is a slot",
        "top_n": 2,
        "truncate": "end",
        "overlap": 64,
        "instruction": None,
        "scores": "raw",
        "order_weight": 0.0,
        "timeout": None,
    }


QUERY = "What happens to the slot of a cancelled request?"
CANDIDATES = [
    Document("The tower is in Paris and is 330 metres high."),
    Document("A request that is cancelled frees its slot."),
]


async def test_embedder_can_order_too(embedder: Engine) -> None:
    """By its token vectors, since it has no ranking head."""
    reranker = XLlamaReranker(engine=embedder, top_n=1)
    (best,) = reranker.compress_documents(CANDIDATES, QUERY)
    assert best.page_content == CANDIDATES[1].page_content
    assert await reranker.acompress_documents(CANDIDATES, QUERY) == [best]
    with pytest.raises(UnsupportedFeatureError):
        XLlamaReranker(engine=embedder, method="cross-encoder").compress_documents(CANDIDATES, QUERY)


async def test_chat_model_can_judge(engine: Engine) -> None:
    scorer = XLlamaCrossEncoder(engine=engine)
    pairs = [(QUERY, document.page_content) for document in CANDIDATES]
    scores = scorer.score(pairs)
    assert len(scores) == len(await scorer.ascore(pairs)) == 2
    assert all(type(score) is float for score in scores)


async def test_timeout_is_langchain_error(embedder: Engine) -> None:
    texts = ["word " * 200] * 400
    with pytest.raises(RequestTimeoutError):
        XLlamaEmbeddings(engine=embedder, timeout=0.01).embed_documents(texts)
    documents = [Document(text) for text in texts]
    with pytest.raises(RequestTimeoutError):
        await XLlamaReranker(engine=embedder, timeout=0.01).acompress_documents(documents, QUERY)


@pytest.mark.parametrize("top_n", [0, -1])
def test_top_n_is_checked(top_n: int) -> None:
    with pytest.raises(ValueError, match="top_n"):
        XLlamaReranker(model="some.gguf", top_n=top_n)
