"""Reranking with any model: a ranking head, the token vectors of an embedder, or a chat model that judges.

Engine.rerank is for models with a ranking head (cross-encoders, and generative rerankers such as Qwen3-Reranker that
were converted with one). These functions choose by what the model is.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from xlc_core.engine import Engine
from xlc_core.errors import InputTooLongError
from xlc_core.messages import Message
from xlc_core.options import Truncate
from xlc_core.results import Completion, RerankScore, TokenLogprob
from xlc_core.retrieval import best_first
from xlc_core.retrieval_prompts import retrieval_prompt

__all__ = ["RerankMethod", "arerank_documents", "rerank_documents"]

RerankMethod = Literal["auto", "cross-encoder", "late-interaction", "generative"]
"""``cross-encoder``: the model's ranking head reads query and document together; a logit. ``late-interaction``: each
token of the query meets its nearest of the document (MaxSim); the mean of these cosines. ``generative``: a chat model
is asked whether the document answers the query; the logit of its yes against its no. ``auto``: the first of these that
the model can do, but a chat model judges rather than embeds."""

_JUDGE = "Judge whether the document answers the query. Answer with yes or no only."
_N_CANDIDATES = 100
"""Likeliest tokens among which yes and no are looked for."""
_SPARE_TOKENS = 16
"""Tokens that a document's neighbours may grow by when it is put between them, and the answer."""


def rerank_documents(
    engine: Engine,
    query: str,
    documents: Sequence[str],
    *,
    method: RerankMethod = "auto",
    top_n: int | None = None,
    truncate: Truncate = "error",
    timeout: float | None = None,
) -> list[RerankScore]:
    """Score how well each document answers the query.

    Args:
        engine: the model.
        query: the question.
        documents: the candidates.
        method: how they are scored; scores of different methods cannot be compared.
        top_n: return only the best so many; None returns all.
        truncate: what to do with a document that is too long; the query is never cut.
        timeout: seconds after which a request is given up.

    Returns:
        the scores, best first.

    Raises:
        UnsupportedFeatureError: the model cannot do what the method needs.
        InputTooLongError: a document is too long and ``truncate`` is ``"error"``, or the query alone is.
        RequestTimeoutError: ``timeout`` passed.
    """
    chosen = _method(engine, method)
    if chosen == "cross-encoder":
        return engine.rerank(query, documents, top_n=top_n, truncate=truncate, timeout=timeout)
    if chosen == "late-interaction":
        queries, candidates = _prefixes(engine)
        asked = engine.embed_tokens([query], prefix=queries, timeout=timeout)[0]
        found = engine.embed_tokens(documents, prefix=candidates, truncate=truncate, timeout=timeout)
        return best_first(_max_sims(asked, found), top_n)
    # All of them are queued before the first is awaited, so that the slots work together.
    chats = _judgements(engine, query, documents, truncate)
    streams = [engine.stream_chat(chat, **_judging(timeout)) for chat in chats]
    return best_first(_logits([stream.result() for stream in streams]), top_n)


async def arerank_documents(
    engine: Engine,
    query: str,
    documents: Sequence[str],
    *,
    method: RerankMethod = "auto",
    top_n: int | None = None,
    truncate: Truncate = "error",
    timeout: float | None = None,
) -> list[RerankScore]:
    """Score how well each document answers the query; as rerank_documents."""
    chosen = _method(engine, method)
    if chosen == "cross-encoder":
        return await engine.arerank(query, documents, top_n=top_n, truncate=truncate, timeout=timeout)
    if chosen == "late-interaction":
        queries, candidates = _prefixes(engine)
        asked = await engine.aembed_tokens([query], prefix=queries, timeout=timeout)
        found = await engine.aembed_tokens(documents, prefix=candidates, truncate=truncate, timeout=timeout)
        return best_first(_max_sims(asked[0], found), top_n)
    chats = _judgements(engine, query, documents, truncate)
    tasks = [asyncio.ensure_future(engine.achat(chat, **_judging(timeout))) for chat in chats]
    try:
        return best_first(_logits(await asyncio.gather(*tasks)), top_n)
    finally:  # one failure ends the others
        for task in tasks:
            task.cancel()


def _method(engine: Engine, method: RerankMethod) -> RerankMethod:
    if method != "auto":
        return method
    if engine.info.can_rerank:
        return "cross-encoder"
    return "generative" if engine.info.can_generate and engine.info.pooling == "none" else "late-interaction"


def _prefixes(engine: Engine) -> tuple[str, str]:
    model = engine.options.model
    return retrieval_prompt(model, "query"), retrieval_prompt(model, "document")


def _max_sims(query: npt.NDArray[np.float32], documents: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    return np.array([(query @ document.T).max(axis=1).mean() for document in documents], dtype=np.float32)


def _judgements(engine: Engine, query: str, documents: Sequence[str], truncate: Truncate) -> list[list[Message]]:
    limit = engine.info.n_ctx - engine.count_tokens(_judgement(query, "")) - _SPARE_TOKENS
    if limit <= 0:
        raise InputTooLongError(
            f"the query leaves no room for a document in a context of {engine.info.n_ctx} tokens; raise n_ctx",
            -1, engine.count_tokens(query), engine.info.n_ctx,
        )  # fmt: skip
    return [
        _judgement(query, _fitting(engine, document, index, limit, truncate))
        for index, document in enumerate(documents)
    ]


def _judgement(query: str, document: str) -> list[Message]:
    question = f"Query: {query}\n\nDocument: {document}\n\nDoes the document answer the query, yes or no?"
    return [Message(role="system", content=_JUDGE), Message(role="user", content=question)]


def _fitting(engine: Engine, document: str, index: int, limit: int, truncate: Truncate) -> str:
    tokens = engine.tokenize(document)
    if len(tokens) <= limit:
        return document
    if truncate == "error":
        raise InputTooLongError(
            f"document {index} has {len(tokens)} tokens and {limit} fit beside the query; "
            "pass truncate='end', shorten it or raise n_ctx",
            index, len(tokens), limit,
        )  # fmt: skip
    return engine.detokenize(tokens[:limit] if truncate == "end" else tokens[-limit:])


def _judging(timeout: float | None) -> dict[str, Any]:
    return {"max_tokens": 1, "temperature": 0.0, "logprobs": _N_CANDIDATES, "thinking": False, "timeout": timeout}


def _logits(judgements: Sequence[Completion]) -> npt.NDArray[np.float32]:
    return np.array([_logit(judgement.logprobs) for judgement in judgements], dtype=np.float32)


def _logit(logprobs: Sequence[TokenLogprob]) -> float:
    """Return the logarithm of P(yes) / P(no), over the forms of these words at the answer's first token."""
    if not logprobs:
        return 0.0
    candidates = logprobs[0].top or logprobs[:1]
    # A word that is not among the candidates is at most as likely as the last of them.
    least = math.exp(min(candidate.logprob for candidate in candidates))
    yes, no = (
        sum(math.exp(one.logprob) for one in candidates if one.token.strip().lower() == word) or least
        for word in ("yes", "no")
    )
    return math.log(yes) - math.log(no)
