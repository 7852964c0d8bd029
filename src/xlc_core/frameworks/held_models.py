"""Models for frameworks whose own classes are not pydantic's: a class of theirs holds one of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from xlc_core.engine.model_facts import ModelFacts, read_facts
from xlc_core.frameworks.embedder_adapter import EmbedderAdapter, TextKind
from xlc_core.frameworks.engine_adapter import default_model
from xlc_core.frameworks.generator_adapter import ChatFields, GeneratorAdapter
from xlc_core.frameworks.reranker_adapter import RerankerAdapter
from xlc_core.options.engine import EngineOptions
from xlc_core.options.kwargs import ChatKwargs, EmbedKwargs
from xlc_core.results import RerankScore

__all__ = ["HeldChat", "HeldEmbedder", "HeldReranker"]


class HeldChat(ChatFields, GeneratorAdapter):
    """The fields of a chat model, and its engine. ``model=None`` is the model that ``$XLLAMA_MODEL`` names."""

    options: dict[str, Any] = Field(default_factory=dict)
    """Further options of every request: fields of ``xlc_core.ChatOptions``."""

    @field_validator("model")
    @classmethod
    def _choose_model(cls, model: str | None) -> str | None:
        return default_model() if model is None else model

    def _further_options(self) -> dict[str, Any]:
        return self.options

    def facts(self) -> ModelFacts | None:
        """Return what the model's file says, without loading it; None if it is not on this disk yet.

        Raises:
            XllamaError: those of read_facts.
        """
        if self.engine is not None:
            return read_facts(self.engine.options)
        return read_facts(EngineOptions.checked(model=self.model, **self._engine_options()))

    def join_options(self, call: dict[str, Any]) -> ChatKwargs:
        """Return the options of a request: the fields of this model, overridden by a call's that are not None.

        Args:
            call: the call's options, by the names of ``xlc_core.ChatOptions``.
        """
        own = self._own_options()
        return cast("ChatKwargs", {**own, **{name: value for name, value in call.items() if value is not None}})


class HeldEmbedder(EmbedderAdapter):
    """The fields of an embedding model, and its vectors."""

    def embed(self, texts: Sequence[str], kind: TextKind, **options: Any) -> npt.NDArray[np.float32]:
        """Return a vector for each text.

        Args:
            texts: the texts.
            kind: whether they are queries or documents.
            **options: fields of ``xlc_core.EmbedOptions`` that override those of this model.

        Returns:
            float32 array of shape (len(texts), dimensions).

        Raises:
            InputTooLongError: a text is too long, and ``truncate`` is ``"error"``.
            XllamaError: the other errors of Engine.embed, and those of load.
        """
        return self._get_engine().embed(texts, **self._join(kind, options))

    async def aembed(self, texts: Sequence[str], kind: TextKind, **options: Any) -> npt.NDArray[np.float32]:
        """Return a vector for each text; as embed."""
        return await (await self._aget_engine()).aembed(texts, **self._join(kind, options))

    def _join(self, kind: TextKind, options: dict[str, Any]) -> EmbedKwargs:
        joined: EmbedKwargs = {**self._embed_options(kind), **options}  # type: ignore[typeddict-item]
        return joined


class HeldReranker(RerankerAdapter):
    """The fields of a reranker, and its scores."""

    def rank(self, query: str, texts: Sequence[str]) -> list[RerankScore]:
        """Return the scores of the texts, best first; ``top_n`` of them.

        Args:
            query: the question.
            texts: the candidates.

        Raises:
            InputTooLongError: a text is too long, and ``truncate`` is ``"error"``.
            XllamaError: the other errors of rerank_documents, and those of load.
        """
        return self._rank(query, texts)

    async def arank(self, query: str, texts: Sequence[str]) -> list[RerankScore]:
        """Return the scores of the texts; as rank."""
        return await self._arank(query, texts)
