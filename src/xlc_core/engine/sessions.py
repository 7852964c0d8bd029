"""The engine's methods for saving conversations to files and loading them again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Unpack

from xlc_core._native import Engine as NativeEngine
from xlc_core._native import GenerationRequest, ModelFile, SlotState, llama_cpp_version
from xlc_core.engine.lora_scales import LoraScales
from xlc_core.engine.session_file import SessionHeader, read_session_file, write_session_file
from xlc_core.errors import EngineFailedError, InvalidRequestError
from xlc_core.generation import media
from xlc_core.generation.answer_tool import AnswerTool
from xlc_core.generation.conversion import MessageLike, to_chat_request, to_generation_request, to_messages
from xlc_core.generation.streams import AsyncEventStream, EventStream, Pump
from xlc_core.models.identity import model_identity
from xlc_core.options.engine import EngineOptions
from xlc_core.options.kwargs import ChatKwargs
from xlc_core.options.sampling import ChatOptions, CompletionOptions
from xlc_core.results import ModelInfo
from xlc_core.waiting import Deadline

__all__ = ["SessionInfo", "SessionMethods"]

_ATTEMPTS = 3  # to save a conversation before another request has taken its slot
_NOT_OF_THE_PROMPT: ChatKwargs = {"max_tokens": 0, "n": 1, "seed": None, "cache_prompt": True, "logprobs": None}


@dataclass(frozen=True)
class SessionInfo:
    """A conversation in a file.

    Attributes:
        path: the file.
        n_tokens: tokens of the conversation, which a request that begins with them need not compute.
        n_bytes: the file's size.
        model: the name under which the model was opened that saved it.
    """

    path: Path
    n_tokens: int
    n_bytes: int
    model: str


@dataclass(frozen=True)
class _Wanted:
    """What is to be saved: the request whose prompt it is, and how to have that read if no slot holds it."""

    request: GenerationRequest | None
    submit: Callable[[], Pump]


class SessionMethods:
    """What Engine does to keep conversations between processes."""

    info: ModelInfo
    options: EngineOptions
    _lora_scales: LoraScales
    _native: NativeEngine
    _file: ModelFile
    _projector: str  # the mmproj file, empty without

    def save_session(
        self,
        path: str | Path,
        messages: str | Sequence[MessageLike] | None = None,
        *,
        prompt: str | None = None,
        **options: Unpack[ChatKwargs],
    ) -> SessionInfo:
        """Write a conversation, as the model has computed it, to a file.

        Args:
            path: the file; one that is there is replaced once the new one is whole.
            messages: the conversation, as for chat, maybe with the answer as its last message; what of it no slot
                holds is read first. None, and no ``prompt``: the conversation that was answered last.
            prompt: instead of messages, the text that complete was given.
            **options: what else shaped the prompt of chat: ``tools``, ``thinking``, ``template_kwargs``…

        Returns:
            how many tokens and bytes were saved.

        Raises:
            InvalidRequestError: nothing was answered yet and nothing is named, or a message or option is wrong.
            ContextOverflowError: the conversation does not fit into a slot.
            UnsupportedFeatureError: the conversation holds media that llama.cpp cannot save.
            OSError: the file cannot be written.
        """
        wanted = self._wanted(messages, prompt, options)
        for _ in range(_ATTEMPTS):
            state = self._native.save_session(wanted.request)
            if state is not None:
                return self._write(Path(path), state)
            EventStream(wanted.submit()).result()
        raise _displaced()

    async def asave_session(
        self,
        path: str | Path,
        messages: str | Sequence[MessageLike] | None = None,
        *,
        prompt: str | None = None,
        **options: Unpack[ChatKwargs],
    ) -> SessionInfo:
        """Write a conversation to a file; as save_session, on a helper thread but for what the model computes."""
        wanted = await asyncio.to_thread(self._wanted, messages, prompt, options)
        for _ in range(_ATTEMPTS):
            state = await asyncio.to_thread(self._native.save_session, wanted.request)
            if state is not None:
                return await asyncio.to_thread(self._write, Path(path), state)

            async def submitted() -> Pump:
                return await asyncio.to_thread(wanted.submit)

            await AsyncEventStream(submitted).result()
        raise _displaced()

    def load_session(self, path: str | Path) -> SessionInfo:
        """Give a saved conversation to an idle slot, as if it had been computed here.

        A request whose prompt begins with it computes the rest only: ``usage.cached_tokens`` says so. Waits for an
        idle slot; what that held goes to the prompt cache.

        Args:
            path: what save_session has written, with the same model and settings that decide what the KV cache holds.

        Returns:
            how many tokens were loaded.

        Raises:
            InvalidRequestError: the file is foreign, truncated or corrupt, was saved with another model, llama.cpp or
                setting, or does not fit into a slot; nothing has changed.
            OSError: the file cannot be read.
        """
        path = Path(path)
        header, state, n_bytes = read_session_file(path, self._session_header(0))
        self._native.load_session(SlotState(header.n_tokens, state))
        return SessionInfo(path, header.n_tokens, n_bytes, header.model_name)

    async def aload_session(self, path: str | Path) -> SessionInfo:
        """Give a saved conversation to an idle slot; as load_session, on a helper thread."""
        return await asyncio.to_thread(self.load_session, path)

    def _wanted(self, messages: str | Sequence[MessageLike] | None, prompt: str | None, options: ChatKwargs) -> _Wanted:
        if messages is not None and prompt is not None:
            raise InvalidRequestError("give messages or prompt, not both")
        if messages is None and prompt is None:
            return _Wanted(None, _nothing_to_save)
        kwargs: ChatKwargs = {**options, **_NOT_OF_THE_PROMPT}
        if messages is None:
            checked: CompletionOptions = CompletionOptions.checked(**kwargs)
            request = to_generation_request(checked, stream=False, prompt=prompt or "")
        else:
            chat_options = checked = ChatOptions.checked(**kwargs)
            answer_tool = AnswerTool.wanted_by(chat_options)
            if answer_tool is not None:
                chat_options = answer_tool.applied_to(chat_options)
            read = to_messages(messages)
            request = to_generation_request(checked, stream=False, chat=to_chat_request(read, chat_options))
            request.media = media.load(
                media.placed_parts(read, self.info.reads),
                allow_remote=self.options.allow_remote_media,
                deadline=Deadline(checked.timeout),
            )
        request.lora_scales = list(self._lora_scales.joined(checked.lora).values())

        def submit() -> Pump:
            return Pump(
                self._native.submit(request), 1, self.info.name, None, Deadline(checked.timeout), lambda text: len(text)
            )

        return _Wanted(request, submit)

    def _session_header(self, n_tokens: int) -> SessionHeader:
        projector = {"mmproj": model_identity(self._projector) or ""} if self._projector else {}
        return SessionHeader(
            model=model_identity(self._file.path) or "",
            model_name=self.info.name,
            llama_cpp=llama_cpp_version(),
            n_tokens=n_tokens,
            settings={**self._native.session_settings(), **projector},
        )

    def _write(self, path: Path, state: SlotState) -> SessionInfo:
        header = self._session_header(state.n_tokens)
        return SessionInfo(path, state.n_tokens, write_session_file(path, header, state.bytes), self.info.name)


def _nothing_to_save() -> Pump:
    raise InvalidRequestError(
        "no slot holds a conversation that could be saved: none was answered yet, or all are being answered; "
        "say which one with messages= or prompt="
    )


def _displaced() -> EngineFailedError:
    return EngineFailedError(
        f"other requests took the conversation's slot before it could be saved, {_ATTEMPTS} times; "
        "save it when the engine is less busy, or open it with a larger n_parallel"
    )
