"""XLlamaRerank: a GGUF model inside this process that orders nodes, as a LlamaIndex postprocessor."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index_instrumentation import get_dispatcher
from pydantic import Field

from xlc_core import RerankScore, RerankTruncate
from xlc_core.frameworks import RerankerAdapter

__all__ = ["XLlamaRerank"]

_RETRIEVAL_SCORE = "retrieval_score"

dispatcher = get_dispatcher(__name__)


class XLlamaRerank(RerankerAdapter, BaseNodePostprocessor):
    """Orders nodes by how well they answer the query, best first, and keeps the best ones.

    Building one loads nothing; see ``load()`` and ``close()``. The nodes that were given stay as they are.

    Every method raises xllama's own errors (``xlc_core.XllamaError``).

    Examples:
        >>> rerank = XLlamaRerank(model="xllama-rerank-mini", top_n=5)
        >>> engine = index.as_query_engine(similarity_top_k=20, node_postprocessors=[rerank])
    """

    top_n: int = Field(2, ge=1)
    """Keep this many nodes."""

    metadata_mode: MetadataMode = MetadataMode.EMBED
    """Which of a node's metadata the model reads."""

    truncate: RerankTruncate = "end"
    """How a node that is too long is treated: cut at its ``"end"`` or ``"start"``, ``"split"`` into pieces of which the
    best one counts, or refused (``"error"``). The query is never cut."""

    keep_retrieval_score: bool = True
    """Keep the node's earlier score in ``metadata["retrieval_score"]``, which no model sees."""

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex serializes this class."""
        return "XLlamaRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _text(query_bundle)
        with self._reported(nodes, query) as best:
            if nodes:
                scores = self._rank(query, self._texts(nodes))
                best += self._scored(nodes, scores)
        return best

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _text(query_bundle)
        with self._reported(nodes, query) as best:
            if nodes:
                scores = await self._arank(query, self._texts(nodes))
                best += self._scored(nodes, scores)
        return best

    @contextmanager
    def _reported(self, nodes: list[NodeWithScore], query: str) -> Iterator[list[NodeWithScore]]:
        """Report start and end in LlamaIndex's two ways; yield the list for the nodes that remain.

        Each start has its end, also when there is nothing to do and when something fails.
        """
        best: list[NodeWithScore] = []
        dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=self.top_n, model_name=self._model_name()))
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self._model_name(),
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: self.top_n,
        }
        try:
            with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
                yield best
                event.on_end(payload={EventPayload.NODES: best})
        finally:
            dispatcher.event(ReRankEndEvent(nodes=best))

    def _texts(self, nodes: Sequence[NodeWithScore]) -> list[str]:
        return [node.node.get_content(metadata_mode=self.metadata_mode) for node in nodes]

    def _scored(self, nodes: Sequence[NodeWithScore], scores: Sequence[RerankScore]) -> list[NodeWithScore]:
        return [self._with_score(nodes[score.index], score.score) for score in scores]

    def _with_score(self, found: NodeWithScore, score: float) -> NodeWithScore:
        node = found.node
        if self.keep_retrieval_score and found.score is not None and _RETRIEVAL_SCORE not in node.metadata:
            node = node.model_copy(
                update={
                    "metadata": {**node.metadata, _RETRIEVAL_SCORE: found.score},
                    "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, _RETRIEVAL_SCORE],
                    "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, _RETRIEVAL_SCORE],
                }
            )
        return NodeWithScore(node=node, score=score)


def _text(query_bundle: QueryBundle | None) -> str:
    if query_bundle is None:
        raise ValueError("reranking needs the query; pass query_bundle= or query_str=")
    return query_bundle.query_str
