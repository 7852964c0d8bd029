"""``/v1/completions``: texts that go on from a prompt, whole or as a stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, cast

from pydantic import Field, model_validator
from typing_extensions import Self

from xlc_core import AsyncEventStream, Completion, CompletionKwargs, Engine, Finished, TextDelta, Usage
from xlc_core.frameworks import completion_logprobs, openai_finish_reason, read_response_format
from xlc_server.sampling import GenerationBody
from xlc_server.sending import Chunks
from xlc_server.service import Service, new_id, now
from xlc_server.together import merged, together
from xlc_server.usage import to_usage

__all__ = ["CompletionBody", "answer_completion", "stream_completion"]

_MOST_PROMPTS = 128


class CompletionBody(GenerationBody):
    """A request to continue one or several texts; a text may be given as tokens of the model."""

    prompt: str | list[str] | list[int] | list[list[int]]
    max_tokens: int | None = Field(16, ge=0)  # OpenAI's default, here only
    logprobs: int | None = Field(None, ge=0, le=20)
    echo: bool = False
    best_of: int | None = None
    suffix: str | None = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.best_of not in (None, 1, self.n):
            raise ValueError("best_of is not supported; n gives several answers")
        if self.echo and self.logprobs is not None:
            raise ValueError("echo cannot be combined with logprobs: a prompt's tokens have no probabilities here")
        if len(self.prompt) > _MOST_PROMPTS and not isinstance(self.prompt, str) and not _is_tokens(self.prompt):
            raise ValueError(f"prompt: at most {_MOST_PROMPTS} prompts in one request")
        return self

    def completion_options(self, timeout: float | None) -> CompletionKwargs:
        """Return the options of the engine."""
        options = self.options(timeout)
        if self.logprobs is not None:
            options["logprobs"] = max(1, self.logprobs)  # 0 would be none at all
        if self.response_format is not None:
            options["constraint"] = read_response_format(self.response_format)
        return cast("CompletionKwargs", options)


def _is_tokens(prompt: Any) -> bool:
    return isinstance(prompt, list) and bool(prompt) and isinstance(prompt[0], int)


def _prompts(engine: Engine, prompt: str | list[str] | list[int] | list[list[int]]) -> list[str]:
    """Return the texts to continue."""
    if isinstance(prompt, str) or _is_tokens(prompt):
        return [_text(engine, prompt)]
    return [_text(engine, item) for item in prompt]


def _text(engine: Engine, prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else engine.detokenize(prompt, special=True)


async def answer_completion(service: Service, body: CompletionBody) -> Mapping[str, Any]:
    """Return the continuations."""
    options = body.completion_options(service.options.timeout)
    with await service.engine(body) as lease:
        prompts = await asyncio.to_thread(_prompts, lease.engine, body.prompt)
        completions = await _all(lease.engine, prompts, body.suffix, options)
    choices: list[dict[str, Any]] = []
    for prompt, completion in zip(prompts, completions, strict=True):
        for choice in completion.choices:
            text = prompt + choice.text if body.echo else choice.text
            logprobs = completion_logprobs(choice.logprobs, body.logprobs or 0)
            choices.append(_choice(len(choices), text, logprobs, openai_finish_reason(choice)))
    usages = [completion.usage for completion in completions]
    return {**_head(service, body), "choices": choices, "usage": to_usage(_sum(usages))}


async def _all(engine: Engine, prompts: list[str], suffix: str | None, options: CompletionKwargs) -> list[Completion]:
    return await together(
        engine.ainfill(prompt, suffix, **options) if suffix else engine.acomplete(prompt, **options)
        for prompt in prompts
    )


def _sum(usages: list[Usage]) -> Usage:
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
    )


def _head(service: Service, body: CompletionBody) -> dict[str, Any]:
    return {
        "id": new_id("cmpl"),
        "object": "text_completion",
        "created": now(),
        "model": service.model_name(body),
    }


def _choice(index: int, text: str, logprobs: Any = None, finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}


def stream_completion(service: Service, body: CompletionBody) -> Chunks | None:
    """Return the chunks of a continuation, if the request asks for a stream."""
    return _chunks(service, body) if body.stream else None


def _stream(engine: Engine, prompt: str, suffix: str | None, options: CompletionKwargs) -> AsyncEventStream:
    if suffix:
        return engine.astream_infill(prompt, suffix, **options)
    return engine.astream_complete(prompt, **options)


async def _chunks(service: Service, body: CompletionBody) -> Chunks:
    head = {**_head(service, body), **({"usage": None} if body.has_usage else {})}
    options = body.completion_options(service.options.timeout)
    async with contextlib.AsyncExitStack() as stack:
        lease = stack.enter_context(await service.engine(body))
        prompts = await asyncio.to_thread(_prompts, lease.engine, body.prompt)
        streams = [_stream(lease.engine, prompt, body.suffix, options) for prompt in prompts]
        for stream in streams:
            await stack.enter_async_context(stream)
        await together(stream.start() for stream in streams)
        yield {}
        if body.echo:
            for index in range(len(prompts) * body.n):
                yield {**head, "choices": [_choice(index, prompts[index // body.n])]}
        usages, lengths = [], [0] * (len(prompts) * body.n)
        async with contextlib.aclosing(merged(streams)) as events:
            async for number, event in events:
                first = number * body.n
                if isinstance(event, TextDelta):
                    index = first + event.index
                    logprobs = completion_logprobs(event.logprobs, body.logprobs or 0, lengths[index])
                    lengths[index] += len(event.text)
                    yield {**head, "choices": [_choice(index, event.text, logprobs)]}
                elif isinstance(event, Finished):
                    usages.append(event.completion.usage)
                    for index, choice in enumerate(event.completion.choices, first):
                        yield {**head, "choices": [_choice(index, "", None, openai_finish_reason(choice))]}
        if body.has_usage:
            yield {**head, "choices": [], "usage": to_usage(_sum(usages))}
