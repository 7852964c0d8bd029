"""XLlama: a GGUF model inside this process, as a LlamaIndex LLM."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.base.llms.generic_utils import messages_to_prompt
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import ToolSelection, default_completion_to_prompt
from llama_index.core.tools.types import BaseTool
from pydantic import Field

from xlc_core import AsyncEventStream, Engine, EventStream, Message
from xlc_core.frameworks import ChatFields, require_single_answer
from xlc_llamaindex.infill import InfillMethods
from xlc_llamaindex.messages import to_engine_messages
from xlc_llamaindex.responses import Answer, aresponses, responses, to_chat_response, to_completion_response
from xlc_llamaindex.structured import StructuredPrediction
from xlc_llamaindex.tools import chat_with_tools_request, tool_selections

__all__ = ["XLlama"]

_templates: weakref.WeakKeyDictionary[Engine, int] = weakref.WeakKeyDictionary()


class XLlama(ChatFields, InfillMethods, StructuredPrediction):
    """An LLM that llama.cpp runs inside this process: no server, no port.

    Building one loads nothing. The model is loaded on first use, or by ``load()``; every adapter of the process that
    has the same model and engine options shares it, and concurrent calls are decoded together in one batch.
    Cancelling a task, or leaving a stream before its end, stops the generation.

    A sampling field that is None stays at the value that the model's file recommends, else at llama.cpp's default,
    which ``xlc_core.SamplingOptions`` names. Every field of ``xlc_core.ChatOptions`` may also be given to a single
    call.

    Every method raises xllama's errors (``xlc_core.XllamaError``), since LlamaIndex does not define errors for models.

    Examples:
        >>> llm = XLlama(model="smollm2-135m-instruct", temperature=0)
        >>> llm.complete("Name a colour.").text
        'Blue'
    """

    additional_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further fields of ``xlc_core.ChatOptions``, such as ``{"repeat_penalty": 1.1}``."""

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex serializes this class."""
        return "XLlama"

    @property
    def metadata(self) -> LLMMetadata:
        """The model's kind and its limits; loads the model if it is not loaded yet.

        ``context_window`` is what one request may hold, less what the chat template adds to a message, since
        LlamaIndex fills all of it with text. ``num_output`` is ``max_tokens``, but at most half of that, so that
        there is room for a prompt. A model with a chat template can call functions: where the template has no format
        for it, xllama brings one.
        """
        return self._metadata(self._get_engine())

    def _metadata(self, engine: Engine) -> LLMMetadata:
        is_chat_model = _is_chat_model(engine)
        window = engine.info.n_ctx - (_template_tokens(engine) if is_chat_model else 0)
        return LLMMetadata(
            context_window=window,
            num_output=window // 2 if self.max_tokens is None else min(self.max_tokens, window // 2),
            is_chat_model=is_chat_model,
            is_function_calling_model=is_chat_model,
            model_name=engine.info.name,
        )

    def to_payload(self) -> dict[str, Any]:
        """Return a description for traces and callbacks, which ask for it with each call; does not load the model."""
        payload = {"class_name": self.class_name(), "model": self.model, **self._own_options()}
        if (engine := self._opened_engine(None)) is not None:
            payload.update(self._metadata(engine).model_dump())
        return payload

    @property
    def tokenizer(self) -> Callable[[str], list[int]]:
        """The model's own tokenizer, a function from text to tokens, for ``Settings.tokenizer`` and splitters."""
        return self._tokenize

    def _tokenize(self, text: str) -> list[int]:
        return self._get_engine().tokenize(text)

    # Requests

    def _further_options(self) -> dict[str, Any]:
        return self.additional_kwargs

    def _request(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments of ``Engine.chat``: this LLM's settings, overridden by the call's."""
        # LlamaIndex passes None for arguments that its caller left out; only for max_tokens is None a value.
        given = {name: value for name, value in kwargs.items() if value is not None or name == "max_tokens"}
        return require_single_answer({**self._own_options(), **given})

    def _chat_call(
        self, engine: Engine, messages: Sequence[ChatMessage], kwargs: dict[str, Any]
    ) -> tuple[str, Any, dict[str, Any]]:
        """Return the kind of the request that answers a chat, its messages or prompt, and its options."""
        if not _is_chat_model(engine):
            return self._completion_call(
                engine, (self.messages_to_prompt or messages_to_prompt)(messages), True, kwargs
            )
        return "chat", to_engine_messages(messages), self._request(kwargs)

    def _completion_call(
        self, engine: Engine, prompt: str, formatted: bool, kwargs: dict[str, Any]
    ) -> tuple[str, Any, dict[str, Any]]:
        """Return the same for a prompt. A chat model gets it as a user's message, unless it is formatted."""
        request = self._request(kwargs)
        to_prompt = self.completion_to_prompt or default_completion_to_prompt
        if not formatted and to_prompt is default_completion_to_prompt and _is_chat_model(engine):
            return "chat", [Message(role="user", content=prompt)], request
        return "complete", prompt if formatted else to_prompt(prompt), self._completion_options(request, kwargs)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a chat.

        Args:
            messages: the chat, oldest first; not changed.
            **kwargs: fields of ``xlc_core.ChatOptions``.

        Returns:
            The answer, with usage, timings and finish reason in ``raw``.

        Raises:
            InvalidRequestError: a message or option cannot be honoured; nothing was run.
            ContextOverflowError: the chat does not fit into the context.
            RequestTimeoutError: ``timeout`` passed.
        """
        engine = self._get_engine()
        return to_chat_response(Answer.whole(_run(engine, *self._chat_call(engine, messages, kwargs))))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a chat without blocking the event loop; as chat."""
        engine = await self._aget_engine()
        return to_chat_response(Answer.whole(await _arun(engine, *self._chat_call(engine, messages, kwargs))))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a chat bit by bit; as chat.

        Returns:
            A generator of responses. Each holds the message so far and, in ``delta``, the text that is new; thinking
            that is new is in ``additional_kwargs["thinking_delta"]``. The last one has what ``chat`` has in ``raw``.
        """
        engine = self._get_engine()
        return responses(_stream(engine, *self._chat_call(engine, messages, kwargs)), to_chat_response)

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Answer a chat bit by bit without blocking the event loop; as stream_chat."""
        engine = await self._aget_engine()
        return aresponses(_astream(engine, *self._chat_call(engine, messages, kwargs)), to_chat_response)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt.

        Args:
            prompt: a user's message; with ``formatted``, and for models without a chat template, a text to continue.
            formatted: whether the prompt is already in the model's own format.
            **kwargs: as for chat.

        Returns:
            The answer's text, with usage, timings and finish reason in ``raw``.

        Raises:
            XllamaError: those of chat.
        """
        engine = self._get_engine()
        call = self._completion_call(engine, prompt, formatted, kwargs)
        return to_completion_response(Answer.whole(_run(engine, *call)))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt without blocking the event loop; as complete."""
        engine = await self._aget_engine()
        call = self._completion_call(engine, prompt, formatted, kwargs)
        return to_completion_response(Answer.whole(await _arun(engine, *call)))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Answer a prompt bit by bit; as complete and stream_chat."""
        engine = self._get_engine()
        return responses(
            _stream(engine, *self._completion_call(engine, prompt, formatted, kwargs)), to_completion_response
        )

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """Answer a prompt bit by bit without blocking the event loop; as stream_complete."""
        engine = await self._aget_engine()
        return aresponses(
            _astream(engine, *self._completion_call(engine, prompt, formatted, kwargs)), to_completion_response
        )

    # Tools

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | bool | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        request = chat_with_tools_request(
            tools,
            user_msg,
            chat_history,
            parallel=allow_parallel_tool_calls,
            required=tool_required,
            choice=tool_choice,
        )
        return {**request, **kwargs}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the tool calls of a response. One that was cut off is left out, with a warning in the log.

        Args:
            response: a response of ``chat_with_tools`` or of its stream.
            error_on_no_tool_call: whether a response without calls is an error.
            **kwargs: not used.

        Raises:
            ValueError: there is no whole call although there should be.
        """
        return tool_selections(response, error_on_no_tool_call=error_on_no_tool_call)


def _is_chat_model(engine: Engine) -> bool:
    return engine.info.has_chat_template or bool(engine.options.chat_template)


def _template_tokens(engine: Engine) -> int:
    """Return the tokens that the chat template adds to a message; counted once per engine, as each call asks for it."""
    if engine not in _templates:
        _templates[engine] = engine.count_tokens([Message(role="user", content="")])
    return _templates[engine]


def _run(engine: Engine, kind: str, prompt: Any, options: dict[str, Any]) -> Any:
    return engine.chat(prompt, **options) if kind == "chat" else engine.complete(prompt, **options)


async def _arun(engine: Engine, kind: str, prompt: Any, options: dict[str, Any]) -> Any:
    return await (engine.achat(prompt, **options) if kind == "chat" else engine.acomplete(prompt, **options))


def _stream(engine: Engine, kind: str, prompt: Any, options: dict[str, Any]) -> EventStream:
    return engine.stream_chat(prompt, **options) if kind == "chat" else engine.stream_complete(prompt, **options)


def _astream(engine: Engine, kind: str, prompt: Any, options: dict[str, Any]) -> AsyncEventStream:
    return engine.astream_chat(prompt, **options) if kind == "chat" else engine.astream_complete(prompt, **options)
