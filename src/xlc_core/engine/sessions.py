"""The engine's methods for saving conversations to files and loading them again."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Unpack

from xlc_core._native import SlotState, llama_cpp_version
from xlc_core.engine.base import EngineBase
from xlc_core.engine.session_file import SessionHeader, read_session_file, write_session_file
from xlc_core.errors import EngineFailedError, InvalidRequestError
from xlc_core.generation.message_reading import MessageLike
from xlc_core.generation.request import Request
from xlc_core.generation.streams import EventStream
from xlc_core.models.identity import model_identity
from xlc_core.options.kwargs import ChatKwargs
from xlc_core.options.sampling import ChatOptions, CompletionOptions
from xlc_core.texts import check_path, python_path

__all__ = ["SessionInfo", "SessionMethods"]

_ATTEMPTS = 3  # tries to save a conversation before another request takes its slot
_FIXED_OPTIONS: ChatKwargs = {"max_tokens": 0, "n": 1, "seed": None, "cache_prompt": True, "logprobs": None}


@dataclass(frozen=True)
class SessionInfo:
    """A conversation in a file.

    Attributes:
        path: the file.
        n_tokens: tokens of the conversation; a request that begins with them does not compute them again.
        n_bytes: the file's size in bytes.
        model: name of the model that saved it.
    """

    path: Path
    n_tokens: int
    n_bytes: int
    model: str


class SessionMethods(EngineBase):
    """Engine's methods that keep conversations between processes."""

    def save_session(
        self,
        path: str | Path,
        messages: str | Sequence[MessageLike] | None = None,
        *,
        prompt: str | None = None,
        **options: Unpack[ChatKwargs],
    ) -> SessionInfo:
        """Write a conversation with the model's computed state to a file.

        The file is as large as the KV cache of the conversation, which is copied into memory once, between two steps:
        ``engine.memory().context / engine.info.n_ctx_total`` bytes for each token.

        Args:
            path: the file; an old file is replaced when the new one is complete.
            messages: the conversation, as for chat, perhaps with the answer as its last message; tokens that no slot
                holds are read first. None, and no ``prompt``: the conversation that was answered last.
            prompt: a text for complete, instead of messages; None: ``messages`` count.
            **options: other options of chat that shape the prompt: ``tools``, ``thinking``, ``template_kwargs``…

        Returns:
            the number of tokens and bytes that were saved.

        Raises:
            InvalidRequestError: nothing is named and the engine has not answered yet; both messages and a prompt are
                named; or a message or option is wrong.
            ContextOverflowError: the conversation does not fit into a slot.
            UnsupportedFeatureError: the model does not generate text, or the conversation holds media that llama.cpp
                cannot save.
            EngineFailedError: other requests took the conversation's slot three times before it could be saved.
            OSError: the file cannot be written.
        """
        path = check_path(path, "the session's path")
        request = self._conversation(messages, prompt, options)
        native = None if request is None else request.native
        for _ in range(_ATTEMPTS):
            state = self._native.save_session(native)
            if state is not None:
                return self._write(path, state)
            EventStream(self._submit(_required(request))).result()
        raise _displaced()

    async def asave_session(
        self,
        path: str | Path,
        messages: str | Sequence[MessageLike] | None = None,
        *,
        prompt: str | None = None,
        **options: Unpack[ChatKwargs],
    ) -> SessionInfo:
        """Write a conversation to a file; see save_session. Only the model's work does not use a helper thread."""
        path = check_path(path, "the session's path")
        request = await asyncio.to_thread(self._conversation, messages, prompt, options)
        native = None if request is None else request.native
        for _ in range(_ATTEMPTS):
            state = await asyncio.to_thread(self._native.save_session, native)
            if state is not None:
                return await asyncio.to_thread(self._write, path, state)
            await self._astream(functools.partial(_required, request), takes_long=True).result()
        raise _displaced()

    def load_session(self, path: str | Path) -> SessionInfo:
        """Load a saved conversation into an idle slot, as if it had been computed here.

        A request whose prompt begins with it computes only the rest; see ``usage.cached_tokens``. Reads the file into
        memory and computes its checksum, then waits for an idle slot, without a limit of time. The slot's old
        conversation goes to the prompt cache.

        Args:
            path: a file from save_session, saved with the same model and the same settings of the KV cache.

        Returns:
            the number of tokens that were loaded, and of bytes of the file.

        Raises:
            InvalidRequestError: the file is foreign, truncated or corrupt, was saved with another model, llama.cpp or
                setting, or does not fit into a slot; nothing was changed.
            OSError: the file cannot be read.
        """
        path = check_path(path, "the session's path")
        header, state, n_bytes = read_session_file(path, self._session_header(0))
        self._native.load_session(SlotState(header.n_tokens, state))
        return SessionInfo(path, header.n_tokens, n_bytes, header.model_name)

    async def aload_session(self, path: str | Path) -> SessionInfo:
        """Load a saved conversation into an idle slot; see load_session. Runs on a helper thread."""
        return await asyncio.to_thread(self.load_session, path)

    def _conversation(
        self, messages: str | Sequence[MessageLike] | None, prompt: str | None, options: ChatKwargs
    ) -> Request | None:
        """Return the request whose prompt is the conversation; None for the one that was answered last."""
        if messages is not None and prompt is not None:
            raise InvalidRequestError("pass messages or prompt, not both")
        kwargs: ChatKwargs = {**options, **_FIXED_OPTIONS}
        if messages is not None:
            return self._requests.chat(messages, ChatOptions.checked(**kwargs))
        if prompt is not None:
            return self._requests.completion(prompt, CompletionOptions.checked(**kwargs))
        return None

    def _session_header(self, n_tokens: int) -> SessionHeader:
        projector = {"mmproj": model_identity(self._projector) or ""} if self._projector else {}
        return SessionHeader(
            model=model_identity(python_path(self._file.path)) or "",
            model_name=self.info.name,
            llama_cpp=llama_cpp_version(),
            n_tokens=n_tokens,
            settings={**self._native.session_settings(), **projector},
        )

    def _write(self, path: Path, state: SlotState) -> SessionInfo:
        header = self._session_header(state.n_tokens)
        return SessionInfo(path, state.n_tokens, write_session_file(path, header, state.bytes), self.info.name)


def _required(request: Request | None) -> Request:
    if request is None:
        raise InvalidRequestError(
            "no slot holds a conversation that could be saved: none was answered yet, or all are being answered; "
            "name one with messages= or prompt="
        )
    return request


def _displaced() -> EngineFailedError:
    return EngineFailedError(
        f"other requests took the conversation's slot before it could be saved, {_ATTEMPTS} times; "
        "save it when the engine is less busy, or open it with a larger n_parallel"
    )
