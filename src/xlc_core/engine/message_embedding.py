"""Engine's methods that embed messages, which may hold images, sound and video."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xlc_core._native import Generation
from xlc_core.engine.base import EngineBase
from xlc_core.errors import InvalidRequestError
from xlc_core.generation.message_reading import MessageLike
from xlc_core.options.embedding_types import EmbeddingType, quantize_embeddings
from xlc_core.options.retrieval import EmbedOptions
from xlc_core.options.sampling import ChatOptions
from xlc_core.waiting import AsyncWaiter, Deadline, wait_ready

__all__ = ["MessageEmbeddingMethods"]

Vector = npt.NDArray[np.float32]
Vectors = npt.NDArray[Any]


class MessageEmbeddingMethods(EngineBase):
    """Engine's methods that embed messages."""

    def embed_messages(
        self,
        chats: Sequence[str | Sequence[MessageLike]],
        *,
        normalize: bool = True,
        dimensions: int | None = None,
        dtype: EmbeddingType = "float32",
        int8_ranges: Any = None,
        timeout: float | None = None,
    ) -> Vectors:
        """Return vectors of chats, for models that were trained to embed texts and images alike.

        Each is laid out by the model's chat template, as such models expect, and its last token's vector is taken. They
        are computed in the engine's slots, beside other requests. Such models read what the vectors are for in a system
        message of the chat, so there is no ``prompt`` as embed has it.

        Args:
            chats: chats as for ``chat``: messages, perhaps with images, or one user's text.
            normalize: scale each vector to length 1.
            dimensions: keep this many leading numbers, at most those that the model has, for models trained so
                (Matryoshka); None keeps all.
            dtype: type of the numbers; quantize_embeddings says what each is.
            int8_ranges: as in EmbedOptions; None: −1 and 1.
            timeout: seconds after which all are given up; None: no limit.

        Returns:
            array of shape (len(chats), dimensions) and the type asked for, float32 by default.

        Raises:
            UnsupportedFeatureError: the model pools otherwise than by the last token (``pooling="last"``), lacks the
                projector for what a message holds, or its template passes over a system message.
            InvalidRequestError: a message or what it holds cannot be read, or an option is wrong.
            ContextOverflowError: a chat does not fit into a slot.
            RequestTimeoutError: ``timeout`` passed.
        """
        options = self._embed_options(normalize, dimensions, dtype, int8_ranges, timeout)
        deadline = Deadline(options.timeout)
        running = self._submit_embeddings(chats, deadline)
        try:
            rows = [_wait(generation, deadline) for generation in running]
        finally:
            _cancel(running)
        return self._finished(rows, options)

    async def aembed_messages(
        self,
        chats: Sequence[str | Sequence[MessageLike]],
        *,
        normalize: bool = True,
        dimensions: int | None = None,
        dtype: EmbeddingType = "float32",
        int8_ranges: Any = None,
        timeout: float | None = None,
    ) -> Vectors:
        """Return vectors of chats; see embed_messages. Requests are built and queued on a helper thread."""
        options = self._embed_options(normalize, dimensions, dtype, int8_ranges, timeout)
        deadline = Deadline(options.timeout)
        running = await asyncio.to_thread(self._submit_embeddings, chats, deadline)
        try:
            rows = [await _await(generation, deadline) for generation in running]
        finally:
            _cancel(running)
        return self._finished(rows, options)

    def _embed_options(
        self, normalize: bool, dimensions: int | None, dtype: EmbeddingType, int8_ranges: Any, timeout: float | None
    ) -> EmbedOptions:
        options = EmbedOptions.checked(
            normalize=normalize, dimensions=dimensions, dtype=dtype, int8_ranges=int8_ranges, timeout=timeout
        )
        if options.dimensions is not None and options.dimensions > self.info.n_embd:
            raise InvalidRequestError(
                f"dimensions={dimensions} is more than the {self.info.n_embd} that the model's vectors have"
            )
        return options

    def _submit_embeddings(self, chats: Sequence[str | Sequence[MessageLike]], deadline: Deadline) -> list[Generation]:
        if isinstance(chats, str):
            raise InvalidRequestError("embed_messages takes a list of chats; put the text into one: [text]")
        options = ChatOptions()
        requests = [self._requests.chat(chat, options, embed=True, deadline=deadline) for chat in chats]
        running: list[Generation] = []
        try:
            for request in requests:
                running.append(self._native.submit(request.native, deadline.check))  # noqa: PERF401 errors must find what is queued
        except BaseException:
            _cancel(running)
            raise
        return running

    def _finished(self, rows: list[Vector], options: EmbedOptions) -> Vectors:
        vectors: Vectors = np.stack(rows) if rows else np.empty((0, self.info.n_embd), dtype=np.float32)
        vectors = vectors[:, : options.dimensions]
        if options.normalize:
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
        return quantize_embeddings(vectors, options.dtype, ranges=options.int8_ranges)


def _wait(generation: Generation, deadline: Deadline) -> Vector:
    while True:
        wait_ready(generation, deadline)
        for event in generation.take():
            return event.result.embedding


async def _await(generation: Generation, deadline: Deadline) -> Vector:
    waiter = AsyncWaiter(generation)
    while True:
        await waiter.ready(deadline)
        for event in generation.take():
            return event.result.embedding


def _cancel(running: list[Generation]) -> None:
    """End all requests that have not ended."""
    for generation in running:
        generation.set_waker(None)
        generation.cancel()
