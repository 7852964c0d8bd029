"""XllamaEmbeddingModel: a GGUF embedding model inside this process, for Pydantic AI's ``Embedder``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from pydantic_ai.embeddings import EmbeddingModel, EmbeddingResult, EmbeddingSettings
from pydantic_ai.embeddings.result import EmbedInputType

from xlc_core import Engine
from xlc_core.frameworks import HeldEmbedder, TextKind
from xlc_pydantic_ai.errors import model_errors
from xlc_pydantic_ai.messages import PROVIDER

__all__ = ["XllamaEmbeddingModel"]


class XllamaEmbeddingModel(EmbeddingModel):
    """An embedding model that llama.cpp runs inside this process. Building one loads nothing.

    Examples:
        >>> embedder = Embedder(XllamaEmbeddingModel("all-minilm-l6-v2"))
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        engine: Engine | None = None,
        settings: EmbeddingSettings | None = None,
        **fields: Any,
    ) -> None:
        """Describe a model, which is loaded on first use and shared in this process.

        Args:
            model: path of a GGUF file, a name of the catalog, or ``hf:owner/repo[:quant-or-file]``; None: the engine's.
            engine: an open engine to use instead; who opened it closes it. None: a shared one.
            settings: defaults of every request; None: none.
            **fields: further fields of ``xlc_core.frameworks.HeldEmbedder``, such as ``query_prompt``.
        """
        self._held = HeldEmbedder(model=model, engine=engine, **fields)
        super().__init__(settings=settings)

    @property
    def model_name(self) -> str:
        """The model's path or name."""
        return str(self._held.model)

    @property
    def system(self) -> str:
        """The name of this provider."""
        return PROVIDER

    def close(self) -> None:
        """Release the model; it is unloaded at once if nobody else in the process uses it."""
        self._held.close()

    async def embed(
        self, inputs: str | Sequence[str], *, input_type: EmbedInputType, settings: EmbeddingSettings | None = None
    ) -> EmbeddingResult:
        """Return a vector for each text, of length 1 unless ``normalize`` is False.

        Args:
            inputs: a text or several.
            input_type: ``"query"`` or ``"document"``, whose prompt of the model is put before each text.
            settings: ``dimensions`` and ``truncate`` (True: drop tokens at the end of a text that is too long); None:
                those of the model.

        Raises:
            pydantic_ai.exceptions.ModelAPIError: the errors of ``xlc_core``, with ours as the cause.
        """
        texts, wanted = self.prepare_embed(inputs, settings)
        options: dict[str, Any] = {}
        if (dimensions := wanted.get("dimensions")) is not None:
            options["dimensions"] = dimensions
        if (cut := wanted.get("truncate")) is not None:
            options["truncate"] = "end" if cut else "error"
        with model_errors(self.model_name):
            vectors = await self._held.aembed(texts, cast("TextKind", input_type), **options)
        return EmbeddingResult(
            embeddings=vectors.tolist(),
            inputs=texts,
            input_type=input_type,
            model_name=self.model_name,
            provider_name=PROVIDER,
        )

    async def max_input_tokens(self) -> int | None:
        """Return how many tokens the model reads at once, its special tokens and its prompt included."""
        with model_errors(self.model_name):
            return (await self._held.aget_engine()).info.n_ctx

    async def count_tokens(self, text: str) -> int:
        """Return the number of a text's tokens, without special ones and a prompt.

        Args:
            text: the text.
        """
        with model_errors(self.model_name):
            return await asyncio.to_thread((await self._held.aget_engine()).count_tokens, text)
