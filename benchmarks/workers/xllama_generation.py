"""Generates with this project's Engine and its LangChain adapter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from protocol import Task, serve, steps_per_second, time_stream, time_together

import xlc_core as xlc

try:
    from xlc_langchain import ChatXLlama
except ImportError as error:
    no_langchain = str(error)
else:
    no_langchain = ""


class Generation:
    """The measurements with one engine, for one request or for several at once."""

    def __init__(self, engine: xlc.Engine, prompts: list[str], n_tokens: int) -> None:
        self.engine = engine
        self.prompts = prompts
        self.rendered = [engine.render_chat(prompt) for prompt in prompts]
        extra = {"ignore_eos": True, "cache_prompt": False}
        self.sampling: dict[str, Any] = {"max_tokens": n_tokens, "temperature": 0.0, **extra}
        if not no_langchain:
            self.chat_model = ChatXLlama(engine=engine, max_tokens=n_tokens, temperature=0.0, model_kwargs=extra)

    def prompt_tokens(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return the number of tokens of the prompt."""
        tokens = self.engine.tokenize(self.rendered[0], add_special=True, parse_special=True)
        return {"n_tokens": len(tokens)}

    def complete(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run one completion. Its time does not include the prompt."""
        start = time.perf_counter()
        timings = self.engine.complete(self.rendered[0], **self.sampling).timings
        seconds = time.perf_counter() - start
        return {
            "wall": steps_per_second(timings.generation_tokens, seconds - timings.prompt_seconds),
            "timings": timings.generation_tokens_per_second,
        }

    def stream_chat(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run one stream."""
        events: list[xlc.Event] = []

        def chunks() -> Iterator[bool]:
            for event in self.engine.stream_chat(self.prompts[0], **self.sampling):
                events.append(event)
                yield isinstance(event, xlc.TextDelta)

        seconds = time_stream(chunks())
        timings = completion_of(events).timings
        return {
            "wall": steps_per_second(timings.generation_tokens, seconds),
            "timings": timings.generation_tokens_per_second,
        }

    def langchain(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run one stream through LangChain."""
        n_tokens = 0

        def chunks() -> Iterator[bool]:
            nonlocal n_tokens
            for chunk in self.chat_model.stream(self.prompts[0]):
                n_tokens += (chunk.usage_metadata or {}).get("output_tokens", 0)
                yield bool(chunk.content)

        seconds = time_stream(chunks())
        return {"wall": steps_per_second(n_tokens, seconds)}

    def complete_together(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run all prompts at once, each on a thread."""
        return time_together(
            lambda prompt: self.engine.complete(prompt, **self.sampling).usage.completion_tokens,
            self.rendered,
        )

    def stream_chat_together(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run all prompts at once, each as a stream on a thread."""

        def request(prompt: str) -> int:
            events = list(self.engine.stream_chat(prompt, **self.sampling))
            return completion_of(events).usage.completion_tokens

        return time_together(request, self.prompts)

    def langchain_together(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run all prompts at once through LangChain, each as a stream in a task."""
        return asyncio.run(self._gather())

    async def _gather(self) -> dict[str, Any]:
        async def request(prompt: str) -> int:
            n_tokens = 0
            async for chunk in self.chat_model.astream(prompt):
                n_tokens += (chunk.usage_metadata or {}).get("output_tokens", 0)
            return n_tokens

        start = time.perf_counter()
        n_tokens = sum(await asyncio.gather(*map(request, self.prompts)))
        return {"wall": n_tokens / (time.perf_counter() - start)}


def completion_of(events: list[xlc.Event]) -> xlc.Completion:
    last = events[-1]
    if not isinstance(last, xlc.Finished):
        raise TypeError(f"a stream ended with {last!r}")
    return last.completion


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    engine = xlc.Engine(
        settings["model"],
        n_ctx_total=settings["n_ctx"],
        n_parallel=settings["n_parallel"],
        n_threads=settings["n_threads"],
        progress=False,
    )
    generation = Generation(engine, settings["prompts"], settings["n_tokens"])
    tasks: dict[str, Task] = {
        name: getattr(generation, name)
        for name in ("prompt_tokens", "complete", "stream_chat", "complete_together", "stream_chat_together")
    }
    for name in ("langchain", "langchain_together"):
        tasks[name] = getattr(generation, name) if not no_langchain else refuse
    return tasks


def refuse(command: dict[str, Any]) -> dict[str, Any]:
    return {"error": no_langchain}


serve(open_peer)
