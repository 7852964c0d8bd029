"""Structured prediction: the object's schema is enforced while tokens are sampled, so nothing is guessed from text."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    MessageRole,
    TextBlock,
)
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictInProgressEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index.core.types import Model
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, ValidationError

from xlc_core import Event, Finished, JsonSchema, apartial_objects, partial_objects
from xlc_core.frameworks import describe_schema
from xlc_llamaindex.responses import StreamedChatResponse

if TYPE_CHECKING:
    from llama_index.core.prompts import BasePromptTemplate

__all__ = ["StructuredPrediction"]

_PROGRAM_ONLY_KWARGS = {"tool_required", "tool_choice", "allow_parallel_tool_calls"}
"""Arguments that callers pass for LlamaIndex's own programs, which make the model call a tool instead."""

dispatcher = get_dispatcher(__name__)


class StructuredPrediction(FunctionCallingLLM):
    """The four methods that answer with an object, for an LLM whose ``chat`` takes a ``constraint``.

    The answer is constrained to the class's JSON schema, and the model is shown that schema; ``pydantic_program_mode``
    has no effect. So the result is always an object, unless the answer was cut off or a validator of the class refuses
    it.
    """

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Answer a prompt with an object.

        Args:
            output_cls: the object's class.
            prompt: the prompt; ``system_prompt`` goes before it.
            llm_kwargs: options of the call, such as ``max_tokens``; None: none.
            **prompt_args: what fills the prompt's variables.

        Returns:
            The instance of the class.

        Raises:
            ValueError: the answer was cut off, by ``max_tokens`` or the end of the context.
            pydantic.ValidationError: a validator of the class refuses the answer.
        """
        dispatcher.event(
            LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args)
        )
        messages, options = self._structured_chat(output_cls, prompt, llm_kwargs, prompt_args)
        result = _parsed(output_cls, self.chat(messages, **options))
        dispatcher.event(LLMStructuredPredictEndEvent(output=result))
        return result

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Answer a prompt with an object; as structured_predict."""
        dispatcher.event(
            LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args)
        )
        messages, options = self._structured_chat(output_cls, prompt, llm_kwargs, prompt_args)
        result = _parsed(output_cls, await self.achat(messages, **options))
        dispatcher.event(LLMStructuredPredictEndEvent(output=result))
        return result

    def stream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Model | FlexibleModel, None, None]:
        """Answer a prompt with an object that grows.

        Args and errors are those of structured_predict.

        Yields:
            each time there is more of it, an object with the class's fields in which what has not come is None and
            nothing is validated; last, the instance of the class.
        """
        dispatcher.event(
            LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args)
        )
        messages, options = self._structured_chat(output_cls, prompt, llm_kwargs, prompt_args)
        stream = _ObjectStream(output_cls)
        for value in partial_objects(stream.events(self.stream_chat(messages, **options))):
            if (partial := stream.partial(value)) is not None:
                yield partial
        yield stream.result()

    async def astream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Model | FlexibleModel, None]:
        """Answer a prompt with an object that grows; as stream_structured_predict."""

        async def grow() -> AsyncGenerator[Model | FlexibleModel, None]:
            dispatcher.event(
                LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args)
            )
            messages, options = self._structured_chat(output_cls, prompt, llm_kwargs, prompt_args)
            stream = _ObjectStream(output_cls)
            async for value in apartial_objects(stream.aevents(await self.astream_chat(messages, **options))):
                if (partial := stream.partial(value)) is not None:
                    yield partial
            yield stream.result()

        return grow()

    def _structured_chat(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None,
        prompt_args: dict[str, Any],
    ) -> tuple[list[ChatMessage], dict[str, Any]]:
        """Return the messages and options of the chat whose answer is the object."""
        constraint = JsonSchema(output_cls)
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        options = {name: value for name, value in (llm_kwargs or {}).items() if name not in _PROGRAM_ONLY_KWARGS}
        return _with_schema(messages, constraint), {**options, "constraint": constraint}


class _ObjectStream:
    """Follows a streamed answer: the engine's events, the partial objects, and the result."""

    def __init__(self, output_cls: type[BaseModel]) -> None:
        self._output_cls = output_cls
        self._flexible = create_flexible_model(output_cls)
        self._last: ChatResponse | None = None

    def events(self, responses: ChatResponseGen) -> Iterator[Event]:
        for response in responses:
            if (event := self._growing_event(response)) is not None:
                yield event

    async def aevents(self, responses: ChatResponseAsyncGen) -> AsyncIterator[Event]:
        async for response in responses:
            if (event := self._growing_event(response)) is not None:
                yield event

    def _growing_event(self, response: ChatResponse) -> Event | None:
        """Return the engine's event; None for the last one, whose result has errors of its own."""
        self._last = response
        event = response._event if isinstance(response, StreamedChatResponse) else None
        return None if isinstance(event, Finished) else event

    def partial(self, value: Any) -> FlexibleModel | None:
        if not isinstance(value, dict):  # a RootModel cannot be shown before the end
            return None
        partial = self._flexible.model_validate(value)
        dispatcher.event(LLMStructuredPredictInProgressEvent(output=partial))
        return partial

    def result(self) -> Any:
        assert self._last is not None, "a stream ends with a response"
        result = _parsed(self._output_cls, self._last)
        dispatcher.event(LLMStructuredPredictEndEvent(output=result))
        return result


def _parsed(output_cls: type[Model], response: ChatResponse) -> Model:
    text = (response.message.content or "").strip()
    try:
        return output_cls.model_validate_json(text)
    except ValidationError as error:
        if isinstance(response.raw, dict) and response.raw["finish_reason"] == "length":
            n_tokens = response.raw["usage"]["completion_tokens"]
            raise ValueError(
                f"the answer was cut off after {n_tokens} tokens, before the {output_cls.__name__} was whole "
                f"(got {text[-80:]!r}); raise max_tokens, or n_ctx if the context was full"
            ) from error
        raise


def _with_schema(messages: Sequence[ChatMessage], constraint: JsonSchema) -> list[ChatMessage]:
    """Return messages whose system message shows the model the object's schema; the given ones stay as they are."""
    text = describe_schema(constraint)
    if messages and messages[0].role in (MessageRole.SYSTEM, MessageRole.DEVELOPER):
        first = messages[0].model_copy(update={"blocks": [*messages[0].blocks, TextBlock(text=f"\n\n{text}")]})
        return [first, *messages[1:]]
    return [ChatMessage(role=MessageRole.SYSTEM, content=text), *messages]
