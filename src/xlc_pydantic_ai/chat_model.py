"""XllamaModel: a GGUF chat model inside this process, as a model of Pydantic AI's agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponseStreamEvent
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse, check_allow_model_requests
from pydantic_ai.profiles import ModelProfile, ModelProfileSpec
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from xlc_core import (
    AsyncEventStream,
    ChatKwargs,
    Engine,
    Event,
    Finished,
    Message,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from xlc_core.frameworks import HeldChat, read_openai_options, read_schema, thinking_options
from xlc_pydantic_ai.errors import model_errors
from xlc_pydantic_ai.messages import FINISH_REASONS, PROVIDER, to_engine_messages, to_response, to_usage

__all__ = ["XllamaModel", "XllamaModelSettings"]

_SETTINGS = (
    *("max_tokens", "temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias"),
    *("stop_sequences", "timeout", "parallel_tool_calls"),
)


class XllamaModelSettings(ModelSettings, total=False):  # type: ignore[call-arg, unused-ignore]
    """Settings of a request; ``xllama_options`` has those that only xllama has."""

    xllama_options: ChatKwargs
    """Further fields of ``xlc_core.ChatOptions``, such as ``{"min_p": 0.1, "thinking_budget": 256}``."""


class XllamaModel(Model):
    """A chat model that llama.cpp runs inside this process: no server, no port.

    Building one loads nothing. Structured output is by default ``NativeOutput``: the schema is enforced while tokens
    are sampled, so that a whole answer always matches it, and so are the arguments of tools. Leaving a stream and
    cancelling a task stop the generation.

    Examples:
        >>> agent = Agent(XllamaModel("smollm2-135m-instruct"), output_type=City)
    """

    unsupported_settings = frozenset({"extra_body", "extra_headers", "max_retries", "service_tier"})
    _relocates_tool_files = True  # a tool's result is text alone
    _supported_document_media_types = frozenset({"text/plain", "text/markdown", "text/html", "text/csv"})

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        engine: Engine | None = None,
        settings: ModelSettings | None = None,
        profile: ModelProfileSpec | None = None,
        **fields: Any,
    ) -> None:
        """Describe a model, which is loaded on first use and shared in this process.

        Args:
            model: path of a GGUF file, a name of the catalog, or ``hf:owner/repo[:quant-or-file]``; None: the value of
                ``$XLLAMA_MODEL``.
            engine: an open engine to use instead; who opened it closes it. None: a shared one.
            settings: defaults of every request; None: none.
            profile: changes to the profile that the model's file has; None: none.
            **fields: further fields of ``xlc_core.frameworks.HeldChat``, such as ``n_ctx`` and ``engine_options``.
        """
        self._held = HeldChat(model=model, engine=engine, **fields)
        super().__init__(settings=settings, profile=profile)

    @property
    def model_name(self) -> str:
        """The model's path or name."""
        return str(self._held.model)

    @property
    def system(self) -> str:
        """The name of this provider."""
        return PROVIDER

    def close(self) -> None:
        """Release the model; it is unloaded at once if nobody else in the process uses it."""
        self._held.close()

    def _provider_model_profile(self) -> ModelProfile:
        """Return what the model's file says, without loading it. A model that is not on this disk yet may think."""
        facts = self._held.facts()
        reads = facts.reads if facts else {"image", "audio", "video"}
        return ModelProfile(
            supports_json_schema_output=True,
            supports_json_object_output=True,
            default_structured_output_mode="native",
            supports_thinking=facts is None or facts.supports_thinking,
            supports_image_input="image" in reads,
            supports_audio_file_input="audio" in reads,
            supports_video_input="video" in reads,
            context_window=facts.n_ctx if facts else None,
        )

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Answer a chat; Pydantic AI's agents call this.

        Args:
            messages: the chat, oldest message first.
            model_settings: settings of this request, which override those of the model; None: none.
            model_request_parameters: tools, and the form of the answer.

        Returns:
            the answer, with its thinking, calls and tokens.

        Raises:
            pydantic_ai.exceptions.ModelAPIError: the errors of ``xlc_core``, with ours as the cause. Where they fit, it
                is a ModelNotFoundError, ModelUnavailableError, ModelContextWindowExceededError,
                ModelRequestRejectedError or ModelTimeoutError.
        """
        check_allow_model_requests()
        with model_errors(self.model_name):
            chat, options, _ = self._request(messages, model_settings, model_request_parameters)
            engine = await self._held.aget_engine()
            return to_response(await engine.achat(chat, **options))

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: Any = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Answer a chat event by event. The end of the context stops the generation.

        Args:
            messages: the chat, oldest message first.
            model_settings: settings of this request, which override those of the model; None: none.
            model_request_parameters: tools, and the form of the answer.
            run_context: is not used; None or not.

        Yields:
            the stream of the answer; its first event has come.

        Raises:
            pydantic_ai.exceptions.ModelAPIError: the errors of ``xlc_core``, with ours as the cause. Where they fit, it
                is a ModelNotFoundError, ModelUnavailableError, ModelContextWindowExceededError,
                ModelRequestRejectedError or ModelTimeoutError.
        """
        check_allow_model_requests()
        with model_errors(self.model_name):
            chat, options, parameters = self._request(messages, model_settings, model_request_parameters)
            engine = await self._held.aget_engine()
            stream = engine.astream_chat(chat, **options)
        async with stream:
            with model_errors(self.model_name):  # an error of the request is raised here, where a fallback sees it
                first = await anext(stream)
            yield _Streamed(parameters, stream, first, self.model_name)

    async def count_tokens(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> RequestUsage:
        """Return the tokens of a chat's prompt, with its template and tools. Nothing is generated.

        Args:
            messages: the chat, oldest message first.
            model_settings: settings of this request, which override those of the model; None: none.
            model_request_parameters: tools, and the form of the answer.

        Raises:
            pydantic_ai.exceptions.ModelAPIError: the errors of ``xlc_core``, with ours as the cause. Where they fit, it
                is a ModelNotFoundError, ModelUnavailableError, ModelContextWindowExceededError,
                ModelRequestRejectedError or ModelTimeoutError.
        """
        with model_errors(self.model_name):
            chat, options, _ = self._request(messages, model_settings, model_request_parameters)
            engine = await self._held.aget_engine()
            tools = options.get("tools") or ()
            return RequestUsage(input_tokens=await asyncio.to_thread(engine.count_tokens, chat, tools=tools))

    def _request(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> tuple[list[Message], ChatKwargs, ModelRequestParameters]:
        """Return the messages and the options of ``Engine.chat``, and the parameters as Pydantic AI completes them."""
        joined, parameters = self.prepare_request(settings, parameters)
        wanted = joined or {}
        output = parameters.output_object
        instructions = [part.content for part in self._get_instruction_parts(messages, parameters) or ()]
        options = self._held.join_options(
            {
                **read_openai_options({name: wanted.get(name) for name in _SETTINGS}),
                "constraint": read_schema(output.json_schema) if output else None,
                **_tool_options(wanted, parameters),
                **thinking_options(parameters.thinking),
                **wanted.get("xllama_options", {}),
            }
        )
        return to_engine_messages(messages, instructions), options, parameters


def _tool_options(settings: ModelSettings, parameters: ModelRequestParameters) -> dict[str, Any]:
    choice = settings.get("tool_choice")
    outputs = [tool.name for tool in parameters.output_tools]
    names = [*parameters.declared_tool_defs]
    must_call = not (parameters.allow_text_output or parameters.allow_image_output)
    if choice == "required":
        must_call = True
    elif isinstance(choice, list) and choice:
        names, must_call = choice, True
    elif choice not in (None, "auto"):  # "none", or the functions that may be called beside the output
        names = [*getattr(choice, "function_tools", ()), *outputs]
    tools = [
        {"name": tool.name, "description": tool.description or "", "parameters": tool.parameters_json_schema}
        for tool in parameters.declared_tool_defs.values()
        if tool.name in names
    ]
    return {"tools": tools, "tool_choice": "required" if must_call else "auto"} if tools else {}


@dataclass
class _Streamed(StreamedResponse):
    """The answer as it comes."""

    _stream: AsyncEventStream
    _first: Event
    _model: str
    _started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        for piece in self._pieces(self._first):
            yield piece
        with model_errors(self._model):
            async for event in self._stream:
                for piece in self._pieces(event):
                    yield piece

    def _pieces(self, event: Event) -> Any:
        manager = self._parts_manager
        if isinstance(event, TextDelta):
            return manager.handle_text_delta(vendor_part_id="text", content=event.text)
        if isinstance(event, ReasoningDelta):
            return manager.handle_thinking_delta(vendor_part_id="thinking", content=event.text, provider_name=PROVIDER)
        if isinstance(event, ToolCallDelta):
            return manager.handle_tool_call_delta_events(
                vendor_part_id=event.call_index,
                tool_name=event.name or None,
                args=event.arguments or None,
                tool_call_id=event.id or None,
            )
        if isinstance(event, Finished):
            self._usage = to_usage(event.completion.usage)
            self.finish_reason = FINISH_REASONS[event.completion.finish_reason]
            self.provider_details = {"finish_reason": event.completion.finish_reason}
        return ()

    async def close_stream(self) -> None:
        await self._stream.aclose()

    @property
    def model_name(self) -> str:
        return self._model

    @property
    def provider_name(self) -> str:
        return PROVIDER

    @property
    def provider_url(self) -> None:
        return None

    @property
    def timestamp(self) -> datetime:
        return self._started
