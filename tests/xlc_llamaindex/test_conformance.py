"""Our classes pass the conformance suites whole."""

from __future__ import annotations

import pytest
from llama_index.core.llms import LLM

from helpers.llamaindex_conformance import LLMConformance
from helpers.llamaindex_conformance_retrieval import EmbeddingConformance, RerankConformance
from helpers.waiting import is_idle, wait_until
from xlc_llamaindex import XLlama, XLlamaEmbedding, XLlamaRerank


class TestXLlama(LLMConformance):
    @pytest.fixture
    def llm(self, llm: XLlama) -> XLlama:
        return llm

    def generated_tokens(self, llm: LLM) -> int:
        assert isinstance(llm, XLlama)
        engine = llm._get_engine()
        assert wait_until(lambda: is_idle(engine))
        return engine.metrics().generation_tokens


class TestXLlamaEmbedding(EmbeddingConformance):
    tells_queries_from_passages = True

    @pytest.fixture
    def embed_model(self, embed_model: XLlamaEmbedding) -> XLlamaEmbedding:
        return embed_model.model_copy(update={"query_prompt": "question: "})


class TestCrossEncoder(RerankConformance):
    @pytest.fixture
    def rerank(self, rerank: XLlamaRerank) -> XLlamaRerank:
        return rerank


class TestLateInteraction(RerankConformance):
    @pytest.fixture
    def rerank(self, embed_model: XLlamaEmbedding) -> XLlamaRerank:
        return XLlamaRerank(model=embed_model.model, top_n=2)


class TestChatModelAsJudge(RerankConformance):
    finds_the_best = False  # 135 million parameters do not judge well
    # Products with Q8_0 weights round what goes in to 8 bits, and a sum in another order rounds to the other side: of
    # the same prompts, some 0.1 of these log odds changes when the start of the prompt comes from the cache.
    rounding = 0.25

    @pytest.fixture
    def rerank(self, llm: XLlama) -> XLlamaRerank:
        return XLlamaRerank(model=llm.model, n_ctx=512, top_n=2)  # a small context, so that long texts are soon read
