"""The engine: one model, open in this process, for any number of threads and asyncio tasks at once."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import Unpack

from xlc_core import _native, logging_bridge
from xlc_core.engine import opening
from xlc_core.engine.constraining import ConstraintMethods
from xlc_core.engine.deciding import DecisionMethods
from xlc_core.engine.describing import DescriptionMethods
from xlc_core.engine.infill import InfillMethods
from xlc_core.engine.lora_scales import LoraScales
from xlc_core.engine.memory import MemoryMethods
from xlc_core.engine.message_embedding import MessageEmbeddingMethods
from xlc_core.engine.retrieval import RetrievalMethods
from xlc_core.engine.sessions import SessionMethods
from xlc_core.errors import InvalidRequestError
from xlc_core.generation import media
from xlc_core.generation.attempts import Attempts
from xlc_core.generation.conversion import ToolLike
from xlc_core.generation.message_reading import MessageLike
from xlc_core.generation.request import Request, RequestBuilder
from xlc_core.generation.streams import AsyncEventStream, EventStream
from xlc_core.models import catalog
from xlc_core.models.prompts import file_prompts
from xlc_core.options.engine import EngineOptions
from xlc_core.options.kwargs import ChatKwargs, CompletionKwargs, EngineKwargs
from xlc_core.options.sampling import ChatOptions, CompletionOptions
from xlc_core.results import Completion, EngineMetrics, ModelInfo
from xlc_core.texts import check_items, check_text, check_tokens, native_path, python_path
from xlc_core.waiting import Deadline

__all__ = ["Engine"]

_SHOWN_MARKER = "<__media__>"  # llama.cpp's marker differs in each process, so that no text can imitate it

_open_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """End live requests and threads while the interpreter still runs."""
    for engine in list(_open_engines):
        engine.close()


if hasattr(os, "register_at_fork"):
    # A forked child does not have the engines' threads, so it does not free their objects.
    os.register_at_fork(after_in_child=_native.expect_leaks)


class Engine(
    ConstraintMethods,
    DecisionMethods,
    DescriptionMethods,
    InfillMethods,
    MemoryMethods,
    MessageEmbeddingMethods,
    RetrievalMethods,
    SessionMethods,
):
    """A model loaded by llama.cpp.

    Every method may be called from any thread and any event loop, also at the same time: requests are generated
    together in ``n_parallel`` slots, and further requests wait in order. Waiting never holds the GIL. An engine can
    only be used in the process that opened it.

    Each method that waits has an ``a…`` twin for asyncio, which does not occupy a thread. Ctrl+C, a cancelled task, a
    closed stream and a timeout end the request and free its slot.

    After ``close``, and for a request that it ends, methods that need the model raise EngineClosedError, also where
    ``Raises`` does not say so. If the engine sleeps (``sleep_after``), they load it again first, which takes as long as
    opening; ``metrics``, ``memory`` and the properties do not need it.

    Attributes:
        info: what the model's file says, and the sizes that were chosen; it does not change.
        options: the options that the engine was opened with.
    """

    def __init__(
        self,
        model: str | Path | EngineOptions | None = None,
        *,
        progress: bool | opening.LoadProgress | None = None,
        **options: Unpack[EngineKwargs],
    ) -> None:
        """Find the model, download it if it is from the catalog or the hub, and load it.

        Blocks until the model is open, without the GIL: as long as its file takes to read, or a moment if the system
        still has it in memory. In a coroutine call ``await asyncio.to_thread(Engine, …)``.

        Args:
            model: path of a GGUF file, catalog name, ``hf:owner/repo[:quant-or-file]``, or EngineOptions, which
                cannot be combined with ``options``; None: the value of the environment variable ``XLLAMA_MODEL``.
            progress: a function called with 0 … 1 while weights load; an exception in it ends the loading. True shows a
                bar, False does not; None shows a bar on a terminal.
            **options: fields of EngineOptions.

        Raises:
            InvalidRequestError: an option is unknown or out of range, or stands beside EngineOptions.
            UnsupportedFeatureError: the model does not support an option.
            ModelNotFoundError: the model does not exist, or could not be fetched.
            ModelLoadError: llama.cpp cannot load the file.
            InsufficientMemoryError: it does not fit into memory.
            KeyboardInterrupt: Ctrl+C while loading.
        """
        self.options = EngineOptions.of(model, options)
        show_download = progress if isinstance(progress, bool) else None
        resolved = catalog.resolve(self.options.model, progress=show_download)
        self._entry = resolved.entry
        logging_bridge.sync_level()
        self._file = _native.read_model_file(native_path(resolved.path, "the model"))
        self._has_sentence_types = catalog.has_sentence_types(resolved.entry, self._file.names)
        params = opening.native_params(self.options, resolved.name, self._file)
        self._projector = python_path(params.mmproj)
        self._lora_scales = LoraScales(self.options.lora)
        self._native = _native.Engine(params, opening.progress_reporter(progress, resolved.name))
        self.info = self._describe(resolved.name)
        self._requests = RequestBuilder(
            self._native,
            self.info,
            media_rules=media.MediaRules(self.options.allow_local_media, self.options.allow_remote_media),
            lora_scales=self._lora_scales.joined,
        )
        _open_engines.add(self)

    # Chat and completion

    def chat(self, messages: str | Sequence[MessageLike], **options: Unpack[ChatKwargs]) -> Completion:
        """Answer a chat.

        Args:
            messages: Message objects, dictionaries in OpenAI's form, or one user's text. If the last message is the
                assistant's, the answer continues it.
            **options: fields of ChatOptions: sampling, tools, constraint, timeout… With tools and a JSON schema the
                model chooses between a call of a tool and an answer that matches the schema. An answer that the
                constraint's type or a tool's refuses is generated again (``validation_retries``); ``usage`` has all.

        Returns:
            the answer, or the ``n`` answers, with calls of tools, tokens and times. An answer that the last retry did
            not mend is returned too: its ``parsed`` raises.

        Raises:
            InvalidRequestError: an option, message or tool is wrong; nothing was run.
            UnsupportedFeatureError: the model does not generate text, or does not read what a message holds.
            ContextOverflowError: the prompt does not fit into a slot.
            ConstraintError: the constraint is malformed or unsupported.
            RequestTimeoutError: ``timeout`` passed.
            EngineClosedError: the engine is or was closed.
            EngineFailedError: llama.cpp failed.
        """
        attempts = Attempts(messages, ChatOptions.checked(**options))
        result: Completion | None = None
        while result is None:
            try:
                result = attempts.accept(self._stream(lambda: self._attempt(attempts)).result())
            except InvalidRequestError:  # of an attempt after the first: it has no room for the refused answer
                result = attempts.refused
                if result is None:
                    raise
        return result

    async def achat(self, messages: str | Sequence[MessageLike], **options: Unpack[ChatKwargs]) -> Completion:
        """Answer a chat; see chat."""
        attempts = Attempts(messages, ChatOptions.checked(**options))
        result: Completion | None = None
        while result is None:
            try:
                takes_long = self._requests.takes_long(attempts.messages, attempts.options)
                stream = self._astream(lambda: self._attempt(attempts), takes_long=takes_long)
                result = attempts.accept(await stream.result())
            except InvalidRequestError:
                result = attempts.refused
                if result is None:
                    raise
        return result

    def _attempt(self, attempts: Attempts) -> Request:
        return self._requests.chat(attempts.messages, attempts.options, deadline=attempts.deadline)

    def stream_chat(self, messages: str | Sequence[MessageLike], **options: Unpack[ChatKwargs]) -> EventStream:
        """Answer a chat event by event; see chat. The last event is Finished, with the whole result."""
        wanted = ChatOptions.checked(**options)
        return self._stream(lambda: self._requests.chat(messages, wanted, stream=True))

    def astream_chat(self, messages: str | Sequence[MessageLike], **options: Unpack[ChatKwargs]) -> AsyncEventStream:
        """Answer a chat event by event, for ``async for``; see stream_chat."""
        wanted = ChatOptions.checked(**options)
        deadline = Deadline(wanted.timeout)
        return self._astream(
            lambda: self._requests.chat(messages, wanted, stream=True, deadline=deadline),
            takes_long=self._requests.takes_long(messages, wanted),
        )

    def complete(self, prompt: str, **options: Unpack[CompletionKwargs]) -> Completion:
        """Continue a text, without a chat template.

        Args:
            prompt: the text. Names such as ``<|im_start|>`` become control tokens, unless ``parse_special`` is False.
            **options: fields of CompletionOptions: sampling, constraint, timeout…

        Returns:
            the text that follows, or ``n`` of them, without the prompt; with tokens and times.

        Raises:
            XllamaError: those of chat.
        """
        wanted = CompletionOptions.checked(**options)
        return self._stream(lambda: self._requests.completion(prompt, wanted)).result()

    async def acomplete(self, prompt: str, **options: Unpack[CompletionKwargs]) -> Completion:
        """Continue a text; see complete."""
        return await self._astream_completion(prompt, options, stream=False).result()

    def stream_complete(self, prompt: str, **options: Unpack[CompletionKwargs]) -> EventStream:
        """Continue a text event by event; see complete."""
        wanted = CompletionOptions.checked(**options)
        return self._stream(lambda: self._requests.completion(prompt, wanted, stream=True))

    def astream_complete(self, prompt: str, **options: Unpack[CompletionKwargs]) -> AsyncEventStream:
        """Continue a text event by event, for ``async for``; see complete."""
        return self._astream_completion(prompt, options, stream=True)

    def _astream_completion(self, prompt: str, options: CompletionKwargs, *, stream: bool) -> AsyncEventStream:
        wanted = CompletionOptions.checked(**options)
        deadline = Deadline(wanted.timeout)
        return self._astream(
            lambda: self._requests.completion(prompt, wanted, stream=stream, deadline=deadline),
            takes_long=self._requests.takes_long(prompt, wanted),
        )

    # Tokens and templates

    def tokenize(self, text: str, *, add_special: bool = False, parse_special: bool = False) -> list[int]:
        """Return the numbers of a text's tokens.

        Takes about a tenth of a second for 100,000 characters, without the GIL. Ctrl+C ends it.

        Args:
            text: the text.
            add_special: add the tokens that the model needs at the start and end of a prompt.
            parse_special: turn names such as ``<|im_start|>`` into control tokens instead of text.

        Raises:
            InvalidRequestError: it is not a text, or holds a lone surrogate.
        """
        return self._native.tokenize(check_text(text, "the text"), add_special, parse_special)

    def detokenize(self, tokens: Sequence[int], *, special: bool = False) -> str:
        """Return the text of tokens. Half a character at an end becomes U+FFFD.

        Args:
            tokens: numbers of tokens.
            special: include the names of control tokens.

        Raises:
            InvalidRequestError: the vocabulary does not have a token.
        """
        return self.token_bytes(tokens, special=special).decode("utf-8", "replace")

    def token_bytes(self, tokens: Sequence[int], *, special: bool = False) -> bytes:
        """Return the bytes of tokens, which may begin or end within a character; see detokenize."""
        return self._native.detokenize(check_tokens(tokens), special)

    def count_tokens(self, messages: str | Sequence[MessageLike], *, tools: Sequence[ToolLike] = ()) -> int:
        """Return the number of tokens of a text, or of a chat's prompt with its template, tools and media.

        Any part of a chat may be counted, also one that begins with a tool's result or ends with calls. An empty chat
        has 0 tokens.

        Media are read and split but not encoded, which takes milliseconds for an image.

        Args:
            messages: a text, which is counted as it is, or messages as for chat.
            tools: tools whose descriptions the template adds.

        Raises:
            InvalidRequestError: a message or tool is wrong.
            UnsupportedFeatureError: the model does not chat, or does not read what a message holds.
        """
        if isinstance(messages, str):
            return self._native.count_tokens(check_text(messages, "the text"))
        if not (messages := check_items(messages, "the messages")):
            return 0
        request = self._requests.chat(messages, ChatOptions.checked(tools=tools), is_part=True)
        return self._native.count_prompt_tokens(request.native)

    def render_chat(self, messages: str | Sequence[MessageLike], **options: Unpack[ChatKwargs]) -> str:
        """Return a chat's prompt, rendered with the model's template; ``<__media__>`` stands for a medium.

        Nothing is run.

        Args:
            messages: as for chat.
            **options: fields of ChatOptions; those that shape the prompt have an effect.

        Raises:
            InvalidRequestError: an option, message or tool is wrong, or the template refuses the chat.
            UnsupportedFeatureError: the model does not chat, or does not read what a message holds.
        """
        prompt = self._requests.render(messages, ChatOptions.checked(**options))
        return prompt.replace(_native.media_marker(), _SHOWN_MARKER)

    # The engine itself

    def metrics(self) -> EngineMetrics:
        """Return the counters of generation, also while it is running.

        Waits for the current step, some tens of milliseconds, without the GIL. Embedding and ranking are not counted.

        Raises:
            EngineClosedError: the engine is closed.
        """
        counters = self._native.metrics()
        return EngineMetrics(
            requests_running=counters.n_running,
            requests_waiting=counters.n_waiting,
            requests_paused=counters.n_paused,
            pauses=counters.n_pauses,
            prompt_tokens=counters.n_prompt_tokens,
            prompt_seconds=counters.prompt_seconds,
            cached_tokens=counters.n_cached_tokens,
            generation_tokens=counters.n_generated_tokens,
            generation_seconds=counters.generation_seconds,
            draft_tokens=counters.n_draft_tokens,
            draft_accepted=counters.n_draft_accepted,
        )

    @property
    def closed(self) -> bool:
        """Whether close was called."""
        return self._native.closed

    def close(self) -> None:
        """End all requests with EngineClosedError and free the model. Idempotent, from any thread.

        Waits until the engine's threads have ended, which a step that is being computed may delay a little.
        """
        self._native.close()
        _open_engines.discard(self)

    def __repr__(self) -> str:
        slots = f", {self.info.n_parallel} slots of {self.info.n_ctx} tokens" if self.info.n_parallel else ""
        return f"<Engine {self.info.name!r} ({self.info.description}){', closed' if self.closed else slots}>"

    def _describe(self, name: str) -> ModelInfo:
        info = self._native.info()
        prompts = file_prompts(self._file, name, self._entry)
        return ModelInfo(
            name=name,
            path=python_path(self._file.path),
            architecture=self._file.architecture,
            description=info.description,
            n_params=info.n_params,
            size_bytes=info.size_bytes,
            n_ctx_train=info.n_ctx_train,
            n_ctx=info.n_ctx,
            n_ctx_total=info.n_ctx_total,
            n_parallel=info.n_parallel,
            n_embd=info.n_embd,
            n_vocab=info.n_vocab,
            pooling=self.options.pooling or self._file.pooling or ("rank" if self._file.has_rank_head else "none"),
            can_generate=self._file.causal,
            can_rerank=self._file.has_rank_head,
            has_chat_template=self._file.has_chat_template,
            supports_tools=info.supports_tools,
            supports_thinking=info.supports_thinking,
            reads=media.readable(info.reads_images, info.reads_audio, info.reads_video),
            query_prompt=prompts.query,
            document_prompt=prompts.document,
            decides=info.decides,
        )
