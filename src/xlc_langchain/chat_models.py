"""ChatXLlama: a GGUF chat model inside this process, as a LangChain chat model."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils import from_env
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from xlc_core import InvalidRequestError, SamplingOptions
from xlc_langchain.engine_access import EngineUser, as_text
from xlc_langchain.errors import langchain_errors
from xlc_langchain.messages import to_engine_messages
from xlc_langchain.results import PROVIDER, to_chat_result, to_chunk
from xlc_langchain.structured import json_parser, tool_parser, with_parser
from xlc_langchain.tools import response_format, to_constraint, to_engine_tools, to_tool_choice

__all__ = ["ChatXLlama"]

_SAMPLING = (
    "temperature",
    "max_tokens",
    "seed",
    "top_p",
    "top_k",
    "min_p",
    "repeat_penalty",
    "frequency_penalty",
    "presence_penalty",
    "stop",
    "logprobs",
)
_ENGINE = ("model", "n_ctx", "engine_options")
_REQUEST = ("thinking", "template_kwargs", "timeout")


class ChatXLlama(EngineUser, BaseChatModel):
    """A chat model that llama.cpp runs inside this process: no server, no port.

    Building one loads nothing. The model is loaded on first use, or by ``load()``; every adapter of
    the process that has the same model and engine options shares it, and concurrent calls are
    decoded together in one batch. Cancelling an ``ainvoke``, or leaving a stream before its end,
    stops the generation.

    A sampling field that is None stays at llama.cpp's default, which ``xlc_core.SamplingOptions``
    names. Every field of those options, and ``tools``, ``tool_choice``, ``response_format``,
    ``constraint``, ``thinking``, ``template_kwargs``, ``timeout`` and ``model``, may also be given
    to a single call or to ``bind``.

    Example:
        >>> llm = ChatXLlama(model="smollm2-135m-instruct", temperature=0)
        >>> llm.invoke("Name a colour.").text
        'Blue'
    """

    model: Annotated[str | Path | None, AfterValidator(as_text)] = Field(
        default_factory=from_env("XLLAMA_MODEL", default=None)
    )
    """A path, a catalog name, or ``hf:owner/repo[:quant-or-file]``; else ``$XLLAMA_MODEL``."""

    temperature: float | None = None
    """Randomness; 0 takes the likeliest token."""

    max_tokens: int | None = 1024
    """Tokens to generate at most; None: until the model stops or the context is full."""

    seed: int | None = None
    """Makes sampling repeatable."""

    top_p: float | None = None
    """Keep the likeliest tokens that together reach this probability."""

    top_k: int | None = None
    """Keep the k likeliest tokens."""

    min_p: float | None = None
    """Drop tokens less likely than this share of the likeliest."""

    repeat_penalty: float | None = None
    """Divides the logits of repeated tokens."""

    frequency_penalty: float | None = None
    """Subtracted from a token's logit per earlier occurrence."""

    presence_penalty: float | None = None
    """Subtracted once from the logit of a token that occurred."""

    stop: list[str] | None = None
    """Texts that end the answer; a call's own ``stop`` replaces them."""

    logprobs: int | None = None
    """Put tokens' log-probabilities and so many likeliest others into ``response_metadata``."""

    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further fields of ``xlc_core.SamplingOptions``, such as ``{"dry_multiplier": 0.8}``."""

    thinking: bool | None = None
    """Whether the model may think before it answers; None: as its template does by default."""

    template_kwargs: dict[str, Any] | None = None
    """Variables for the model's chat template."""

    timeout: float | None = None
    """Seconds that a call may take; afterwards it raises and its slot is free."""

    streaming: bool = False
    """Whether ``invoke`` streams inside, for the sake of callbacks that watch tokens."""

    @model_validator(mode="after")
    def _check_sampling(self) -> Self:
        SamplingOptions.checked(**self._sampling())
        return self

    @property
    def _llm_type(self) -> str:
        return "chat-xllama"

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Say that the configuration can be written out; the model is found again by name."""
        return True

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """Everything that an answer depends on: LangChain's key for caches and traces."""
        return {name: getattr(self, name) for name in (*_ENGINE, *_SAMPLING, "model_kwargs", *_REQUEST)}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = PROVIDER
        return params

    def _sampling(self) -> dict[str, Any]:
        given = {name: value for name in _SAMPLING if (value := getattr(self, name)) is not None}
        return {**self.model_kwargs, **given}

    def _request(self, stop: list[str] | None, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Join the model's settings and a call's own into keyword arguments of ``Engine.chat``."""
        own = {name: value for name in _REQUEST if (value := getattr(self, name)) is not None}
        request = {**self._sampling(), **own, **kwargs}
        for name in (
            "model",
            "stream",
        ):  # choose the engine and the method, and are no part of the request
            request.pop(name, None)
        if stop is not None:
            request["stop"] = stop
        tools = to_engine_tools(request.pop("tools", None) or ())
        choice = to_tool_choice(request.pop("tool_choice", None), [tool.name for tool in tools])
        if tools:
            request["tools"] = tools
        if choice is not None:
            request["tool_choice"] = choice
        if (wanted := request.pop("response_format", None)) is not None:
            request["constraint"] = to_constraint(response_format(wanted))
        return request

    def _stream_request(self, stop: list[str] | None, kwargs: dict[str, Any]) -> dict[str, Any]:
        request = self._request(stop, kwargs)
        if request.get("n", 1) != 1:
            raise InvalidRequestError(f"a stream has one answer, so n must be 1, got {request['n']}")
        return request

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            request = self._request(stop, kwargs)
            engine = self._get_engine(kwargs.get("model"))
            return to_chat_result(engine.chat(to_engine_messages(messages), **request))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            request = self._request(stop, kwargs)
            engine = await self._aget_engine(kwargs.get("model"))
            return to_chat_result(await engine.achat(to_engine_messages(messages), **request))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with langchain_errors():
            request = self._stream_request(stop, kwargs)
            engine = self._get_engine(kwargs.get("model"))
            with engine.stream_chat(to_engine_messages(messages), **request) as events:
                for event in events:
                    if (chunk := to_chunk(event)) is not None:
                        yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with langchain_errors():
            request = self._stream_request(stop, kwargs)
            engine = await self._aget_engine(kwargs.get("model"))
            async with engine.astream_chat(to_engine_messages(messages), **request) as events:
                async for event in events:
                    if (chunk := to_chunk(event)) is not None:
                        yield chunk

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Give the model tools. What it calls exists, and the arguments match the tool's schema.

        Args:
            tools: functions, tools, pydantic classes, or dictionaries in OpenAI's form.
            tool_choice: ``"auto"`` or None: the model decides; ``"none"``: no call; ``"any"``,
                ``"required"`` or True: some call; a tool's name, or OpenAI's dictionary with it: a
                call of that tool.
            strict: True makes every argument required and allows no others.
            parallel_tool_calls: whether one answer may hold several calls; None: as the model's
                template has it.
            **kwargs: further arguments of a call, such as ``response_format``.

        Returns:
            The model with the tools bound.

        Raises:
            InvalidRequestError: ``tool_choice`` names a tool that is not there.
        """
        bound = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        names = [tool["function"]["name"] for tool in bound if "function" in tool]
        with langchain_errors():
            choice = to_tool_choice(tool_choice, names)
        if choice is not None:
            kwargs["tool_choice"] = choice
        if parallel_tool_calls is not None:
            kwargs["parallel_tool_calls"] = parallel_tool_calls
        return self.bind(tools=bound, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Literal["json_schema", "function_calling", "json_mode"] = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Make the model answer with an object of a schema.

        The schema is enforced while tokens are sampled, so a whole answer always matches it.

        Args:
            schema: a pydantic class, a TypedDict, a JSON schema, or OpenAI's form of one. Only
                ``json_mode`` goes without.
            method: ``"json_schema"`` constrains the answer; ``"function_calling"`` makes the model
                call a tool that has the schema; ``"json_mode"`` demands a JSON object and leaves
                its shape to the prompt.
            include_raw: answer with ``{"raw": …, "parsed": …, "parsing_error": …}`` instead of
                raising.
            strict: True makes every property required and allows no others.
            **kwargs: further arguments of a call, such as ``tools``.

        Returns:
            A runnable that answers with the pydantic object, or with a dictionary for the other
            schemas.

        Raises:
            InvalidRequestError: the method is unknown, or the schema is missing.
        """
        described = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
        with langchain_errors():
            if schema is None and method != "json_mode":
                raise InvalidRequestError(f"method {method!r} needs a schema")
            if method == "function_calling":
                llm = self.bind_tools(
                    [cast("dict[str, Any] | type", schema)],
                    tool_choice="required",
                    strict=strict,
                    parallel_tool_calls=False,
                    ls_structured_output_format=described,
                    **kwargs,
                )
                return with_parser(llm, tool_parser(schema), include_raw=include_raw)
            if method == "json_schema":
                wanted = response_format(schema, strict=strict)
            elif method == "json_mode":
                wanted = {"type": "json_object"}
            else:
                raise InvalidRequestError(f"method must be json_schema, function_calling or json_mode, got {method!r}")
        llm = self.bind(response_format=wanted, ls_structured_output_format=described, **kwargs)
        return with_parser(llm, json_parser(schema), include_raw=include_raw)

    def get_token_ids(self, text: str) -> list[int]:
        """Return the tokens of a text, as this model's own tokenizer splits it."""
        with langchain_errors():
            return self._get_engine().tokenize(text)

    def get_num_tokens_from_messages(
        self,
        messages: list[BaseMessage],
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None = None,
    ) -> int:
        """Return how many tokens the model reads for a chat, template and tools included."""
        bound = [convert_to_openai_tool(tool) for tool in tools or ()]
        with langchain_errors():
            return self._get_engine().count_tokens(to_engine_messages(messages), tools=to_engine_tools(bound))
