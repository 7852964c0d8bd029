"""``/v1/audio/transcriptions``: the text of a recording, by a model that hears."""

from __future__ import annotations

import io
import wave
from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from xlc_core import AudioPart, ChatKwargs, Completion, Engine, Finished, Message, TextDelta, TextPart, Usage
from xlc_core.frameworks import chat_logprobs
from xlc_server.errors import ApiError
from xlc_server.sending import Chunks, PlainText
from xlc_server.service import Body, Service

__all__ = ["TranscriptionBody", "answer_transcription", "stream_transcription"]

_TASK = "Transcribe audio to text"  # as llama-server asks for it


class TranscriptionBody(Body):
    """A recording, and how to write it down."""

    model_config = ConfigDict(strict=False)  # a URL and a form have texts only

    file: bytes = Field(min_length=1)
    language: str | None = None
    prompt: str | None = None
    response_format: Literal["json", "text", "verbose_json"] = "json"
    temperature: float = Field(0, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=0, le=0xFFFF_FFFE)
    stream: bool = False
    include: list[Literal["logprobs"]] = Field(default_factory=list)
    timestamp_granularities: list[str] = Field(default_factory=list)
    chunking_strategy: Literal["auto"] | None = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.timestamp_granularities:
            raise ValueError("timestamp_granularities: a model that hears writes text, and does not report times")
        if self.stream and self.response_format != "json":
            raise ValueError("response_format: a stream has the form json")
        if self.include and self.response_format != "json":
            raise ValueError("include: logprobs need the response_format json")
        return self

    def messages(self) -> list[Message]:
        """Return the chat that asks for the text."""
        task = self.prompt or _TASK
        if self.language:
            task += f" (language: {self.language})"
        return [Message(role="user", content=(TextPart(text=task), AudioPart(data=self.file)))]

    def chat_options(self, timeout: float | None) -> ChatKwargs:
        """Return the options of the engine."""
        options: dict[str, Any] = {"temperature": self.temperature, "thinking": False, "timeout": timeout}
        options |= {"max_tokens": self.max_tokens, "seed": self.seed, "logprobs": 1 if self.include else None}
        return cast("ChatKwargs", {name: value for name, value in options.items() if value is not None})


def _require_hearing(engine: Engine) -> None:
    if "audio" not in engine.info.reads:
        raise ApiError(
            400,
            f"the model {engine.info.name!r} does not hear; name one with a projector for sound (mmproj)",
            code="unsupported_feature",
            param="model",
        )


async def answer_transcription(service: Service, body: TranscriptionBody) -> Any:
    """Return the text of a recording."""
    with await service.engine(body) as lease:
        _require_hearing(lease.engine)
        completion = await lease.engine.achat(body.messages(), **body.chat_options(service.options.timeout))
    if body.response_format == "text":
        return PlainText(completion.text + "\n")
    if body.response_format == "verbose_json":
        return {
            "task": "transcribe",
            "language": body.language,
            "duration": _seconds(body.file),
            **_written(completion),
        }
    return {**_written(completion), **_logprobs(completion)}


def _written(completion: Completion) -> dict[str, Any]:
    return {"text": completion.text, "usage": _usage(completion.usage)}


def _logprobs(completion: Completion) -> dict[str, Any]:
    found = chat_logprobs(completion.choices[0].logprobs, 0)
    return {"logprobs": _plain(found)} if found else {}


def _plain(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{name: token[name] for name in ("token", "logprob", "bytes")} for token in found["content"]]


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "type": "tokens",
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _seconds(file: bytes) -> float | None:
    """Return the length of a WAV file; None for others, whose length their headers do not tell."""
    try:
        with wave.open(io.BytesIO(file)) as sound:
            return float(sound.getnframes() / sound.getframerate())
    except (wave.Error, EOFError, ZeroDivisionError):
        return None


def stream_transcription(service: Service, body: TranscriptionBody) -> Chunks | None:
    """Return the events of a text, if the request asks for a stream."""
    return _events(service, body) if body.stream else None


async def _events(service: Service, body: TranscriptionBody) -> Chunks:
    with await service.engine(body) as lease:
        _require_hearing(lease.engine)
        options = body.chat_options(service.options.timeout)
        async with lease.engine.astream_chat(body.messages(), **options) as stream:
            await stream.start()
            yield {}
            async for event in stream:
                if isinstance(event, TextDelta):
                    found = chat_logprobs(event.logprobs, 0)
                    yield {
                        "type": "transcript.text.delta",
                        "delta": event.text,
                        **({"logprobs": _plain(found)} if found else {}),
                    }
                elif isinstance(event, Finished):
                    done = {**_written(event.completion), **_logprobs(event.completion)}
                    yield {"type": "transcript.text.done", **done}
