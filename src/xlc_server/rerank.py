"""``/v1/rerank``, in the shapes of Jina and of Cohere: documents in the order in which they answer a query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import Field

from xlc_core import RerankKwargs, RerankScore, arerank_documents
from xlc_server.embeddings import count_tokens
from xlc_server.errors import ApiError
from xlc_server.service import Body, Service, new_id

__all__ = ["RerankBody", "answer_rerank"]


class RerankBody(Body):
    """A query and documents, and options of the engine by their names."""

    query: str
    documents: list[str | dict[str, Any]] = Field(min_length=1)
    top_n: int | None = None
    return_documents: bool = False
    truncate: str | None = None
    truncation: bool | None = None
    instruction: str | None = None
    scores: str | None = None
    max_tokens_per_doc: int | None = None
    priority: int | None = None

    def texts(self, limit: int) -> list[str]:
        """Return the documents' texts.

        Raises:
            ApiError: there are too many, or one does not have a text.
        """
        if len(self.documents) > limit:
            raise ApiError(400, f"documents: at most {limit} in one request", param="documents")
        texts = [document if isinstance(document, str) else document.get("text") for document in self.documents]
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise ApiError(400, f"documents.{index}: give a text, or an object with a text", param="documents")
        return cast("list[str]", texts)


async def answer_rerank(service: Service, body: RerankBody) -> Mapping[str, Any]:
    """Return the documents' places and scores, best first."""
    texts = body.texts(service.options.max_inputs)
    options: dict[str, Any] = {
        "top_n": body.top_n,
        "truncate": body.truncate or ("error" if body.truncation is False else "end"),
        "instruction": body.instruction,
        "timeout": service.options.timeout,
    }
    with await service.engine(body) as lease:
        can_rank = lease.engine.info.can_rerank or lease.engine.info.can_generate
        options["scores"] = body.scores or ("sigmoid" if can_rank else "raw")  # cosines stay as they are
        given = cast("RerankKwargs", {name: value for name, value in options.items() if value is not None})
        ranking = await arerank_documents(lease.engine, body.query, texts, **given)
        n_tokens = await count_tokens(lease.engine, [body.query, *texts])
    return {
        "id": new_id("rerank"),
        "object": "list",
        "model": service.model_name(body),
        "results": [_result(score, texts if body.return_documents else None) for score in ranking],
        "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }


def _result(score: RerankScore, texts: list[str] | None) -> dict[str, Any]:
    result: dict[str, Any] = {"index": score.index, "relevance_score": score.score}
    if texts is not None:
        result["document"] = {"text": texts[score.index]}
    return result
