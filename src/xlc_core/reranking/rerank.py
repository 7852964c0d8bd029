"""Reranking with any model: a ranking head, the token vectors of an embedder, or a chat model that judges.

Engine.rerank is for models with a ranking head: cross-encoders, and generative rerankers such as Qwen3-Reranker that
were converted with one. These functions choose a method that the model supports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal, TypeVar, get_args

from typing_extensions import Unpack

from xlc_core.engine.engine import Engine
from xlc_core.errors import InvalidRequestError
from xlc_core.options.kwargs import RerankKwargs
from xlc_core.options.retrieval import RerankOptions
from xlc_core.reranking.judge import YesNoJudge
from xlc_core.reranking.late_interaction import LateInteraction
from xlc_core.results import RerankScore

__all__ = ["RerankMethod", "arerank_documents", "rerank_documents"]

RerankMethod = Literal["auto", "cross-encoder", "late-interaction", "generative"]
"""How documents are scored.

``cross-encoder``: the model's ranking head reads query and document together; the score is its output, mostly a logit
(Engine.rerank). ``late-interaction``: each token of the query is compared with the nearest token of the document
(MaxSim: ColBERT, Khattab and Zaharia 2020); the score is the mean of these cosines, where ColBERT takes the sum.
``generative``: a chat model is asked whether the document answers the query; the score is ln(P(yes) / P(no)) of the
answer's first token, after monoT5 (Nogueira and others 2020). ``auto``: the ranking head if the model has one, else
``generative`` for a chat model, else ``late-interaction``."""

_Prepared = TypeVar("_Prepared")


def rerank_documents(
    engine: Engine,
    query: str,
    documents: Sequence[str],
    *,
    method: RerankMethod = "auto",
    **options: Unpack[RerankKwargs],
) -> list[RerankScore]:
    """Score how well each document answers the query.

    A chat model reads each document in a chat of its own, all queued at once, and generates one token for each. An
    embedder reads the query once and 32 documents at a time, so that their token vectors fit into memory.

    Args:
        engine: the model.
        query: the question. It is never truncated.
        documents: the candidates: a list, an array, a column of a table, a generator…
        method: how documents are scored; scores of different methods cannot be compared.
        **options: fields of RerankOptions, as in Engine.rerank. ``instruction`` is passed to a chat model, or put into
            the prompt of an embedder that has a place for one. ``scores="sigmoid"`` cannot be used with late
            interaction, whose scores are cosines.

    Returns:
        the scores, best first, each with the document's place.

    Raises:
        UnsupportedFeatureError: the model does not support the method, or does not take an instruction.
        InvalidRequestError: an option is wrong, or a document is not a text.
        InputTooLongError: a document is too long and ``truncate`` is ``"error"``, or the query alone is too long.
        RequestTimeoutError: ``timeout`` passed.
    """
    wanted = RerankOptions.checked(**options)
    chosen = _method(engine, method)
    if chosen == "cross-encoder":
        return engine.rerank(query, documents, **options)
    if chosen == "late-interaction":
        interaction = LateInteraction(engine, query, documents, wanted)
        with interaction.renumber_errors():
            interaction.take_query(engine.embed_tokens([query], **interaction.query_options()))
        for batch in interaction.batches():
            with interaction.renumber_errors():
                interaction.take(engine.embed_tokens(batch, **interaction.batch_options()))
        return interaction.ranking()
    judge = YesNoJudge(engine, query, documents, wanted)
    # All chats are queued before the first answer is awaited, so that all slots work.
    streams = [engine.stream_chat(chat, **judge.options()) for chat in judge.chats]
    try:
        for stream in streams:
            judge.take(stream.result())
    finally:  # if one chat fails, end the others
        for stream in streams:
            stream.close()
        judge.close()
    return judge.ranking()


async def arerank_documents(
    engine: Engine,
    query: str,
    documents: Sequence[str],
    *,
    method: RerankMethod = "auto",
    **options: Unpack[RerankKwargs],
) -> list[RerankScore]:
    """Score how well each document answers the query; see rerank_documents."""
    wanted = RerankOptions.checked(**options)
    chosen = _method(engine, method)
    if chosen == "cross-encoder":
        return await engine.arerank(query, documents, **options)
    if chosen == "late-interaction":
        interaction = await asyncio.to_thread(LateInteraction, engine, query, documents, wanted)
        with interaction.renumber_errors():
            interaction.take_query(await engine.aembed_tokens([query], **interaction.query_options()))
        for batch in interaction.batches():
            with interaction.renumber_errors():
                interaction.take(await engine.aembed_tokens(batch, **interaction.batch_options()))
        return interaction.ranking()
    judge = await asyncio.to_thread(YesNoJudge, engine, query, documents, wanted)  # counts tokens
    tasks = [asyncio.ensure_future(engine.achat(chat, **judge.options())) for chat in judge.chats]
    try:
        for task in tasks:
            judge.take(await task)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        judge.close()
    return judge.ranking()


def _method(engine: Engine, method: RerankMethod) -> RerankMethod:
    if method not in get_args(RerankMethod):
        known = ", ".join(f'"{name}"' for name in get_args(RerankMethod))
        raise InvalidRequestError(f"method={method!r} is not known; it must be one of {known}")
    if method != "auto":
        return method
    if engine.info.can_rerank:
        return "cross-encoder"
    return "generative" if engine.info.can_generate and engine.info.pooling == "none" else "late-interaction"
