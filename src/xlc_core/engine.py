"""The engine: one model, open in this process, for any number of threads and asyncio tasks at once."""

from __future__ import annotations

import asyncio
import atexit
import weakref
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
from typing_extensions import Self, Unpack

from xlc_core import _native, catalog, logging_bridge, opening
from xlc_core.constraints import to_constraint
from xlc_core.conversion import MessageLike, ToolLike, check_text, to_chat_request, to_generation_request
from xlc_core.options import (
    ChatKwargs,
    ChatOptions,
    CompletionKwargs,
    CompletionOptions,
    EngineKwargs,
    EngineOptions,
    Truncate,
)
from xlc_core.results import Completion, EngineMetrics, ModelInfo, RerankScore
from xlc_core.retrieval import await_job, best_first, run_job
from xlc_core.streams import AsyncEventStream, EventStream, Pump
from xlc_core.waiting import Deadline

__all__ = ["Engine"]

Embeddings = npt.NDArray[np.float32]

# Tokenising a longer prompt than this, in characters, takes long enough to be done off the event loop.
_LONG_PROMPT = 20_000

_open_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """End live requests and threads while there is still an interpreter for them to report to."""
    for engine in list(_open_engines):
        engine.close()


class Engine:
    """A model loaded by llama.cpp.

    Every method may be called from any thread and any event loop, also at the same time: requests are generated
    together in ``n_parallel`` slots, and the others wait in the order in which they came. Waiting never holds the
    GIL. An engine is bound to the process that opened it.

    Each method that waits has an ``a…`` twin for asyncio, which occupies no thread. Ctrl+C, a cancelled task, a
    closed stream and a timeout end the request and free its slot.
    """

    def __init__(
        self,
        model: str | Path | EngineOptions | None = None,
        *,
        progress: bool | opening.LoadProgress | None = None,
        **options: Unpack[EngineKwargs],
    ) -> None:
        """Find the model, download it when the catalog or the hub has it, and load it.

        Args:
            model: path of a GGUF file, catalog name, ``hf:owner/repo[:quant-or-file]``, or EngineOptions, which
                leave no room for ``options``; None takes the name in the environment variable ``XLLAMA_MODEL``.
            progress: a function called with 0 … 1 while weights load, or True or False for a bar or none; None shows
                a bar on a terminal.
            **options: fields of EngineOptions.

        Raises:
            InvalidRequestError: an option is unknown or out of range.
            ModelNotFoundError: there is no such model, or it could not be fetched.
            ModelLoadError: llama.cpp cannot load the file.
            InsufficientMemoryError: it does not fit into memory.
            KeyboardInterrupt: Ctrl+C while loading.
        """
        if isinstance(model, EngineOptions):
            self.options = model
        else:
            self.options = EngineOptions.checked(model=model, **options)
        show_download = progress if isinstance(progress, bool) else None
        resolved = catalog.resolve(self.options.model, progress=show_download)
        self._entry = resolved.entry
        logging_bridge.sync_level()
        self._file = _native.read_model_file(str(resolved.path))
        params = opening.native_params(self.options, resolved.name, self._file)
        self._native = _native.Engine(params, opening.progress_reporter(progress, resolved.name))
        self.info = self._describe(resolved.name)
        _open_engines.add(self)

    # Chat and completion

    def chat(self, messages: str | Sequence[MessageLike], **options: Unpack[ChatKwargs]) -> Completion:
        """Answer a chat.

        Args:
            messages: Message objects, dictionaries in OpenAI's form, or one user's text. A chat that ends with an
                assistant's message is continued where that ends.
            **options: fields of ChatOptions: sampling, tools, constraint, timeout…

        Raises:
            InvalidRequestError: an option, message or tool is wrong; nothing was run.
            ContextOverflowError: the prompt does not fit into a slot.
            ConstraintError: the constraint is malformed.
            RequestTimeoutError: ``timeout`` passed.
            EngineClosedError: the engine is or was closed.
            EngineFailedError: llama.cpp failed.
        """
        return EventStream(self._chat(messages, options, stream=False)()).result()

    async def achat(self, messages: str | Sequence[MessageLike], **options: Unpack[ChatKwargs]) -> Completion:
        """Answer a chat; as chat."""
        return await AsyncEventStream(_off_loop(self._chat(messages, options, stream=False), messages)).result()

    def stream_chat(self, messages: str | Sequence[MessageLike], **options: Unpack[ChatKwargs]) -> EventStream:
        """Answer a chat event by event; as chat. The last event is Finished, with the whole result."""
        return EventStream(self._chat(messages, options, stream=True)())

    def astream_chat(self, messages: str | Sequence[MessageLike], **options: Unpack[ChatKwargs]) -> AsyncEventStream:
        """Answer a chat event by event, for ``async for``; as stream_chat."""
        return AsyncEventStream(_off_loop(self._chat(messages, options, stream=True), messages))

    def complete(self, prompt: str, **options: Unpack[CompletionKwargs]) -> Completion:
        """Continue a text as it stands, without a chat template.

        Args:
            prompt: the text. Control tokens such as ``<|im_start|>`` are read as such.
            **options: fields of CompletionOptions: sampling, constraint, timeout…

        Raises:
            Those of chat.
        """
        return EventStream(self._completion(prompt, options, stream=False)()).result()

    async def acomplete(self, prompt: str, **options: Unpack[CompletionKwargs]) -> Completion:
        """Continue a text; as complete."""
        return await AsyncEventStream(_off_loop(self._completion(prompt, options, stream=False), prompt)).result()

    def stream_complete(self, prompt: str, **options: Unpack[CompletionKwargs]) -> EventStream:
        """Continue a text event by event; as complete."""
        return EventStream(self._completion(prompt, options, stream=True)())

    def astream_complete(self, prompt: str, **options: Unpack[CompletionKwargs]) -> AsyncEventStream:
        """Continue a text event by event, for ``async for``; as complete."""
        return AsyncEventStream(_off_loop(self._completion(prompt, options, stream=True), prompt))

    # Retrieval

    def embed(
        self,
        texts: Sequence[str],
        *,
        truncate: Truncate = "error",
        normalize: bool = True,
        prefix: str = "",
        dimensions: int | None = None,
        progress: bool = False,
        timeout: float | None = None,
    ) -> Embeddings:
        """Turn texts into vectors.

        Args:
            texts: any number of texts, of any length and order.
            truncate: what to do with a text that is longer than the model takes.
            normalize: scale each vector to length 1.
            prefix: put before every text, for models that tell queries from documents.
            dimensions: keep this many leading numbers, for models trained so (Matryoshka); None keeps all.
            progress: show a bar on stderr.
            timeout: seconds after which the request is given up.

        Returns:
            float32 array of shape (len(texts), dimensions), in the order of the texts; its memory was written once.

        Raises:
            InputTooLongError: a text is too long and ``truncate`` is ``"error"``.
            InvalidRequestError: a text is no string, or holds what no tokenizer can read.
            UnsupportedFeatureError: the model gives no embeddings.
            RequestTimeoutError: ``timeout`` passed.
        """
        job = self._embed_job(texts, truncate, normalize, prefix, dimensions)
        result: Embeddings = run_job(job, Deadline(timeout), progress)
        return result

    async def aembed(
        self,
        texts: Sequence[str],
        *,
        truncate: Truncate = "error",
        normalize: bool = True,
        prefix: str = "",
        dimensions: int | None = None,
        progress: bool = False,
        timeout: float | None = None,
    ) -> Embeddings:
        """Turn texts into vectors; as embed."""
        job = self._embed_job(texts, truncate, normalize, prefix, dimensions)
        result: Embeddings = await await_job(job, Deadline(timeout), progress)
        return result

    def embed_tokens(
        self,
        texts: Sequence[str],
        *,
        truncate: Truncate = "error",
        normalize: bool = True,
        prefix: str = "",
        progress: bool = False,
        timeout: float | None = None,
    ) -> list[Embeddings]:
        """Turn each token of each text into a vector, for late interaction.

        Args and errors are those of embed.

        Returns:
            one float32 array of shape (tokens of the text, dimensions of the model) per text.
        """
        job = self._native.retriever().embed_tokens(texts, truncate=truncate, normalize=normalize, prefix=prefix)
        result: list[Embeddings] = run_job(job, Deadline(timeout), progress)
        return result

    async def aembed_tokens(
        self,
        texts: Sequence[str],
        *,
        truncate: Truncate = "error",
        normalize: bool = True,
        prefix: str = "",
        progress: bool = False,
        timeout: float | None = None,
    ) -> list[Embeddings]:
        """Turn each token of each text into a vector; as embed_tokens."""
        job = self._native.retriever().embed_tokens(texts, truncate=truncate, normalize=normalize, prefix=prefix)
        result: list[Embeddings] = await await_job(job, Deadline(timeout), progress)
        return result

    def rerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_n: int | None = None,
        truncate: Truncate = "error",
        progress: bool = False,
        timeout: float | None = None,
    ) -> list[RerankScore]:
        """Score how well each document answers the query.

        Args:
            query: the question.
            documents: the candidates.
            top_n: return only the best so many; None returns all.
            truncate: what to do with a pair that is longer than the model takes; only documents are cut.
            progress: show a bar on stderr.
            timeout: seconds after which the request is given up.

        Returns:
            the scores, best first: what the ranking head says, without a sigmoid.

        Raises:
            UnsupportedFeatureError: the model has no ranking head.
            InputTooLongError: a pair is too long and ``truncate`` is ``"error"``, or the query alone is.
            RequestTimeoutError: ``timeout`` passed.
        """
        job = self._rerank_job(query, documents, truncate)
        return best_first(run_job(job, Deadline(timeout), progress), top_n)

    async def arerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_n: int | None = None,
        truncate: Truncate = "error",
        progress: bool = False,
        timeout: float | None = None,
    ) -> list[RerankScore]:
        """Score how well each document answers the query; as rerank."""
        job = self._rerank_job(query, documents, truncate)
        return best_first(await await_job(job, Deadline(timeout), progress), top_n)

    # Tokens and templates

    def tokenize(self, text: str, *, add_special: bool = False, parse_special: bool = False) -> list[int]:
        """Split a text into the numbers of its tokens.

        Args:
            text: the text.
            add_special: add the tokens that the model wants at the start and end of a prompt.
            parse_special: read control tokens such as ``<|im_start|>`` as such instead of as text.
        """
        return self._native.tokenize(check_text(text, "the text"), add_special, parse_special)

    def detokenize(self, tokens: Sequence[int], *, special: bool = False) -> str:
        """Join tokens into text. Half a character at an end becomes U+FFFD.

        Args:
            tokens: numbers of tokens.
            special: write control tokens out instead of leaving them away.
        """
        return self._native.detokenize(list(tokens), special).decode("utf-8", "replace")

    def count_tokens(self, messages: str | Sequence[MessageLike], *, tools: Sequence[ToolLike] = ()) -> int:
        """Count the tokens of a text, or those that a chat's prompt will have, template and tools included."""
        if isinstance(messages, str):
            return len(self.tokenize(messages))
        prompt = self.render_chat(messages, tools=tools)
        return len(self.tokenize(prompt, add_special=True, parse_special=True))

    def render_chat(self, messages: str | Sequence[MessageLike], **options: Unpack[ChatKwargs]) -> str:
        """Write out the prompt that the model's template makes of a chat."""
        return self._native.render(to_chat_request(messages, ChatOptions.checked(**options)))

    # The engine itself

    def metrics(self) -> EngineMetrics:
        """Read the counters of generation, also while it is running."""
        counters = self._native.metrics()
        return EngineMetrics(
            requests_running=counters.n_running,
            requests_waiting=counters.n_waiting,
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
        """End all requests with EngineClosedError and free the model. Idempotent, from any thread."""
        self._native.close()
        _open_engines.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.options.n_parallel} slots"
        return f"<Engine {self.info.name!r} ({self.info.description}), {state}>"

    # How requests are made

    def _chat(self, messages: str | Sequence[MessageLike], kwargs: ChatKwargs, *, stream: bool) -> Callable[[], Pump]:
        options = ChatOptions.checked(**kwargs)
        return self._submitter(options, to_chat_request(messages, options), "", stream)

    def _completion(self, prompt: str, kwargs: CompletionKwargs, *, stream: bool) -> Callable[[], Pump]:
        return self._submitter(CompletionOptions.checked(**kwargs), None, prompt, stream)

    def _submitter(
        self, options: CompletionOptions, chat: _native.ChatRequest | None, prompt: str, stream: bool
    ) -> Callable[[], Pump]:
        """Check everything that can be checked now; what is returned queues the request."""
        constraint = None if options.constraint is None else to_constraint(options.constraint)
        if constraint is not None:
            constraint.check()
        request = to_generation_request(options, stream=stream, prompt=prompt, chat=chat, constraint=constraint)
        deadline = Deadline(options.timeout)

        def submit() -> Pump:
            return Pump(self._native.submit(request), options.n, self.info.name, constraint, deadline)

        return submit

    def _embed_job(
        self, texts: Sequence[str], truncate: Truncate, normalize: bool, prefix: str, dimensions: int | None
    ) -> _native.RetrievalJob:
        return self._native.retriever().embed(
            texts, truncate=truncate, normalize=normalize, prefix=prefix, dimensions=dimensions or 0
        )

    def _rerank_job(self, query: str, documents: Sequence[str], truncate: Truncate) -> _native.RetrievalJob:
        # A model that was trained without sentence types says so in its catalog entry.
        known = self._entry.sentence_types if self._entry is not None else None
        return self._native.retriever().rerank(
            query, documents, truncate=truncate, sentence_types=True if known is None else known
        )

    def _describe(self, name: str) -> ModelInfo:
        facts = self._native.facts()
        return ModelInfo(
            name=name,
            path=self._file.path,
            architecture=self._file.architecture,
            description=facts.description,
            n_params=facts.n_params,
            size_bytes=facts.size_bytes,
            n_ctx_train=facts.n_ctx_train,
            n_ctx=facts.n_ctx,
            n_embd=facts.n_embd,
            n_vocab=facts.n_vocab,
            pooling=self.options.pooling or self._file.pooling or ("rank" if self._file.has_rank_head else "none"),
            can_generate=self._file.causal,
            can_rerank=self._file.has_rank_head,
            has_chat_template=self._file.has_chat_template,
            supports_tools=facts.supports_tools,
            supports_thinking=facts.supports_thinking,
        )


def _off_loop(submit: Callable[[], Pump], prompt: str | Sequence[MessageLike]) -> Callable[[], Awaitable[Pump]]:
    """Queue a request without holding up the event loop: a long prompt is tokenised on a helper thread."""
    is_long = len(str(prompt)) > _LONG_PROMPT

    async def start() -> Pump:
        if not is_long:
            return submit()
        submitted = asyncio.get_running_loop().run_in_executor(None, submit)
        try:
            return await asyncio.shield(submitted)
        except asyncio.CancelledError:
            submitted.add_done_callback(_discard)
            raise

    return start


def _discard(submitted: asyncio.Future[Pump]) -> None:
    """End a request whose task was cancelled while it was being queued."""
    if not submitted.cancelled() and submitted.exception() is None:
        submitted.result().close()
