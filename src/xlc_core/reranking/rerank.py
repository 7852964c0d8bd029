"""Reranking with any model: a ranking head, the token vectors of an embedder, or a chat model that judges.

Engine.rerank is for models with a ranking head (cross-encoders, and generative rerankers such as Qwen3-Reranker that
were converted with one). These functions choose by what the model is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar, get_args

from typing_extensions import Unpack

from xlc_core.engine.engine import Engine
from xlc_core.errors import InvalidRequestError
from xlc_core.options.retrieval import RerankKwargs, RerankOptions
from xlc_core.reranking.judge import Judgement
from xlc_core.reranking.late_interaction import LateInteraction
from xlc_core.results import RerankScore

__all__ = ["RerankMethod", "arerank_documents", "rerank_documents"]

RerankMethod = Literal["auto", "cross-encoder", "late-interaction", "generative"]
"""``cross-encoder``: the model's ranking head reads query and document together; a logit. ``late-interaction``: each
token of the query meets its nearest of the document (MaxSim); the mean of these cosines. ``generative``: a chat model
is asked whether the document answers the query; the logit of its yes against its no. ``auto``: the first of these that
the model can do, but a chat model judges rather than embeds."""

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

    Args:
        engine: the model.
        query: the question. It is never cut.
        documents: the candidates.
        method: how they are scored; scores of different methods cannot be compared.
        **options: fields of RerankOptions, as Engine.rerank takes them. ``instruction`` goes to a chat model that
            judges, and into the prompt of an embedder that has a place for one; ``scores="sigmoid"`` is not for late
            interaction, whose scores are cosines.

    Returns:
        the scores, best first.

    Raises:
        UnsupportedFeatureError: the model cannot do what the method needs, or takes no instruction.
        InvalidRequestError: an option is wrong, or a document is no text.
        InputTooLongError: a document is too long and ``truncate`` is ``"error"``, or the query alone is.
        RequestTimeoutError: ``timeout`` passed.
    """
    wanted = RerankOptions.checked(**options)
    chosen = _method(engine, method)
    if chosen == "cross-encoder":
        return engine.rerank(query, documents, **options)
    if chosen == "late-interaction":
        interaction = LateInteraction(engine, query, documents, wanted)
        with interaction.asking():
            interaction.take_query(engine.embed_tokens([query], **interaction.query_options()))
        for batch in interaction.batches():
            with interaction.asking():
                interaction.take(engine.embed_tokens(batch, **interaction.batch_options()))
        return interaction.ranking()
    judgement = Judgement(engine, query, documents, wanted)
    # All of them are queued before the first is awaited, so that the slots work together.
    streams = [engine.stream_chat(chat, **judgement.options()) for chat in judgement.chats]
    try:
        for stream in streams:
            judgement.take(stream.result())
    finally:  # one failure ends the others
        for stream in streams:
            stream.close()
        judgement.close()
    return judgement.ranking()


async def arerank_documents(
    engine: Engine,
    query: str,
    documents: Sequence[str],
    *,
    method: RerankMethod = "auto",
    **options: Unpack[RerankKwargs],
) -> list[RerankScore]:
    """Score how well each document answers the query; as rerank_documents."""
    wanted = RerankOptions.checked(**options)
    chosen = _method(engine, method)
    if chosen == "cross-encoder":
        return await engine.arerank(query, documents, **options)
    if chosen == "late-interaction":
        interaction = await _prepared(wanted, lambda: LateInteraction(engine, query, documents, wanted))
        with interaction.asking():
            interaction.take_query(await engine.aembed_tokens([query], **interaction.query_options()))
        for batch in interaction.batches():
            with interaction.asking():
                interaction.take(await engine.aembed_tokens(batch, **interaction.batch_options()))
        return interaction.ranking()
    judgement = await _prepared(wanted, lambda: Judgement(engine, query, documents, wanted))
    tasks = [asyncio.ensure_future(engine.achat(chat, **judgement.options())) for chat in judgement.chats]
    try:
        for task in tasks:
            judgement.take(await task)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        judgement.close()
    return judgement.ranking()


async def _prepared(options: RerankOptions, prepare: Callable[[], _Prepared]) -> _Prepared:
    """Do what counts the tokens of every document off the event loop."""
    return await asyncio.to_thread(prepare) if options.truncate == "split" else prepare()


def _method(engine: Engine, method: RerankMethod) -> RerankMethod:
    if method not in get_args(RerankMethod):
        known = ", ".join(f'"{name}"' for name in get_args(RerankMethod))
        raise InvalidRequestError(f"method={method!r} is not known; it must be one of {known}")
    if method != "auto":
        return method
    if engine.info.can_rerank:
        return "cross-encoder"
    return "generative" if engine.info.can_generate and engine.info.pooling == "none" else "late-interaction"
