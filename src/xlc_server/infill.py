"""``/infill``: text for a gap, as llama-server has it for editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import Field

from xlc_core import Completion, CompletionKwargs, Finished, TextDelta
from xlc_server.sampling import GenerationBody
from xlc_server.sending import Chunks
from xlc_server.service import Service

__all__ = ["InfillBody", "answer_infill", "stream_infill"]


class InfillBody(GenerationBody):
    """Texts around a gap, and other files."""

    input_prefix: str = ""
    input_suffix: str = ""
    prompt: str = ""
    input_extra: list[dict[str, str]] = Field(default_factory=list)
    n_predict: int | None = None

    def completion_options(self, timeout: float | None) -> CompletionKwargs:
        """Return the options of the engine."""
        options = self.options(timeout)
        if self.n_predict is not None and self.n_predict >= 0:
            options["max_tokens"] = self.n_predict
        return cast("CompletionKwargs", {**options, "n": 1})

    def texts(self) -> tuple[str, str]:
        """Return the texts before and after the gap; ``prompt`` stands directly before it."""
        return self.input_prefix + self.prompt, self.input_suffix

    def files(self) -> list[tuple[str, str]]:
        """Return the other files."""
        return [(file.get("filename", "tmp"), file.get("text", "")) for file in self.input_extra]


async def answer_infill(service: Service, body: InfillBody) -> Mapping[str, Any]:
    """Return the text for the gap."""
    options = body.completion_options(service.options.timeout)
    with await service.engine(body) as lease:
        completion = await lease.engine.ainfill(*body.texts(), extra=body.files(), **options)
    return _end(service, body, completion, completion.text)


def stream_infill(service: Service, body: InfillBody) -> Chunks | None:
    """Return the events of a text, if the request asks for a stream."""
    return _chunks(service, body) if body.stream else None


async def _chunks(service: Service, body: InfillBody) -> Chunks:
    options = body.completion_options(service.options.timeout)
    with await service.engine(body) as lease:
        async with lease.engine.astream_infill(*body.texts(), extra=body.files(), **options) as stream:
            await stream.start()
            yield {}
            async for event in stream:
                if isinstance(event, TextDelta):
                    yield {"content": event.text, "stop": False}
                elif isinstance(event, Finished):
                    yield _end(service, body, event.completion, "")


def _end(service: Service, body: InfillBody, completion: Completion, text: str) -> dict[str, Any]:
    choice, usage = completion.choices[0], completion.usage
    kinds = {"length": "limit"}
    return {
        "content": text,
        "stop": True,
        "stop_type": "word" if choice.stop_sequence else kinds.get(choice.finish_reason, "eos"),
        "stopping_word": choice.stop_sequence,
        "model": service.model_name(body),
        "tokens_predicted": usage.completion_tokens,
        "tokens_evaluated": usage.prompt_tokens,
        "tokens_cached": usage.cached_tokens,
    }
