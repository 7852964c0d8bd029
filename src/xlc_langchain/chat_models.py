"""ChatXLlama: a GGUF chat model inside this process, as a LangChain chat model."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list
from langchain_core.tools import BaseTool
from pydantic import PrivateAttr

from xlc_core import Engine, EngineOptions, InvalidRequestError, JsonObject, Message
from xlc_core.frameworks import ChatFields, read_facts, require_single_answer, to_tool_choice
from xlc_langchain.errors import langchain_errors
from xlc_langchain.generation import GeneratorMethods
from xlc_langchain.messages import to_engine_messages
from xlc_langchain.profile import to_profile
from xlc_langchain.results import PROVIDER, to_chat_result, to_chunk
from xlc_langchain.stream_events import EventWriter, message_id
from xlc_langchain.structured import described, json_parser, show_schema, tool_parser, with_parser
from xlc_langchain.tools import response_constraint, schema_constraint, to_engine_tools, to_openai_tools

if TYPE_CHECKING:
    from langchain_protocol.protocol import MessagesData

__all__ = ["ChatXLlama"]

_N_SLOTS = 16  # assumed for an engine that is not open yet and whose n_parallel is not set: what most models get
_Tools = Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool]


_profile_lock = threading.Lock()


class ChatXLlama(ChatFields, GeneratorMethods, BaseChatModel):
    """A chat model that llama.cpp runs inside this process: no server, no port.

    Building one loads nothing. The model is loaded on first use, or by ``load()``; every adapter of
    the process that has the same model and engine options shares it, and concurrent calls are
    decoded together in one batch. Cancelling an ``ainvoke``, or leaving a stream before its end,
    stops the generation.

    A sampling field that is None stays at the value that the model's file recommends, else at
    llama.cpp's default, which ``xlc_core.SamplingOptions`` names. Every field of those options, and
    ``tools``, ``tool_choice``, ``response_format``, ``constraint``, ``close_constraint``,
    ``thinking``, ``thinking_budget``, ``thinking_switch``, ``template_kwargs``, ``timeout`` and
    ``model``, may also be given to a single call or to ``bind``.

    Every method raises the errors of ``xlc_core``, which are LangChain's too (``xlc_langchain.errors``).

    Examples:
        >>> llm = ChatXLlama(model="smollm2-135m-instruct", temperature=0)
        >>> llm.invoke("Name a colour.").text
        'Blue'
    """

    streaming: bool = False
    """Whether ``invoke`` streams internally, for callbacks that watch tokens."""

    _guessed_profile: ModelProfile | None = PrivateAttr(None)
    _profile_is_guess: bool = PrivateAttr(False)

    @property
    def _llm_type(self) -> str:
        return "chat-xllama"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._configuration()

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = PROVIDER
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        """Return the model's abilities, from the header of its file; exact ones once it is loaded."""
        if self.engine is not None:
            return _profile_of(self.engine.info.name, self.engine)
        self._profile_is_guess = True
        options = EngineOptions.checked(model=self.model, **self._engine_options())
        facts = read_facts(options)
        if facts is None:
            return None
        self._guessed_profile = to_profile(self._model_name(), facts, follows_links=bool(options.allow_remote_media))
        return self._guessed_profile

    def _get_engine(self, model: str | None = None) -> Engine:
        engine = super()._get_engine(model)
        if self._profile_is_guess and model in {None, self.model}:
            self._replace_guess(engine)
        return engine

    def _replace_guess(self, engine: Engine) -> None:
        """Replace the guessed profile by the exact one: once, and not if the user has set another in the meantime."""
        with _profile_lock:
            if self._profile_is_guess:
                if self.profile is self._guessed_profile:
                    self.profile = _profile_of(self._model_name(), engine)
                self._profile_is_guess = False

    def _request(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> tuple[list[Message], dict[str, Any]]:
        """Return the messages and the keyword arguments of ``Engine.chat`` for a call."""
        request = self._join_options(stop, kwargs)
        tools = to_engine_tools(request.pop("tools", None) or (), request.pop("tool_readers", None))
        choice = to_tool_choice(request.pop("tool_choice", None), [tool.name for tool in tools])
        if tools:
            request["tools"] = tools
        if choice is not None:
            request["tool_choice"] = choice
        if (wanted := request.pop("response_format", None)) is not None:
            request["constraint"] = response_constraint(wanted)
        converted = to_engine_messages(messages)
        if request.pop("show_schema", False):
            converted = show_schema(converted, request.get("constraint"))
        return converted, request

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            chat, request = self._request(messages, stop, kwargs)
            engine = self._get_engine(kwargs.get("model"))
            return to_chat_result(engine.chat(chat, **request))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            chat, request = self._request(messages, stop, kwargs)
            engine = await self._aget_engine(kwargs.get("model"))
            return to_chat_result(await engine.achat(chat, **request))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with langchain_errors():
            chat, request = self._request(messages, stop, kwargs)
            engine = self._get_engine(kwargs.get("model"))
            with engine.stream_chat(chat, **require_single_answer(request)) as events:
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
            chat, request = self._request(messages, stop, kwargs)
            engine = await self._aget_engine(kwargs.get("model"))
            async with engine.astream_chat(chat, **require_single_answer(request)) as events:
                async for event in events:
                    if (chunk := to_chunk(event)) is not None:
                        yield chunk

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> "Iterator[MessagesData]":
        """Stream content blocks; langchain-core calls this for ``stream_events(version="v3")``."""
        with langchain_errors():
            chat, request = self._request(messages, stop, kwargs)
            engine = self._get_engine(kwargs.get("model"))
            with engine.stream_chat(chat, **require_single_answer(request)) as events:
                writer = EventWriter()
                yield writer.start(message_id(run_manager), engine.info.name)
                for event in events:
                    yield from writer.write(event)

    async def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> "AsyncIterator[MessagesData]":
        """Stream content blocks; langchain-core calls this for ``astream_events(version="v3")``."""
        with langchain_errors():
            chat, request = self._request(messages, stop, kwargs)
            engine = await self._aget_engine(kwargs.get("model"))
            async with engine.astream_chat(chat, **require_single_answer(request)) as events:
                writer = EventWriter()
                yield writer.start(message_id(run_manager), engine.info.name)
                async for event in events:
                    for written in writer.write(event):
                        yield written

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answer several inputs, as many at a time as the engine has slots, or ``max_concurrency``.

        Each input that is under way has a thread.

        Args:
            inputs: what ``invoke`` takes.
            config: for all inputs, or one for each; None: LangChain's default.
            return_exceptions: return an error in the place of its answer instead of raising it.
            **kwargs: further arguments of every call.

        Returns:
            The answers, in the order of the inputs.
        """
        configs = get_config_list(config, len(inputs))
        if configs and configs[0].get("max_concurrency") is None:
            # LangChain's own pool has one thread per processor, which could leave slots empty.
            workers = self._n_slots() + 2
            configs = [{**given, "max_concurrency": workers} for given in configs]
        return super().batch(inputs, configs, return_exceptions=return_exceptions, **kwargs)

    def _n_slots(self) -> int:
        if (engine := self._opened_engine(None)) is not None:
            return engine.info.n_parallel
        return EngineOptions.checked(model=self.model, **self._engine_options()).n_parallel or _N_SLOTS

    def bind_tools(
        self,
        tools: _Tools,
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the model with tools. It only calls existing tools, with arguments that match the tool's schema.

        Args:
            tools: functions, tools, pydantic classes, or dictionaries in OpenAI's form.
            tool_choice: ``"auto"`` or None: the model decides; ``"none"``: no call; ``"any"``,
                ``"required"`` or True: some call; a tool's name, or OpenAI's dictionary with it: a
                call of that tool.
            strict: True makes every argument required and allows no others; None and False: as the tools say.
            parallel_tool_calls: whether one answer may hold several calls; None: as the model's
                template has it.
            **kwargs: further arguments of a call, such as ``response_format``.

        Returns:
            The model with the tools bound.

        Raises:
            InvalidRequestError: ``tool_choice`` names a tool that is not there.
        """
        bound, readers = to_openai_tools(tools, strict=strict)
        names = [tool["function"]["name"] for tool in bound if "function" in tool]
        with langchain_errors():
            choice = to_tool_choice(tool_choice, names)
        if choice is not None:
            kwargs["tool_choice"] = choice
        if parallel_tool_calls is not None:
            kwargs["parallel_tool_calls"] = parallel_tool_calls
        if readers:
            kwargs["tool_readers"] = readers
        return self.bind(tools=bound, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Literal["json_schema", "function_calling", "json_mode"] = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        show_schema: bool = False,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Make the model answer with an object of a schema.

        The schema is enforced while tokens are sampled, so a whole answer always matches it.

        Args:
            schema: a pydantic class, a dataclass, a TypedDict, any other type that pydantic knows, such as an Enum,
                a union or ``list[int]``; or a JSON schema, or OpenAI's form of one. Only ``json_mode`` may go without.
            method: ``"json_schema"`` constrains the answer; ``"function_calling"`` makes the model
                call a tool that has the schema; ``"json_mode"`` without a schema demands a JSON
                object and leaves its shape to the prompt, and is as ``"json_schema"`` with one.
            include_raw: answer with ``{"raw": …, "parsed": …, "parsing_error": …}`` instead of
                raising.
            strict: True makes every property required and allows no others; None and False: as the schema says.
            show_schema: put the schema into the system message too. Models of some billions of parameters answer
                better with it; the smallest ones copy it.
            **kwargs: further arguments of a call, such as ``tools``: the model then calls one of them, or answers
                with the object.

        Returns:
            A runnable that answers with an instance of the type, or with a dictionary for a TypedDict and a JSON
            schema. An answer that the type refuses is generated again (``validation_retries``). One that was cut off,
            or is refused to the end, raises langchain_core's OutputParserException then, unless ``include_raw``.

        Raises:
            InvalidRequestError: the method is unknown, or the schema is missing.
        """
        traced = described(schema, method=method, strict=strict)
        with langchain_errors():
            if schema is None and method != "json_mode":
                raise InvalidRequestError(f"method {method!r} needs a schema")
            if method == "function_calling":
                llm = self.bind_tools(
                    [cast("dict[str, Any] | type", schema)],
                    tool_choice="required",
                    strict=strict,
                    parallel_tool_calls=False,
                    ls_structured_output_format=traced,
                    **kwargs,
                )
                return with_parser(llm, tool_parser(schema), include_raw=include_raw)
            if method not in {"json_schema", "json_mode"}:
                raise InvalidRequestError(f"method must be json_schema, function_calling or json_mode, got {method!r}")
            wanted = JsonObject() if schema is None else schema_constraint(schema, strict=strict)
        if show_schema:
            kwargs["show_schema"] = True
        llm = self.bind(response_format=wanted, ls_structured_output_format=traced, **kwargs)
        return with_parser(llm, json_parser(schema), include_raw=include_raw)

    def get_token_ids(self, text: str) -> list[int]:
        """Return the tokens of a text, by this model's own tokenizer; loads the model if it is not loaded yet.

        Args:
            text: the text. Names of control tokens in it are text.

        Raises:
            InvalidRequestError: it is not a text, or holds a lone surrogate.
        """
        with langchain_errors():
            return self._get_engine().tokenize(text)

    def get_num_tokens_from_messages(
        self,
        messages: list[BaseMessage],
        tools: _Tools | None = None,
    ) -> int:
        """Return how many tokens the model reads for a chat or a part of one, template and tools included.

        Loads the model if it is not loaded yet.

        Args:
            messages: the chat, oldest message first.
            tools: what ``bind_tools`` takes; None: none.

        Raises:
            InvalidRequestError: a message or tool cannot be expressed.
        """
        with langchain_errors():
            chat = to_engine_messages(messages, is_part=True)
            return self._get_engine().count_tokens(chat, tools=to_engine_tools(tools or ()))


def _profile_of(name: str, engine: Engine) -> ModelProfile:
    return to_profile(name, engine.info, follows_links=bool(engine.options.allow_remote_media))
