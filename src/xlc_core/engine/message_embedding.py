"""The engine's methods for embedding messages, which may hold images, sound and video."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from xlc_core._native import Engine as NativeEngine
from xlc_core._native import Generation, GenerationRequest
from xlc_core.errors import InvalidRequestError
from xlc_core.generation import media
from xlc_core.generation.conversion import MessageLike, to_chat_request, to_generation_request, to_messages
from xlc_core.options.engine import EngineOptions
from xlc_core.options.sampling import ChatOptions
from xlc_core.results import ModelInfo
from xlc_core.waiting import AsyncWaiter, Deadline, wait_ready

__all__ = ["MessageEmbeddingMethods"]

Vectors = npt.NDArray[np.float32]


class MessageEmbeddingMethods:
    """Engine's methods to embed messages."""

    info: ModelInfo
    options: EngineOptions
    _native: NativeEngine

    def embed_messages(
        self,
        chats: Sequence[str | Sequence[MessageLike]],
        *,
        normalize: bool = True,
        timeout: float | None = None,
    ) -> Vectors:
        """Return vectors of chats, for models that were trained to embed texts and images alike.

        Each chat is rendered with the model's chat template, as such models expect, and its last token's vector is
        used. Chats are computed in the engine's slots, beside other requests.

        Args:
            chats: chats as for ``chat``: messages, perhaps with images, or one user's text.
            normalize: scale each vector to length 1.
            timeout: seconds after which all of them end with an error.

        Returns:
            float32 array of shape (len(chats), n_embd).

        Raises:
            UnsupportedFeatureError: the model's pooling is not the last token (``pooling="last"``), or it lacks the
                projector for a message's media.
            InvalidRequestError: a message or its media cannot be read.
            ContextOverflowError: a chat does not fit into a slot.
            RequestTimeoutError: ``timeout`` passed.
        """
        deadline = Deadline(timeout)
        running = self._submit_embeddings(chats, deadline)
        try:
            return _stacked([_wait(generation, deadline) for generation in running], self.info.n_embd, normalize)
        finally:
            _cancel(running)

    async def aembed_messages(
        self,
        chats: Sequence[str | Sequence[MessageLike]],
        *,
        normalize: bool = True,
        timeout: float | None = None,
    ) -> Vectors:
        """Return vectors of chats; see embed_messages. Media are read on a helper thread."""
        deadline = Deadline(timeout)
        running = await asyncio.to_thread(self._submit_embeddings, chats, deadline)
        try:
            rows = [await _await(generation, deadline) for generation in running]
        finally:
            _cancel(running)
        return _stacked(rows, self.info.n_embd, normalize)

    def _submit_embeddings(self, chats: Sequence[str | Sequence[MessageLike]], deadline: Deadline) -> list[Generation]:
        if isinstance(chats, str):
            raise InvalidRequestError("embed_messages takes a list of chats; put the text into one: [text]")
        requests = [self._embedding_request(chat, deadline) for chat in chats]
        running: list[Generation] = []
        try:
            for request in requests:
                running.append(self._native.submit(request))  # noqa: PERF401 after an error, all queued ones must be known
        except BaseException:
            _cancel(running)
            raise
        return running

    def _embedding_request(self, chat: str | Sequence[MessageLike], deadline: Deadline) -> GenerationRequest:
        options = ChatOptions()
        read = to_messages(chat)
        parts = media.placed_parts(read, self.info.reads)
        request = to_generation_request(options, stream=False, chat=to_chat_request(read, options))
        request.embed = True
        request.media = media.load(parts, allow_remote=self.options.allow_remote_media, deadline=deadline)
        return request


def _wait(generation: Generation, deadline: Deadline) -> list[float]:
    while True:
        wait_ready(generation, deadline)
        for event in generation.take():
            return event.result.embedding


async def _await(generation: Generation, deadline: Deadline) -> list[float]:
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


def _stacked(rows: list[list[float]], n_embd: int, normalize: bool) -> Vectors:
    vectors = np.array(rows, dtype=np.float32).reshape(len(rows), -1 if rows else n_embd)
    if normalize:
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return vectors
