"""The chat and embedding models of the plug-in. This imports xllama's engine only when a model is used."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import llm
from pydantic import Field

if TYPE_CHECKING:
    from xlc_core import ChatKwargs, Completion, Event, Message
    from xlc_core.frameworks import HeldChat, HeldEmbedder, ModelFacts

__all__ = ["AsyncXllamaChat", "XllamaChat", "XllamaEmbedder"]

_PREFIX = "xllama/"
_MEDIA_TYPES = {
    "image": ("image/png", "image/jpeg", "image/gif", "image/bmp", "image/webp"),
    "audio": ("audio/wav", "audio/x-wav", "audio/mpeg", "audio/flac"),
    "video": ("video/mp4", "video/webm", "video/quicktime"),
}
_OF_THE_ENGINE = {"n_ctx"}


class _Options(llm.Options):
    temperature: float | None = Field(None, description="Randomness; 0 takes the likeliest token")
    max_tokens: int | None = Field(None, description="Tokens to generate at most; default 1024")
    seed: int | None = Field(None, description="Makes sampling repeatable")
    top_p: float | None = Field(None, description="Keep the likeliest tokens that together reach this probability")
    top_k: int | None = Field(None, description="Keep the k likeliest tokens")
    min_p: float | None = Field(None, description="Drop tokens less likely than this share of the likeliest")
    repeat_penalty: float | None = Field(None, description="Divides the logits of repeated tokens")
    frequency_penalty: float | None = Field(None, description="Subtracted from a logit per earlier occurrence")
    presence_penalty: float | None = Field(None, description="Subtracted once from the logit of a used token")
    thinking: bool | None = Field(None, description="Whether the model may think before it answers")
    thinking_budget: int | None = Field(None, description="Tokens that the model may think")
    timeout: float | None = Field(None, description="Seconds that an answer may take")
    n_ctx: int | None = Field(None, description="Tokens that a request may hold, prompt and answer together")


@functools.lru_cache(maxsize=32)
def _held_chat(name: str, n_ctx: int | None) -> HeldChat:
    from xlc_core.frameworks import HeldChat

    return HeldChat(model=name, n_ctx=n_ctx)


@functools.lru_cache(maxsize=32)
def _facts(name: str) -> ModelFacts | None:
    return _held_chat(name, None).facts()


class _Chat:
    """The common part of the models with and without asyncio."""

    can_stream = True
    supports_schema = True
    supports_tools = True

    class Options(_Options):
        """Options of a prompt; those that are not given stay at the engine's defaults."""

    def __init__(self, name: str) -> None:
        """Describe a model; nothing is loaded.

        Args:
            name: a path, a name of the catalog, or ``hf:owner/repo[:quant-or-file]``.
        """
        self.name = name
        self.model_id = f"{_PREFIX}{name}"

    @property
    def attachment_types(self) -> set[str]:
        """The media that the model reads, by its file; none if the file is not on this disk yet."""
        facts = _facts(self.name)
        return {mime for kind in (facts.reads if facts else ()) for mime in _MEDIA_TYPES[kind]}

    def _request(self, prompt: llm.Prompt) -> tuple[HeldChat, list[Message], ChatKwargs]:
        """Return the model, the messages and the options of ``Engine.chat``."""
        from xlc_core.frameworks import read_schema
        from xlc_llm.messages import to_engine_messages

        call = prompt.options.model_dump(exclude=_OF_THE_ENGINE)
        if prompt.schema:
            call["constraint"] = read_schema(prompt.schema)
        if prompt.tools:
            call["tools"] = [
                {"name": tool.name, "description": tool.description or "", "parameters": tool.input_schema}
                for tool in prompt.tools
            ]
        held = _held_chat(self.name, prompt.options.n_ctx)
        return held, to_engine_messages(prompt.messages), held.join_options(call)


class XllamaChat(_Chat, llm.Model):
    """A chat model in this process. Closing its response's iterator stops the generation."""

    def execute(
        self, prompt: llm.Prompt, stream: bool, response: llm.Response, conversation: llm.Conversation | None
    ) -> Iterator[Any]:
        """Answer a prompt; llm calls this.

        Args:
            prompt: the messages, and their options, schema and tools.
            stream: whether the user wants pieces; the answer is generated in the same way.
            response: gets the calls of tools and the tokens that were used.
            conversation: is not used, as ``prompt`` has the earlier messages; None without one.

        Yields:
            pieces of the text, the thinking and the calls, as they come.

        Raises:
            llm.ModelError: the errors of ``Engine.chat`` and of loading, or a call of a tool was cut off.
        """
        with _model_errors():
            held, chat, options = self._request(prompt)
            with held.get_engine().stream_chat(chat, **options) as events:
                for event in events:
                    yield from _write(event, response)


class AsyncXllamaChat(_Chat, llm.AsyncModel):
    """A chat model in this process, for asyncio."""

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[Any, None]:
        """Answer a prompt; llm calls this. It has the arguments, pieces and errors of XllamaChat.execute."""
        with _model_errors():
            held, chat, options = self._request(prompt)
            engine = await held.aget_engine()
            async with engine.astream_chat(chat, **options) as events:
                async for event in events:
                    for piece in _write(event, response):
                        yield piece


class XllamaEmbedder(llm.EmbeddingModel):
    """An embedding model in this process. llm does not say what a query is, so that all texts are documents."""

    def __init__(self, name: str) -> None:
        """Describe a model; nothing is loaded.

        Args:
            name: a path, a name of the catalog, or ``hf:owner/repo[:quant-or-file]``.
        """
        self.name = name
        self.model_id = f"{_PREFIX}{name}"

    @functools.cached_property
    def _held(self) -> HeldEmbedder:
        from xlc_core.frameworks import HeldEmbedder

        return HeldEmbedder(model=self.name)

    def embed_batch(self, items: Iterable[str | bytes], *, key: str | None = None) -> Iterator[list[float]]:
        """Yield a vector for each text, of length 1; llm calls this.

        Args:
            items: the texts; all are read before the first vector comes.
            key: is not used, as models in this process have no keys; None or not.

        Raises:
            llm.ModelError: the errors of ``Engine.embed`` and of loading.
        """
        with _model_errors():
            vectors = self._held.embed([str(item) for item in items], "document")
        for vector in vectors:
            yield vector.tolist()


def _model_errors() -> AbstractContextManager[None]:
    """Return a context that raises the error that llm shows to its user instead of ours, which stays its cause."""
    from xlc_core.frameworks import raise_as

    return raise_as(lambda error: llm.ModelError(str(error)))


def _write(event: Event, response: Any) -> Iterator[Any]:
    """Yield the pieces of an answer, and write its end into the response."""
    from xlc_core import Finished
    from xlc_llm.messages import to_pieces

    if isinstance(event, Finished):
        _finish(event.completion, response)
    else:
        yield from to_pieces(event)


def _finish(completion: Completion, response: Any) -> None:
    from xlc_core.frameworks import read_arguments

    for call in completion.tool_calls:
        if (arguments := read_arguments(call)) is None:
            raise llm.ModelError(f"the call of {call.name!r} was cut off; raise max_tokens")
        response.add_tool_call(llm.ToolCall(name=call.name, arguments=arguments, tool_call_id=call.id or None))
    usage = completion.usage
    details = {"cached": usage.cached_tokens, "reasoning": usage.reasoning_tokens}
    response.set_usage(
        input=usage.prompt_tokens,
        output=usage.completion_tokens,
        details={name: n for name, n in details.items() if n},
    )
    response.response_json = {"finish_reason": completion.finish_reason}
