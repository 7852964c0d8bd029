"""Texts in arrays, columns of tables, tuples and generators are embedded and ranked as those in a list."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from langchain_core.documents import Document

import xlc_core as xlc
from helpers.columns import COLUMNS
from xlc_langchain import XLlamaCrossEncoder, XLlamaEmbeddings, XLlamaReranker
from xlc_llamaindex import XLlamaEmbedding

TEXTS = ["a cat", "a dog", "a house"]
every_column = pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS.keys())


@pytest.fixture(scope="module")
def vectors(embedder: xlc.Engine) -> Any:
    return embedder.embed(TEXTS)


@every_column
async def test_engine_embeds(embedder: xlc.Engine, vectors: Any, column: Any) -> None:
    for found in (embedder.embed(column(TEXTS)), await embedder.aembed(column(TEXTS))):
        np.testing.assert_allclose(found, vectors, atol=1e-3)
    assert len(embedder.embed_tokens(column(TEXTS))) == 3
    np.testing.assert_allclose(list(embedder.embed_stream(column(TEXTS))), vectors, atol=1e-3)
    assert embedder.embed(column([])).shape == (0, 384)


@every_column
async def test_engine_ranks(reranker: xlc.Engine, embedder: xlc.Engine, engine: xlc.Engine, column: Any) -> None:
    best = reranker.rerank("cat", TEXTS)[0].index
    assert reranker.rerank("cat", column(TEXTS))[0].index == best
    assert (await reranker.arerank("cat", column(TEXTS), truncate="split"))[0].index == best
    assert len(xlc.rerank_documents(embedder, "cat", column(TEXTS), method="late-interaction")) == 3
    assert len(await xlc.arerank_documents(engine, "cat", column(TEXTS), method="generative", truncate="split")) == 3


@every_column
async def test_adapters_embed(embedder: xlc.Engine, vectors: Any, column: Any) -> None:
    langchain, llamaindex = XLlamaEmbeddings(engine=embedder), XLlamaEmbedding(engine=embedder)
    for found in (
        langchain.embed_documents(column(TEXTS)),
        await langchain.aembed_documents(column(TEXTS)),
        llamaindex.get_text_embedding_batch(column(TEXTS)),
        await llamaindex.aget_text_embedding_batch(column(TEXTS)),
    ):
        np.testing.assert_allclose(found, vectors, atol=1e-3)
    assert langchain.embed_documents(column([])) == await langchain.aembed_documents(column([])) == []


@pytest.mark.parametrize("make", [tuple, iter, lambda items: np.array(items, dtype=object), pd.Series])
async def test_rerankers_take_documents_and_pairs(reranker: xlc.Engine, make: Any) -> None:
    documents = [Document(text) for text in TEXTS]
    adapter = XLlamaReranker(engine=reranker, top_n=1)
    (expected,) = adapter.compress_documents(documents, "cat")
    assert adapter.compress_documents(make(documents), "cat") == [expected]
    assert await adapter.acompress_documents(make(documents), "cat") == [expected]
    assert adapter.compress_documents(make([]), "cat") == []
    scorer = XLlamaCrossEncoder(engine=reranker)
    pairs = [("cat", text) for text in TEXTS]
    assert len(scorer.score(make(pairs) if make is not pd.Series else pd.DataFrame(pairs).to_numpy())) == 3


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (pd.DataFrame({"text": TEXTS}), "pass one of its columns"),
        (np.array([TEXTS]), "pass one of its columns"),
        ("a cat", "put it in a list"),
        ({"a cat", "a dog"}, "not set"),
        ({"a": "cat"}, "not dict"),
        (7, "not int"),
        (pd.Series(["a", None]), "text 1 must be"),
    ],
)
def test_other_values_are_refused(embedder: xlc.Engine, texts: Any, reason: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=reason):
        embedder.embed(texts)
