"""The common base of the frameworks' language models: their sampling fields, and how a call overrides them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, Field, model_validator
from typing_extensions import Self

from xlc_core.errors import InvalidRequestError
from xlc_core.frameworks.engine_adapter import EngineAdapter, ModelName, default_model
from xlc_core.options.sampling import ChatOptions, CompletionOptions

__all__ = ["ChatFields", "GeneratorAdapter", "require_single_answer"]

_Request = TypeVar("_Request", bound=Mapping[str, Any])


class GeneratorAdapter(EngineAdapter):
    """The fields of an adapter that generates text, and how they and a call's own become one request.

    A field that is None stays at its default, which ``xlc_core.SamplingOptions`` and ``CompletionOptions`` name: of
    sampling, the model file's or llama.cpp's. A framework's field for further options comes in through
    ``_further_options``.
    """

    _options_class: ClassVar[type[CompletionOptions]] = CompletionOptions
    """The class that checks the options. Fields that it shares with the adapter are options of a request."""

    model: ModelName = Field(default_factory=default_model)
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
    """Makes repeated tokens less likely: divides their positive logits; 1 turns it off."""

    frequency_penalty: float | None = None
    """Subtracted from a token's logit per earlier occurrence."""

    presence_penalty: float | None = None
    """Subtracted once from the logit of a token that occurred."""

    stop: list[str] | None = None
    """Texts that end the answer; a call's own ``stop`` replaces them."""

    logprobs: int | None = None
    """Return the natural logarithm of each token's probability, and of this many likeliest others."""

    timeout: float | None = None
    """Seconds that a call may take; afterwards it raises and its slot is free. None: no limit."""

    close_constraint: bool | None = None
    """Whether an answer under a constraint is closed as ``max_tokens`` runs out, so that it parses; None: yes."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        self._options_class.checked(**self._own_options())
        return self

    @classmethod
    def _option_names(cls) -> list[str]:
        """Return the fields that are options of a request."""
        return [name for name in cls.model_fields if name in cls._options_class.model_fields]

    def _further_options(self) -> dict[str, Any]:
        """Return the options that have no field here."""
        return {}

    def _own_options(self) -> dict[str, Any]:
        """Return the options of every request, which a call's own override."""
        given = {name: value for name in self._option_names() if (value := getattr(self, name)) is not None}
        return {**self._further_options(), **given}

    def _completion_options(self, request: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return a request without settings for chats only; those from the call itself stay, and are refused."""
        return {name: v for name, v in request.items() if name in CompletionOptions.model_fields or name in kwargs}


class ChatFields(BaseModel):
    """The further fields of an adapter for chat models: it stands before a GeneratorAdapter among the bases."""

    _options_class: ClassVar[type[CompletionOptions]] = ChatOptions

    thinking: bool | None = None
    """Whether the model may think before it answers; None: the default of its template."""

    thinking_budget: int | None = None
    """Tokens that the model may think, after which it must answer; None: without limit."""

    template_kwargs: dict[str, Any] | None = None
    """Variables for the model's chat template; None: no further ones."""


def require_single_answer(request: _Request) -> _Request:
    """Return a request whose result has room for one answer, such as a stream.

    Args:
        request: the options of a request, which is returned as it is.

    Raises:
        InvalidRequestError: it asks for several answers.
    """
    if request.get("n", 1) != 1:
        raise InvalidRequestError(f"only one answer is possible here, so n must be 1, got {request['n']}")
    return request
