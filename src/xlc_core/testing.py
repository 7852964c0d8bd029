"""A fake engine for tests of code that uses an engine: it plays a script and does not need a model.

Examples:
    >>> engine = ScriptedEngine(["Hello!", RequestTimeoutError("too slow")])
    >>> engine.chat("Hi").text
    'Hello!'
    >>> engine.chat("Hi")  # raises RequestTimeoutError
    >>> engine.requests[0].messages  # the request's messages
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Unpack

from xlc_core._native import Explanation
from xlc_core.constraints.conversion import to_constraint
from xlc_core.engine.base import EngineFace
from xlc_core.engine.lora_scales import LoraScales
from xlc_core.errors import EngineClosedError
from xlc_core.events import Event, Finished, ReasoningDelta, TextDelta, ToolCallDelta
from xlc_core.generation.conversion import ToolLike, to_tools
from xlc_core.generation.message_reading import MessageLike, to_messages
from xlc_core.generation.request import InfillFiles
from xlc_core.generation.tool_choice import to_tool_use
from xlc_core.messages import Message
from xlc_core.options.embedding_types import quantize_embeddings
from xlc_core.options.engine import EngineOptions
from xlc_core.options.kwargs import (
    ChatKwargs,
    CompletionKwargs,
    EmbedKwargs,
    EmbedStreamKwargs,
    RerankKwargs,
    TokenEmbedKwargs,
)
from xlc_core.options.retrieval import EmbedOptions, EmbedStreamOptions, RerankOptions, TokenEmbedOptions
from xlc_core.options.sampling import ChatOptions, CompletionOptions
from xlc_core.results import Completion, CompletionChoice, EngineMetrics, ModelInfo, RerankScore, Usage
from xlc_core.retrieval.scores import best_first, sigmoid
from xlc_core.retrieval.splitting import TextRoom
from xlc_core.retrieval.streams import AsyncEmbeddingStream, EmbeddingStream
from xlc_core.scripted_streams import AsyncScriptedStream, ScriptedStream

__all__ = ["Reply", "ScriptedEngine", "ScriptedRequest"]

Reply = str | Completion | Sequence[Event] | BaseException
"""The reply to one request: a text, a whole result, the events of a stream, or an error to raise."""


@dataclass(frozen=True)
class ScriptedRequest:
    """A request: a chat's messages or a completion's prompt, and the checked options.

    Attributes:
        messages: the chat; empty for a completion.
        prompt: the completion's text; empty for a chat.
        options: all options of the request, with their defaults.
    """

    messages: tuple[Message, ...]
    prompt: str
    options: CompletionOptions


class _ScriptedJob:
    """A job of the retrieval worker that is over at once."""

    def __init__(self, vectors: npt.NDArray[np.float32]) -> None:
        self._vectors = vectors
        self.n_done = len(vectors)

    def wait(self, timeout: float | None = None) -> bool:
        return True

    def arm(self) -> bool:
        return False

    def set_waker(self, waker: object) -> None:
        pass

    def cancel(self) -> None:
        pass

    def result(self) -> npt.NDArray[np.float32]:
        return self._vectors


class ScriptedEngine(EngineFace):
    """Has Engine's methods but those for sessions, decisions, memory and embedding messages.

    Each request gets the next reply; when they are used up, the last one again. Options are checked like those of
    Engine.

    Args:
        replies: the replies to requests, in order [one empty text].
        embeddings: called with the texts, returns their vectors; None: vectors that depend on the text's words.
        scores: called with query and documents, returns their scores; None: the share of the query's words that the
            document holds.
        info: the engine's ``info``; None: that of a model called "scripted", with 4096 tokens of context, 4 slots and
            vectors of 8 dimensions.

    Attributes:
        requests: every request, in order.
        options: the options of an engine whose model is called "scripted".
        closed: whether close was called.
    """

    def __init__(
        self,
        replies: Sequence[Reply] = ("",),
        *,
        embeddings: Callable[[Sequence[str]], npt.NDArray[np.float32]] | None = None,
        scores: Callable[[str, Sequence[str]], Sequence[float]] | None = None,
        info: ModelInfo | None = None,
    ) -> None:
        self._replies = list(replies)
        self._embed = embeddings or _embed_words
        self._score = scores or _word_overlap
        self.requests: list[ScriptedRequest] = []
        self.closed = False
        self.options = EngineOptions(model="scripted")
        self._lora_scales = LoraScales(())
        self.info = info or ModelInfo(
            name="scripted", path="", architecture="scripted", description="a script", n_params=0, size_bytes=0,
            n_ctx_train=4096, n_ctx=4096, n_embd=8, n_vocab=256, pooling="none", can_generate=True, can_rerank=True,
            has_chat_template=True, supports_tools=True, supports_thinking=False, n_ctx_total=4 * 4096, n_parallel=4,
        )  # fmt: skip

    def _next(self, request: ScriptedRequest) -> list[Event]:
        if self.closed:
            raise EngineClosedError("the engine is closed; open another one to go on")
        self.requests.append(request)
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, BaseException):
            raise reply
        if isinstance(reply, (str, Completion)):
            return _events_of(_completion_of(reply) if isinstance(reply, str) else reply)
        return list(reply)

    def _chat(self, messages: str | Sequence[MessageLike], options: ChatKwargs) -> list[Event]:
        wanted = ChatOptions.checked(**options)
        to_tool_use(to_tools(wanted.tools), wanted.tool_choice)  # raises the errors of Engine
        return self._next(ScriptedRequest(to_messages(messages), "", wanted))

    def _complete(self, prompt: str, options: CompletionKwargs) -> list[Event]:
        return self._next(ScriptedRequest((), prompt, CompletionOptions.checked(**options)))

    def chat(self, messages: str | Sequence[MessageLike], **options: Unpack[ChatKwargs]) -> Completion:
        """As Engine.chat."""
        return ScriptedStream(self._chat(messages, options)).result()

    async def achat(self, messages: str | Sequence[MessageLike], **options: Unpack[ChatKwargs]) -> Completion:
        """As Engine.achat."""
        return await self.astream_chat(messages, **options).result()

    def stream_chat(self, messages: str | Sequence[MessageLike], **options: Unpack[ChatKwargs]) -> ScriptedStream:
        """As Engine.stream_chat."""
        return ScriptedStream(self._chat(messages, options))

    def astream_chat(self, messages: str | Sequence[MessageLike], **options: Unpack[ChatKwargs]) -> AsyncScriptedStream:
        """As Engine.astream_chat."""
        return AsyncScriptedStream(lambda: self._chat(messages, options))

    def complete(self, prompt: str, **options: Unpack[CompletionKwargs]) -> Completion:
        """As Engine.complete."""
        return ScriptedStream(self._complete(prompt, options)).result()

    async def acomplete(self, prompt: str, **options: Unpack[CompletionKwargs]) -> Completion:
        """As Engine.acomplete."""
        return await self.astream_complete(prompt, **options).result()

    def stream_complete(self, prompt: str, **options: Unpack[CompletionKwargs]) -> ScriptedStream:
        """As Engine.stream_complete."""
        return ScriptedStream(self._complete(prompt, options))

    def astream_complete(self, prompt: str, **options: Unpack[CompletionKwargs]) -> AsyncScriptedStream:
        """As Engine.astream_complete."""
        return AsyncScriptedStream(lambda: self._complete(prompt, options))

    def infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **options: Unpack[CompletionKwargs]
    ) -> Completion:
        """As Engine.infill; the request's prompt has ``…`` where the gap is."""
        return self.complete(f"{prefix}…{suffix}", **options)

    async def ainfill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **options: Unpack[CompletionKwargs]
    ) -> Completion:
        """As Engine.ainfill."""
        return await self.acomplete(f"{prefix}…{suffix}", **options)

    def stream_infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **options: Unpack[CompletionKwargs]
    ) -> ScriptedStream:
        """As Engine.stream_infill."""
        return self.stream_complete(f"{prefix}…{suffix}", **options)

    def astream_infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **options: Unpack[CompletionKwargs]
    ) -> AsyncScriptedStream:
        """As Engine.astream_infill."""
        return self.astream_complete(f"{prefix}…{suffix}", **options)

    def render_infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), max_tokens: int | None = None
    ) -> list[int]:
        """Return a token per byte of the request's prompt; see Engine.render_infill."""
        return self.tokenize(f"{prefix}…{suffix}")

    def embed(self, texts: Sequence[str], **options: Unpack[EmbedKwargs]) -> npt.NDArray[Any]:
        """As Engine.embed; of the options, ``prompt``, ``dtype`` and ``int8_ranges`` have an effect."""
        wanted = EmbedOptions.checked(**options)
        vectors = self._embed([(wanted.prompt or "") + text for text in texts])
        return quantize_embeddings(vectors, wanted.dtype, ranges=wanted.int8_ranges)

    async def aembed(self, texts: Sequence[str], **options: Unpack[EmbedKwargs]) -> npt.NDArray[Any]:
        """As Engine.aembed."""
        return self.embed(texts, **options)

    def embed_stream(self, texts: Iterable[str], **options: Unpack[EmbedStreamKwargs]) -> EmbeddingStream:
        """As Engine.embed_stream."""
        wanted = EmbedStreamOptions.checked(**options)
        return EmbeddingStream(lambda chunk, _: self._embed_job(chunk, wanted), wanted, texts)

    def aembed_stream(
        self, texts: Iterable[str] | AsyncIterable[str], **options: Unpack[EmbedStreamKwargs]
    ) -> AsyncEmbeddingStream:
        """As Engine.aembed_stream."""
        wanted = EmbedStreamOptions.checked(**options)
        return AsyncEmbeddingStream(lambda chunk, _: self._embed_job(chunk, wanted), wanted, texts)

    def _embed_job(self, texts: Sequence[str], options: EmbedOptions) -> Any:
        return _ScriptedJob(self._embed([(options.prompt or "") + text for text in texts]))

    def embed_tokens(self, texts: Sequence[str], **options: Unpack[TokenEmbedKwargs]) -> list[npt.NDArray[np.float32]]:
        """As Engine.embed_tokens: the vector of each word; of the options, ``prompt`` has an effect."""
        wanted = TokenEmbedOptions.checked(**options)
        return [self._embed(re.findall(r"\w+", (wanted.prompt or "") + text) or [""]) for text in texts]

    async def aembed_tokens(
        self, texts: Sequence[str], **options: Unpack[TokenEmbedKwargs]
    ) -> list[npt.NDArray[np.float32]]:
        """As Engine.aembed_tokens."""
        return self.embed_tokens(texts, **options)

    def embedding_room(self, prompt: str = "") -> TextRoom:
        """As Engine.embedding_room, of one token per byte."""
        return TextRoom(max(1, self.info.n_ctx - len(self.tokenize(prompt))), lambda text: len(self.tokenize(text)))

    def rerank(self, query: str, documents: Sequence[str], **options: Unpack[RerankKwargs]) -> list[RerankScore]:
        """As Engine.rerank; of the options, ``top_n``, ``order_weight`` and ``scores`` have an effect."""
        wanted = RerankOptions.checked(**options)
        scores = np.array(self._score(query, documents), dtype=np.float32)
        return best_first(sigmoid(scores) if wanted.scores == "sigmoid" else scores, wanted)

    async def arerank(self, query: str, documents: Sequence[str], **options: Unpack[RerankKwargs]) -> list[RerankScore]:
        """As Engine.arerank."""
        return self.rerank(query, documents, **options)

    def tokenize(self, text: str, **_: Any) -> list[int]:
        """Return a token per byte; see Engine.tokenize."""
        return list(text.encode())

    def detokenize(self, tokens: Sequence[int], **_: Any) -> str:
        """As Engine.detokenize, of one token per byte."""
        return bytes(tokens).decode("utf-8", "replace")

    def token_bytes(self, tokens: Sequence[int], **_: Any) -> bytes:
        """As Engine.token_bytes, of one token per byte."""
        return bytes(tokens)

    def count_tokens(self, messages: str | Sequence[MessageLike], *, tools: Sequence[ToolLike] = ()) -> int:
        """As Engine.count_tokens, of one token per byte; tools are not counted."""
        return len(self.tokenize(messages if isinstance(messages, str) else self.render_chat(messages)))

    def render_chat(self, messages: str | Sequence[MessageLike], **_: Unpack[ChatKwargs]) -> str:
        """Return a line per message; see Engine.render_chat."""
        return "".join(f"{message.role}: {message.content}\n" for message in to_messages(messages))

    def accepts(self, constraint: Any, text: str) -> bool:
        """As Engine.accepts, byte by byte."""
        return to_constraint(constraint).accepts(text)

    def explain(self, constraint: Any, text: str) -> Explanation:
        """As Engine.explain, byte by byte."""
        return to_constraint(constraint).explain(text)

    def metrics(self) -> EngineMetrics:
        """Return counters that are all 0; see Engine.metrics."""
        return EngineMetrics()

    def close(self) -> None:
        """As Engine.close."""
        self.closed = True


def _completion_of(text: str) -> Completion:
    n_words = len(re.findall(r"\S+", text))
    return Completion((CompletionChoice(text=text),), Usage(prompt_tokens=1, completion_tokens=n_words), "scripted")


def _events_of(completion: Completion) -> list[Event]:
    events: list[Event] = []
    for index, choice in enumerate(completion.choices):
        events += [ReasoningDelta(word, index) for word in re.findall(r"\s*\S+\s*$|\s*\S+", choice.reasoning)]
        events += [TextDelta(word, index) for word in re.findall(r"\s*\S+\s*$|\s*\S+", choice.text)]
        for call_index, call in enumerate(choice.tool_calls):
            events.append(ToolCallDelta(call_index, call.id, call.name, index=index))
            events.append(ToolCallDelta(call_index, arguments=call.arguments, index=index))
    return [*events, Finished(completion)]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _embed_words(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    vectors = np.zeros((len(texts), 8), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in _words(text):
            vectors[row, sum(word.encode()) % 8] += 1
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    normalised: npt.NDArray[np.float32] = vectors / np.maximum(norms, np.float32(1e-9))
    return normalised


def _word_overlap(query: str, documents: Sequence[str]) -> list[float]:
    wanted = _words(query)
    return [len(wanted & _words(document)) / max(1, len(wanted)) for document in documents]
