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

from xlc_core import RerankScore
from xlc_core.engine_user import EngineUser
from xlc_core.reranking import RerankMethod, arerank_documents, rerank_documents
from xlc_core.retrieval_options import RerankScale, RerankTruncate

__all__ = ["XLlamaRerank"]

_RETRIEVAL_SCORE = "retrieval_score"

dispatcher = get_dispatcher(__name__)


class XLlamaRerank(EngineUser, BaseNodePostprocessor):
    """Orders nodes by how well they answer the query, best first, and keeps the best ones.

    Building one loads nothing; see ``load()`` and ``close()``. The nodes that were given stay as they are.

    Every method raises xllama's own errors (``xlc_core.XllamaError``).

    Example:
        >>> rerank = XLlamaRerank(model="xllama-rerank-mini", top_n=5)
        >>> engine = index.as_query_engine(similarity_top_k=20, node_postprocessors=[rerank])
    """

    top_n: int = Field(2, ge=1)
    """Keep this many nodes."""

    method: RerankMethod = "auto"
    """How nodes are scored: by a ``"cross-encoder"``'s ranking head, by the token vectors of an embedding model
    (``"late-interaction"``), or by a chat model's yes or no (``"generative"``); auto: by what the model is."""

    metadata_mode: MetadataMode = MetadataMode.EMBED
    """Which of a node's metadata the model reads."""

    truncate: RerankTruncate = "end"
    """What happens to a node that is too long: it is cut at its ``"end"`` or ``"start"``, ``"split"`` into pieces of
    which the best one counts, or refused (``"error"``). The query is never cut."""

    instruction: str | None = None
    """What makes a node a good one, for models that take an instruction, such as Qwen3-Reranker; None: what the
    model's template says."""

    scores: RerankScale = "raw"
    """Scores as the model gives them, or ``"sigmoid"`` for numbers from 0 to 1."""

    order_weight: float = Field(0.0, ge=0, allow_inf_nan=False)
    """How much the order counts in which the nodes come, best first, beside the model's score: 0: not at all; 1: as
    much, for small models (``xlc_core.retrieval_options.RerankOptions``). The scores stay the model's."""

    keep_retrieval_score: bool = True
    """Put the score that a node came with into ``metadata["retrieval_score"]``, which no model is shown."""

    timeout: float | None = None
    """Seconds that a call may take; afterwards it raises."""

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
                scores = rerank_documents(
                    self._get_engine(),
                    query,
                    self._texts(nodes),
                    **self._request(),
                )
                best += self._scored(nodes, scores)
        return best

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _text(query_bundle)
        with self._reported(nodes, query) as best:
            if nodes:
                scores = await arerank_documents(
                    await self._aget_engine(),
                    query,
                    self._texts(nodes),
                    **self._request(),
                )
                best += self._scored(nodes, scores)
        return best

    def _request(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "top_n": self.top_n,
            "truncate": self.truncate,
            "instruction": self.instruction,
            "scores": self.scores,
            "order_weight": self.order_weight,
            "timeout": self.timeout,
        }

    @contextmanager
    def _reported(self, nodes: list[NodeWithScore], query: str) -> Iterator[list[NodeWithScore]]:
        """Report start and end, to both of LlamaIndex's ways of watching; yields the list of the nodes that remain.

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
