"""``/v1/embeddings``: vectors of texts."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any, Literal, cast

import numpy as np

from xlc_core import EmbedKwargs, Engine
from xlc_server.errors import ApiError
from xlc_server.service import Body, Service

__all__ = ["EmbeddingBody", "answer_embedding", "count_tokens"]

_OPTIONS = ("dimensions", "truncate", "normalize", "prompt", "prompt_name")


class EmbeddingBody(Body):
    """Texts to embed, and options of the engine by their names."""

    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None
    truncate: str | None = None
    normalize: bool | None = None
    prompt: str | None = None
    prompt_name: str | None = None

    def texts(self, limit: int) -> list[str]:
        """Return the texts.

        Raises:
            ApiError: there are too many or none, or they are tokens.
        """
        texts = [self.input] if isinstance(self.input, str) else self.input
        if not 1 <= len(texts) <= limit:
            raise ApiError(400, f"input: give from 1 to {limit} texts, not {len(texts)}", param="input")
        if not all(isinstance(text, str) for text in texts):
            raise ApiError(
                400,
                "input: give texts: numbers of tokens would be those of another model's vocabulary "
                "(with LangChain's OpenAIEmbeddings, set check_embedding_ctx_length=False)",
                param="input",
            )
        return cast("list[str]", texts)


async def answer_embedding(service: Service, body: EmbeddingBody) -> Mapping[str, Any]:
    """Return the vectors."""
    texts = body.texts(service.options.max_inputs)
    given = {name: value for name in _OPTIONS if (value := getattr(body, name)) is not None}
    options = cast("EmbedKwargs", {**given, "timeout": service.options.timeout})
    with await service.engine(body) as lease:
        vectors = await lease.engine.aembed(texts, **options)
        n_tokens = await count_tokens(lease.engine, texts)
    is_base64 = body.encoding_format == "base64"
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _as_base64(vector) if is_base64 else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": service.model_name(body),
        "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
    }


def _as_base64(vector: Any) -> str:
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode("ascii")


async def count_tokens(engine: Engine, texts: list[str]) -> int:
    """Return the number of tokens of texts, with the special tokens around each."""
    return await asyncio.to_thread(lambda: sum(len(engine.tokenize(text, add_special=True)) for text in texts))
