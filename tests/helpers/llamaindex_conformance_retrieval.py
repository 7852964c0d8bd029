"""Conformance suites for LlamaIndex's embeddings and rerankers; see conformance.py."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager, CBEventType
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore

from helpers.llamaindex_watching import CallbackRecorder, ticking, watched_events
from helpers.threads import count_threads

TEXTS = [
    "The Eiffel Tower is in Paris and is 330 metres high.",
    "When a request is cancelled, generation stops and its slot is free for another request.",
    "Green tea is brewed at eighty degrees.",
]
QUERY = "What happens to the slot of a cancelled request?"
BEST = 1


class EmbeddingConformance:
    """The suite for embeddings. The query and the passages above must be told apart by the model."""

    tells_queries_from_passages: ClassVar[bool] = False
    """Whether the model as built puts another text before queries than before passages."""

    @pytest.fixture
    def embed_model(self) -> BaseEmbedding:
        """The embedding under test."""
        raise NotImplementedError

    def test_it_is_an_embedding_of_its_own_name(self, embed_model: BaseEmbedding) -> None:
        assert isinstance(embed_model, BaseEmbedding)
        assert embed_model.class_name() not in {BaseEmbedding.class_name(), "base_component"}
        assert embed_model.model_name not in {"", "unknown"}

    async def test_vectors_are_lists_of_floats_whichever_way(self, embed_model: BaseEmbedding) -> None:
        one = embed_model.get_text_embedding(TEXTS[0])
        assert isinstance(one, list)
        assert {type(number) for number in one} == {float}
        ways = [
            await embed_model.aget_text_embedding(TEXTS[0]),
            embed_model.get_text_embedding_batch(TEXTS)[0],
            (await embed_model.aget_text_embedding_batch(TEXTS))[0],
        ]
        for other in ways:
            np.testing.assert_allclose(other, one, atol=2e-3)
        query = embed_model.get_query_embedding(QUERY)
        np.testing.assert_allclose(await embed_model.aget_query_embedding(QUERY), query, atol=2e-3)

    def test_best_passage_is_nearest(self, embed_model: BaseEmbedding) -> None:
        query = embed_model.get_query_embedding(QUERY)
        passages = embed_model.get_text_embedding_batch(TEXTS)
        assert int(np.argmax([embed_model.similarity(query, passage) for passage in passages])) == BEST

    @pytest.mark.parametrize("n_batch", [1, 7, 1000])
    async def test_batches_keep_their_order(self, embed_model: BaseEmbedding, n_batch: int) -> None:
        texts = [f"{'word ' * (n % 5 * 9)}number {n}" for n in range(20)]
        small = embed_model.model_copy(update={"embed_batch_size": n_batch})
        expected = [embed_model.get_text_embedding(text) for text in texts]
        np.testing.assert_allclose(small.get_text_embedding_batch(texts), expected, atol=2e-3)
        np.testing.assert_allclose(await small.aget_text_embedding_batch(texts), expected, atol=2e-3)

    async def test_no_texts_no_vectors(self, embed_model: BaseEmbedding) -> None:
        assert embed_model.get_text_embedding_batch([]) == []
        assert await embed_model.aget_text_embedding_batch([]) == []

    async def test_nodes_are_embedded_as_their_metadata_says(self, embed_model: BaseEmbedding) -> None:
        node = TextNode(text="Tea.", metadata={"topic": "green", "page": 3}, excluded_embed_metadata_keys=["page"])
        (embedded,) = embed_model([node.model_copy()])
        (aembedded,) = await embed_model.acall([node.model_copy()])
        expected = embed_model.get_text_embedding(node.get_content(metadata_mode=MetadataMode.EMBED))
        np.testing.assert_allclose(embedded.embedding, expected, atol=2e-3)
        np.testing.assert_allclose(aembedded.embedding, expected, atol=2e-3)

    async def test_events_and_callbacks_come_once(self, embed_model: BaseEmbedding) -> None:
        watcher = CallbackRecorder()
        watched = embed_model.model_copy(update={"callback_manager": CallbackManager([watcher])})
        with watched_events() as events:
            watched.get_query_embedding(QUERY)
            await watched.aget_query_embedding(QUERY)
            watched.get_text_embedding(TEXTS[0])
            await watched.aget_text_embedding(TEXTS[0])
            watched.get_text_embedding_batch(TEXTS)
            await watched.aget_text_embedding_batch(TEXTS)
        counts = events.counts()
        assert counts["EmbeddingStartEvent"] == counts["EmbeddingEndEvent"] == 6
        assert watcher.started.count(CBEventType.EMBEDDING) == watcher.ended.count(CBEventType.EMBEDDING) == 6

    async def test_event_loop_keeps_turning(self, embed_model: BaseEmbedding) -> None:
        texts = [f"{TEXTS[n % 3]} {n}" for n in range(300)]
        async with ticking() as ticker:
            await embed_model.aget_text_embedding_batch(texts)
        assert ticker.kept_turning(), vars(ticker)

    async def test_concurrent_calls_need_no_thread_each(self, embed_model: BaseEmbedding) -> None:
        await embed_model.aget_query_embedding(QUERY)
        n_threads = count_threads()
        calls = [asyncio.create_task(embed_model.aget_query_embedding(f"{QUERY} {n}")) for n in range(16)]
        await asyncio.sleep(0)
        n_more = count_threads() - n_threads
        assert len(await asyncio.gather(*calls)) == 16
        assert n_more <= 1

    async def test_cache_is_used_and_does_not_mix_up(self, embed_model: BaseEmbedding) -> None:
        """A text that is a query and a passage has two vectors where the model wants it so."""
        store = SimpleKVStore()
        cached = embed_model.model_copy(update={"embeddings_cache": store})
        passage = cached.get_text_embedding(QUERY)
        assert cached.get_text_embedding(QUERY) == passage
        assert await cached.aget_text_embedding_batch([QUERY]) == [passage]
        assert len(store.get_all(collection="embeddings")) == 1
        query = cached.get_query_embedding(QUERY)
        np.testing.assert_allclose(query, embed_model.get_query_embedding(QUERY), atol=2e-3)
        np.testing.assert_allclose(passage, embed_model.get_text_embedding(QUERY), atol=2e-3)
        assert await cached.aget_query_embedding(QUERY) == query
        if self.tells_queries_from_passages:
            assert float(np.dot(query, passage)) < 0.999 * float(np.linalg.norm(query) * np.linalg.norm(passage))

    def test_it_travels_as_configuration(self, embed_model: BaseEmbedding) -> None:
        written = embed_model.to_dict()
        assert json.loads(embed_model.to_json()) == json.loads(json.dumps(written))
        assert type(embed_model).from_dict(written).to_dict() == written

    def test_pickle_works(self, embed_model: BaseEmbedding) -> None:
        pickled = pickle.dumps(embed_model)
        assert len(pickled) < 100_000
        np.testing.assert_allclose(
            pickle.loads(pickled).get_query_embedding(QUERY), embed_model.get_query_embedding(QUERY), atol=2e-3
        )


def found_nodes() -> list[NodeWithScore]:
    return [
        NodeWithScore(node=TextNode(text=text, id_=str(n), metadata={"file": f"{n}.md"}), score=0.5 - n / 10)
        for n, text in enumerate(TEXTS)
    ]


class RerankConformance:
    """The suite for rerankers, built to keep two nodes."""

    finds_the_best: ClassVar[bool] = True
    """Whether the model is good enough to put the right passage first."""
    rounding: ClassVar[float] = 0.05
    """How far a score may differ where the same texts were computed in other batches."""

    @pytest.fixture
    def rerank(self) -> BaseNodePostprocessor:
        """The reranker under test, with a ``top_n`` of 2."""
        raise NotImplementedError

    async def test_it_orders_and_keeps_the_best(self, rerank: BaseNodePostprocessor) -> None:
        best = rerank.postprocess_nodes(found_nodes(), query_str=QUERY)
        assert len(best) == 2
        assert best[0].score >= best[1].score
        assert {type(node.score) for node in best} == {float}
        if self.finds_the_best:
            assert best[0].node.node_id == str(BEST)
        again = await rerank.apostprocess_nodes(found_nodes(), query_bundle=QueryBundle(QUERY))
        if best[0].score - best[1].score > 2 * self.rounding:
            assert [node.node.node_id for node in again] == [node.node.node_id for node in best]
        np.testing.assert_allclose([node.score for node in again], [node.score for node in best], atol=self.rounding)

    async def test_nodes_given_are_not_changed(self, rerank: BaseNodePostprocessor) -> None:
        nodes = found_nodes()
        before = copy.deepcopy(nodes)
        rerank.postprocess_nodes(nodes, query_str=QUERY)
        await rerank.apostprocess_nodes(nodes, query_str=QUERY)
        assert nodes == before

    async def test_no_nodes_no_work(self, rerank: BaseNodePostprocessor) -> None:
        assert rerank.postprocess_nodes([], query_str=QUERY) == []
        assert await rerank.apostprocess_nodes([], query_str=QUERY) == []

    async def test_query_is_needed(self, rerank: BaseNodePostprocessor) -> None:
        with pytest.raises(ValueError, match="query"):
            rerank.postprocess_nodes(found_nodes())

    async def test_events_and_callbacks_are_balanced(self, rerank: BaseNodePostprocessor) -> None:
        watcher = CallbackRecorder()
        watched = rerank.model_copy(update={"callback_manager": CallbackManager([watcher])})
        with watched_events() as events:
            watched.postprocess_nodes(found_nodes(), query_str=QUERY)
            await watched.apostprocess_nodes(found_nodes(), query_str=QUERY)
            watched.postprocess_nodes([], query_str=QUERY)
        starts, ends = events.of("ReRankStartEvent"), events.of("ReRankEndEvent")
        assert (len(starts), len(ends)) == (3, 3)
        assert starts[0].query in (QUERY, QueryBundle(QUERY))
        assert (len(starts[0].nodes), starts[0].top_n) == (3, 2)
        assert [len(end.nodes) for end in ends] == [2, 2, 0]
        assert watcher.started.count(CBEventType.RERANKING) == watcher.ended.count(CBEventType.RERANKING) == 3

    async def test_one_long_document_harms_no_other(self, rerank: BaseNodePostprocessor) -> None:
        nodes = found_nodes()
        nodes[2] = NodeWithScore(node=TextNode(text=TEXTS[2] * 2000, id_="2"), score=0.1)
        best = rerank.postprocess_nodes(nodes, query_str=QUERY)
        assert len(best) == 2
        if self.finds_the_best:
            assert best[0].node.node_id == str(BEST)

    async def test_event_loop_keeps_turning(self, rerank: BaseNodePostprocessor) -> None:
        nodes = found_nodes() * 10
        async with ticking() as ticker:
            await rerank.apostprocess_nodes(nodes, query_str=QUERY)
        assert ticker.kept_turning(), vars(ticker)

    async def test_queries_may_run_at_once(self, rerank: BaseNodePostprocessor) -> None:
        # Preparing a query may use the loop's helper threads, as many as are free at that moment: here there is one.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
        await rerank.apostprocess_nodes(found_nodes(), query_str=QUERY)
        n_threads = count_threads()
        queries = [QUERY, "How hot is green tea?", "How high is the tower in Paris?"]
        calls = [asyncio.create_task(rerank.apostprocess_nodes(found_nodes(), query_str=query)) for query in queries]
        await asyncio.sleep(0)
        n_more = count_threads() - n_threads
        results = await asyncio.gather(*calls)
        assert n_more <= 1
        if self.finds_the_best:
            assert [best[0].node.node_id for best in results] == ["1", "2", "0"]

    def test_it_travels_as_configuration(self, rerank: BaseNodePostprocessor) -> None:
        twin = type(rerank).from_dict(rerank.to_dict())
        assert twin.to_dict() == rerank.to_dict()
        assert rerank.class_name() not in {BaseNodePostprocessor.class_name(), "base_component"}
        pickled = pickle.loads(pickle.dumps(rerank))
        assert len(pickled.postprocess_nodes(found_nodes(), query_str=QUERY)) == 2
