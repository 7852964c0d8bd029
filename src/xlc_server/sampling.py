"""The fields that requests for text share, and the options of the engine that they become."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, create_model, field_validator, model_validator
from typing_extensions import Self

from xlc_core import CompletionOptions
from xlc_core.frameworks import read_token_bias
from xlc_server.errors import unknown_field
from xlc_server.service import Body, LoraScale

__all__ = ["GenerationBody", "StreamOptions"]

_NOT_FROM_OUTSIDE = {"constraint", "timeout", "thinking_switch", "prompt_progress", "n", "logprobs", "stop", "seed"}
"""Options that have a field of OpenAI's, are the server's, or are objects of Python."""

_BOUNDED = frozenset({"temperature", "top_p", "frequency_penalty", "presence_penalty", "n"})
"""Fields of OpenAI's whose bounds are those of the engine's options."""

_FORMATS = ("text", "json_object", "json_schema")

_LARGEST_SEED = 0xFFFF_FFFE


class StreamOptions(Body):
    """Further fields of a stream."""

    include_usage: bool = False
    include_obfuscation: bool = False


class GenerationBody(Body):
    """The fields that chats and completions share.

    Fields of OpenAI's that do not change the answer here are accepted and have no effect. Further options of the
    engine, such as ``top_k``, may be given by their names. All else is refused.
    """

    model_config = ConfigDict(extra="allow")

    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=0)
    n: int = 1
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    logit_bias: dict[str, float] | None = None
    lora: dict[str, float] | list[LoraScale] | None = None
    response_format: dict[str, Any] | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None

    @field_validator("response_format")
    @classmethod
    def _require_known_format(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None and value.get("type") not in _FORMATS:
            raise ValueError(f"its type must be one of {', '.join(_FORMATS)}")
        return value

    @model_validator(mode="after")
    def _check_further_fields(self) -> Self:
        for name in self.model_extra or {}:
            if name not in _option_names(self._options_class()):
                raise unknown_field(name)
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only for requests with stream=true")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe the engine's options too, which may be given by their names."""
        schema = handler(core)
        described = handler.resolve_ref_schema(schema)
        options = _describe_options(cls._options_class())
        fields = described["properties"]
        fields.update({name: option for name, option in options.items() if name not in fields or name in _BOUNDED})
        described["additionalProperties"] = False
        return schema

    @classmethod
    def _options_class(cls) -> type[CompletionOptions]:
        return CompletionOptions

    def options(self, timeout: float | None) -> dict[str, Any]:
        """Return the options of the engine.

        Args:
            timeout: the server's limit.
        """
        given: dict[str, Any] = {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "frequency_penalty": self.frequency_penalty,
            "presence_penalty": self.presence_penalty,
            "stop": self.stop,
            "seed": None if self.seed is None else self.seed % (_LARGEST_SEED + 1),
            "logit_bias": self.logit_bias and read_token_bias(self.logit_bias),
            "lora": self.lora,
            "timeout": timeout,
        }
        options = {name: value for name, value in given.items() if value is not None}
        return {**(self.model_extra or {}), **options, "n": self.n}

    @property
    def has_usage(self) -> bool:
        """Whether a stream ends with the number of its tokens."""
        return self.stream_options is not None and self.stream_options.include_usage


def _option_names(options: type[CompletionOptions]) -> frozenset[str]:
    return frozenset(options.model_fields) - _NOT_FROM_OUTSIDE


def _describe_options(options: type[CompletionOptions]) -> dict[str, Any]:
    """Return the JSON schemas of options by their names."""
    named: dict[str, Any] = {name: options.model_fields[name] for name in sorted(_option_names(options) | _BOUNDED)}
    fields: dict[str, Any] = {name: (field.annotation, field) for name, field in named.items()}
    described: dict[str, Any] = create_model("Further", **fields).model_json_schema()["properties"]
    return described
