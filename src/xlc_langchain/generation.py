"""What the chat model and the text model have in common: the model, how it samples, and how a call overrides that."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

from langchain_core.utils import from_env
from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from xlc_core import CompletionOptions, InvalidRequestError, SamplingOptions, TextDelta
from xlc_core.frameworks import EngineAdapter, InfillFiles, model_as_text
from xlc_langchain.errors import LangChainErrors, langchain_errors

__all__ = ["Generating", "one_answer"]

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


class Generating(LangChainErrors, EngineAdapter):
    """The fields of a model that generates, and how they and a call's own become one request."""

    model: Annotated[str | Path | None, AfterValidator(model_as_text)] = Field(
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
    """Give the log-probabilities of the tokens and of so many likeliest others."""

    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further fields of ``xlc_core.SamplingOptions``, such as ``{"dry_multiplier": 0.8}``."""

    timeout: float | None = None
    """Seconds that a call may take; afterwards it raises and its slot is free."""

    @model_validator(mode="after")
    def _check_sampling(self) -> Self:
        SamplingOptions.checked(**self._sampling())
        return self

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Say that the configuration can be written out; the model is found again by name."""
        return True

    def _request_fields(self) -> tuple[str, ...]:
        """Return the names of fields beside sampling that a request takes as they are."""
        return ("timeout",)

    def _configuration(self) -> dict[str, Any]:
        """Return everything that an answer depends on: LangChain's key for caches and traces."""
        return {name: getattr(self, name) for name in (*_ENGINE, *_SAMPLING, "model_kwargs", *self._request_fields())}

    def _sampling(self) -> dict[str, Any]:
        given = {name: value for name in _SAMPLING if (value := getattr(self, name)) is not None}
        return {**self.model_kwargs, **given}

    def _joined(self, stop: list[str] | None, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Join the model's settings and a call's own."""
        own = {name: value for name in self._request_fields() if (value := getattr(self, name)) is not None}
        request = {**self._sampling(), **own, **kwargs}
        for name in ("model", "stream"):  # choose the engine and the method, and are no part of the request
            request.pop(name, None)
        if stop is not None:
            request["stop"] = stop
        return request

    def infill(self, prefix: str, suffix: str, *, extra: InfillFiles = (), **kwargs: Any) -> str:
        """Write what belongs between two texts, as editors complete code; ``Engine.infill`` says how.

        Args:
            prefix: what stands before the gap.
            suffix: what stands after it.
            extra: texts of other files by name, the most important one last.
            **kwargs: fields of ``xlc_core.CompletionOptions`` that override the model's own, and ``model``.

        Raises:
            UnsupportedFeatureError: the model has no infill tokens, as most chat models.
        """
        with langchain_errors():
            engine = self._get_engine(kwargs.get("model"))
            return engine.infill(prefix, suffix, extra=extra, **self._infill_request(kwargs)).text

    async def ainfill(self, prefix: str, suffix: str, *, extra: InfillFiles = (), **kwargs: Any) -> str:
        """Write what belongs between two texts; as infill."""
        with langchain_errors():
            engine = await self._aget_engine(kwargs.get("model"))
            return (await engine.ainfill(prefix, suffix, extra=extra, **self._infill_request(kwargs))).text

    def stream_infill(self, prefix: str, suffix: str, *, extra: InfillFiles = (), **kwargs: Any) -> Iterator[str]:
        """Write what belongs between two texts, bit by bit; as infill."""
        with langchain_errors():
            engine = self._get_engine(kwargs.get("model"))
            with engine.stream_infill(prefix, suffix, extra=extra, **self._infill_request(kwargs)) as events:
                yield from (event.text for event in events if isinstance(event, TextDelta))

    async def astream_infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **kwargs: Any
    ) -> AsyncIterator[str]:
        """Write what belongs between two texts, bit by bit; as infill."""
        with langchain_errors():
            engine = await self._aget_engine(kwargs.get("model"))
            async with engine.astream_infill(prefix, suffix, extra=extra, **self._infill_request(kwargs)) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        yield event.text

    def _infill_request(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        # Settings of a chat model that mean something to chats only do no harm here; a call's own are refused.
        request = one_answer(self._joined(None, kwargs))
        return {name: v for name, v in request.items() if name in CompletionOptions.model_fields or name in kwargs}


def one_answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request that is to be streamed.

    Raises:
        InvalidRequestError: it asks for several answers.
    """
    if request.get("n", 1) != 1:
        raise InvalidRequestError(f"a stream has one answer, so n must be 1, got {request['n']}")
    return request
