"""XllamaLLM: a provider of LiteLLM that answers in this process."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

import litellm
from litellm import exceptions
from litellm.llms.custom_llm import CustomLLM
from litellm.utils import custom_llm_setup

import xlc_core as xlc
from xlc_core.frameworks import (
    EngineAdapter,
    HeldChat,
    HeldEmbedder,
    find_counterpart,
    raise_as,
    read_openai_options,
    require_single_answer,
)
from xlc_litellm.answers import ChunkWriter, to_embeddings, to_response

__all__ = ["XllamaLLM", "register"]

PROVIDER = "xllama"

_ABILITIES = {"litellm_provider": PROVIDER, "supports_function_calling": True, "supports_response_schema": True}

_Held = TypeVar("_Held", bound=EngineAdapter)

_COUNTERPARTS: dict[type[xlc.XllamaError], Any] = {
    xlc.ModelNotFoundError: exceptions.NotFoundError,
    xlc.ContextOverflowError: exceptions.ContextWindowExceededError,
    xlc.InputTooLongError: exceptions.ContextWindowExceededError,
    xlc.InvalidRequestError: exceptions.BadRequestError,
    xlc.RequestTimeoutError: exceptions.Timeout,
    xlc.InsufficientMemoryError: exceptions.ServiceUnavailableError,
    xlc.XllamaError: exceptions.InternalServerError,
}


class XllamaLLM(CustomLLM):
    """Answers calls of LiteLLM for models ``xllama/…``: chats, streams and embeddings.

    A model's name is a path of a GGUF file, a name of the catalog, ``hf:owner/repo[:quant-or-file]``, or a name of
    ``models``. Models are loaded on first use and shared in this process. Cancelling a call and dropping a stream stop
    the generation.
    """

    def __init__(self, models: Mapping[str, Mapping[str, Any]] | None = None, **fields: Any) -> None:
        """Describe the models.

        Args:
            models: names of your own, and for each the fields of ``xlc_core.frameworks.HeldChat`` or ``HeldEmbedder``,
                such as ``{"small": {"model": "smollm2-135m-instruct", "n_ctx": 4096}}``; None: none.
            **fields: fields of all other models, such as ``engine_options``.
        """
        super().__init__()
        self._models = {name: dict(given) for name, given in (models or {}).items()}
        self._fields = fields
        self._held: dict[tuple[str, type], Any] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Release all models; each is unloaded at once if nobody else in the process uses it."""
        with self._lock:
            for held in self._held.values():
                held.close()
            self._held.clear()

    def completion(self, model: str, messages: list[Any], **call: Any) -> litellm.ModelResponse:
        """Answer a chat; LiteLLM calls this.

        Args:
            model: the name after ``xllama/``.
            messages: the chat, in OpenAI's form.
            **call: what else LiteLLM passes: ``optional_params`` has the options by OpenAI's names or the engine's,
                ``timeout`` the seconds that the answer may take.

        Returns:
            LiteLLM's response, with the tokens in ``usage``.

        Raises:
            litellm.exceptions.NotFoundError: the model does not exist, or could not be fetched.
            litellm.exceptions.ContextWindowExceededError: the chat does not fit into the context.
            litellm.exceptions.BadRequestError: an option, message or tool is wrong.
            litellm.exceptions.Timeout: the timeout passed.
            litellm.exceptions.ServiceUnavailableError: the model does not fit into memory.
            litellm.exceptions.InternalServerError: the other errors of xlc_core. Ours is the cause of each.
        """
        with _errors(model):
            held, options = self._request(model, call)
            return to_response(held.get_engine().chat(messages, **options), call["model_response"])

    async def acompletion(self, model: str, messages: list[Any], **call: Any) -> litellm.ModelResponse:
        """Answer a chat without blocking the event loop; as completion."""
        with _errors(model):
            held, options = self._request(model, call)
            return to_response(await (await held.aget_engine()).achat(messages, **options), call["model_response"])

    def streaming(self, model: str, messages: list[Any], **call: Any) -> Iterator[Any]:
        """Yield the pieces of an answer to a chat; as completion. The last one has the finish reason and the usage."""
        with _errors(model):
            held, options = self._request(model, call)
            writer = ChunkWriter(model)
            with held.get_engine().stream_chat(messages, **require_single_answer(options)) as events:
                for event in events:
                    if (chunk := writer.write(event)) is not None:
                        yield chunk

    async def astreaming(self, model: str, messages: list[Any], **call: Any) -> AsyncIterator[Any]:
        """Yield the pieces of an answer to a chat without blocking the event loop; as streaming."""
        with _errors(model):
            held, options = self._request(model, call)
            engine = await held.aget_engine()
            writer = ChunkWriter(model)
            async with engine.astream_chat(messages, **require_single_answer(options)) as events:
                async for event in events:
                    if (chunk := writer.write(event)) is not None:
                        yield chunk

    def embedding(self, model: str, input: list[Any], **call: Any) -> litellm.EmbeddingResponse:  # noqa: A002
        """Return a vector for each text; ``usage`` is 0, as vectors come without counts.

        Args:
            model: the name after ``xllama/``.
            input: the texts, or one.
            **call: what else LiteLLM passes: ``optional_params`` has fields of ``xlc_core.EmbedOptions``;
                ``input_type="query"`` there says that the texts are queries.

        Raises:
            litellm.exceptions.BadRequestError: an option is wrong.
            litellm.exceptions.ContextWindowExceededError: a text is too long and ``truncate`` is ``"error"``.
        """
        with _errors(model):
            held, kind, options = self._embedding(model, call)
            return to_embeddings(held.embed(_texts(input), kind, **options), model, call["model_response"])

    async def aembedding(self, model: str, input: list[Any], **call: Any) -> litellm.EmbeddingResponse:  # noqa: A002
        """Return a vector for each text, without blocking the event loop; as embedding."""
        with _errors(model):
            held, kind, options = self._embedding(model, call)
            return to_embeddings(await held.aembed(_texts(input), kind, **options), model, call["model_response"])

    def _model(self, name: str, kind: type[_Held]) -> _Held:
        with self._lock:
            held: _Held | None = self._held.get((name, kind))
            if held is None:
                held = kind(**{"model": name, **self._fields, **self._models.get(name, {})})
                self._held[name, kind] = held
            return held

    def _request(self, model: str, call: dict[str, Any]) -> tuple[HeldChat, xlc.ChatKwargs]:
        held = self._model(model, HeldChat)
        options = read_openai_options({"timeout": call.get("timeout"), **call["optional_params"]})
        if isinstance(wanted := options.get("thinking"), Mapping):  # in Anthropic's form, which LiteLLM passes on
            options["thinking"] = wanted.get("type") != "disabled"
            options.setdefault("thinking_budget", wanted.get("budget_tokens"))
        options.pop("max_retries", None)  # LiteLLM's own
        if not options.get("tools"):  # as CrewAI asks for a last answer
            options.pop("tool_choice", None)
        return held, held.join_options(options)

    def _embedding(self, model: str, call: dict[str, Any]) -> tuple[HeldEmbedder, Any, dict[str, Any]]:
        given = read_openai_options(call["optional_params"])
        kind = "query" if given.pop("input_type", "") in ("query", "search_query") else "document"
        if given.pop("encoding_format", "float") != "float":
            raise xlc.InvalidRequestError("encoding_format must be 'float' in this process")
        return self._model(model, HeldEmbedder), kind, given


def _texts(given: list[Any] | str) -> list[Any]:
    return [given] if isinstance(given, str) else given


def _errors(model: str) -> AbstractContextManager[None]:
    """Return a context that raises LiteLLM's errors instead of ours, which stay their cause."""

    def convert(error: xlc.XllamaError) -> Exception:
        kind = find_counterpart(error, _COUNTERPARTS)
        # CrewAI finds the error that it shortens a chat on by these words.
        code = " (context_length_exceeded)" if kind is exceptions.ContextWindowExceededError else ""
        return cast("Exception", kind(message=f"{error}{code}", model=model, llm_provider=PROVIDER))

    return raise_as(convert)


def register(models: Mapping[str, Mapping[str, Any]] | None = None, **fields: Any) -> XllamaLLM:
    """Make ``xllama/…`` a provider of LiteLLM; another call replaces it.

    LiteLLM then says of ``models``, and of the catalog's chat models that are on this disk, that they call tools.

    Args:
        models: as of XllamaLLM; None: none.
        **fields: as of XllamaLLM.

    Returns:
        The provider; its ``close`` releases the models.

    Examples:
        >>> register()
        >>> litellm.completion("xllama/smollm2-135m-instruct", [{"role": "user", "content": "Hi"}])
    """
    handler = XllamaLLM(models, **fields)
    others = [one for one in litellm.custom_provider_map if one["provider"] != PROVIDER]
    litellm.custom_provider_map = [*others, {"provider": PROVIDER, "custom_handler": handler}]
    custom_llm_setup()  # LiteLLM's own before its first answer, without which it does not know the models' provider
    names = {*(models or {}), *xlc.local_models("chat")}
    litellm.register_model({f"{PROVIDER}/{name}": _ABILITIES for name in names})
    return handler
