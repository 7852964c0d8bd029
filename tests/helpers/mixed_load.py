"""A mixed load: many threads send all kinds of requests at once, and each request is accounted for.

Some requests are left alone, some are cancelled, abandoned, too slow or wrong. The right ones must have the results
that they have alone, whatever happens to the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic

import xlc_core as xlc

__all__ = ["Account", "Engines", "MixedLoad"]

PROMPTS = [f"Tell me about the number {n}." for n in range(8)]
TEXTS = [f"The tower of town {n} is {n * 10} metres high." for n in range(8)]
N_TOKENS = 12
ENDLESS: dict[str, Any] = {"max_tokens": 400, "ignore_eos": True}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"town": {"enum": ["Rome", "Oslo"]}}, "required": ["town"]},
    },
}
ROUNDING = 1e-3
"""How far a score or a component of a unit vector may be from the one computed alone: batches add in other orders."""


class Person(pydantic.BaseModel):
    """The object of constrained answers."""

    age: int
    married: bool


@dataclass
class Engines:
    """One engine of each role."""

    chat: xlc.Engine
    embedder: xlc.Engine
    reranker: xlc.Engine


@dataclass
class Account:
    """The requests by kind: how many began, how each ended, and everything that was wrong."""

    begun: Counter[str] = field(default_factory=Counter)
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def n_ended(self, kind: str) -> int:
        """Return how many requests of a kind have ended, in whichever way."""
        return sum(number for (name, _), number in self.ended.items() if name == kind)


class MixedLoad:
    """Sends requests to engines from many threads.

    Args:
        engines: the engines.
        seed: of the order of requests.
    """

    def __init__(self, engines: Engines, seed: int = 0) -> None:
        self._engines = engines
        self._seed = seed
        self._lock = threading.Lock()
        self.account = Account()
        self.kinds: dict[str, Callable[[random.Random], str]] = {
            "chat": self._chat,
            "stream": self._stream,
            "abandoned stream": self._abandoned,
            "cancelled stream": self._cancelled,
            "timeout": self._timeout,
            "invalid option": self._invalid_option,
            "too long": self._too_long,
            "wrong constraint": self._wrong_constraint,
            "constrained": self._constrained,
            "tool call": self._tool_call,
            "embedding": self._embedding,
            "token vectors": self._token_vectors,
            "reranking": self._reranking,
            "count": self._count,
            "async": self._async,
        }
        chat = engines.chat
        self._n_prompt = [chat.count_tokens([xlc.Message(role="user", content=prompt)]) for prompt in PROMPTS]
        self._vectors = engines.embedder.embed(TEXTS)
        self._scores = self._scores_of(TEXTS)

    def run(self, n_threads: int, go_on: Callable[[int], bool]) -> None:
        """Send requests until ``go_on`` returns False. It gets the number of requests that its thread has sent."""
        threads = [threading.Thread(target=self._work, args=(number, go_on)) for number in range(n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, number: int, go_on: Callable[[int], bool]) -> None:
        chance = random.Random(f"{self._seed} {number}")
        names = list(self.kinds)
        n_sent = 0
        while go_on(n_sent):
            # Every thread sends each kind once before it sends one again, in an order of its own.
            if n_sent % len(names) == 0:
                chance.shuffle(names)
            self._send(names[n_sent % len(names)], chance)
            n_sent += 1

    def _send(self, kind: str, chance: random.Random) -> None:
        with self._lock:
            self.account.begun[kind] += 1
        wrong = ""
        try:
            outcome = self.kinds[kind](chance)
        except AssertionError as error:
            outcome, wrong = "wrong", f"{kind}: {error}"
        except BaseException as error:
            outcome, wrong = "wrong", f"{kind}: {type(error).__name__}: {error}"
        with self._lock:
            self.account.ended[kind, outcome] += 1
            if wrong:
                self.account.wrong.append(wrong)

    # Each sends one request, checks its result and returns its outcome.

    def _chat(self, chance: random.Random) -> str:
        number = chance.randrange(len(PROMPTS))
        answer = self._engines.chat.chat(PROMPTS[number], max_tokens=N_TOKENS, ignore_eos=True, temperature=0)
        assert answer.usage.prompt_tokens == self._n_prompt[number]
        assert answer.usage.completion_tokens == N_TOKENS
        assert answer.finish_reason == "length"
        return "answered"

    def _stream(self, chance: random.Random) -> str:
        with self._engines.chat.stream_chat(chance.choice(PROMPTS), max_tokens=N_TOKENS, ignore_eos=True) as stream:
            text = "".join(stream.text())
            assert text == stream.result().text
        return "answered"

    def _abandoned(self, chance: random.Random) -> str:
        stream = self._engines.chat.stream_chat(chance.choice(PROMPTS), **ENDLESS)
        for _ in range(chance.randrange(3)):
            next(stream)
        return "abandoned"

    def _cancelled(self, chance: random.Random) -> str:
        stream = self._engines.chat.stream_chat(chance.choice(PROMPTS), **ENDLESS)
        next(stream)
        stream.cancel()
        with contextlib.suppress(xlc.RequestCancelledError):
            assert stream.result().finish_reason == "cancelled"
        return "cancelled"

    def _timeout(self, chance: random.Random) -> str:
        try:
            self._engines.chat.chat(chance.choice(PROMPTS), timeout=chance.choice([1e-6, 1e-3, 1e-2]), **ENDLESS)
        except xlc.RequestTimeoutError:
            return "timed out"
        return "answered"

    def _invalid_option(self, chance: random.Random) -> str:
        wrong = chance.choice([{"temperature": -1}, {"n": 10**6}, {"top_p": "high"}, {"max_tokenz": 3}])
        return self._refused(xlc.InvalidRequestError, lambda: self._engines.chat.chat("Hi", **wrong))

    def _too_long(self, _: random.Random) -> str:
        return self._refused(xlc.ContextOverflowError, lambda: self._engines.chat.chat("word " * 20_000))

    def _wrong_constraint(self, chance: random.Random) -> str:
        wrong = chance.choice([xlc.Regex("(a"), xlc.Gbnf("root ::= ("), {"type": "strange"}])
        return self._refused(xlc.ConstraintError, lambda: self._engines.chat.chat("Hi", constraint=wrong))

    @staticmethod
    def _refused(error: type[xlc.XllamaError], call: Callable[[], object]) -> str:
        try:
            call()
        except error:
            return "refused"
        raise AssertionError(f"no {error.__name__}")

    def _constrained(self, chance: random.Random) -> str:
        answer = self._engines.chat.chat(
            chance.choice(PROMPTS), constraint=Person, max_tokens=60, temperature=1, seed=chance.randrange(1000)
        )
        assert isinstance(answer.parsed, Person), answer.text
        return "answered"

    def _tool_call(self, chance: random.Random) -> str:
        answer = self._engines.chat.chat(
            chance.choice(PROMPTS), tools=[WEATHER], tool_choice="weather", max_tokens=120, temperature=0
        )
        (call,) = answer.tool_calls
        assert call.name == "weather"
        assert json.loads(call.arguments)["town"] in ("Rome", "Oslo")
        return "answered"

    def _embedding(self, chance: random.Random) -> str:
        numbers = chance.sample(range(len(TEXTS)), 3)
        vectors = self._engines.embedder.embed([TEXTS[number] for number in numbers])
        assert np.abs(vectors - self._vectors[numbers]).max() < ROUNDING
        return "answered"

    def _token_vectors(self, chance: random.Random) -> str:
        (row,) = self._engines.embedder.embed_tokens([chance.choice(TEXTS)])
        assert np.isfinite(row).all()
        return "answered"

    def _reranking(self, chance: random.Random) -> str:
        numbers = chance.sample(range(len(TEXTS)), 4)
        scores = self._scores_of([TEXTS[number] for number in numbers])
        assert np.abs(scores - self._scores[numbers]).max() < ROUNDING
        return "answered"

    def _scores_of(self, texts: list[str]) -> npt.NDArray[np.float64]:
        found = self._engines.reranker.rerank(PROMPTS[0], texts)
        return np.array([result.score for result in sorted(found, key=lambda result: result.index)])

    def _count(self, chance: random.Random) -> str:
        number = chance.randrange(len(PROMPTS))
        assert self._engines.chat.count_tokens([{"role": "user", "content": PROMPTS[number]}]) == self._n_prompt[number]
        return "answered"

    def _async(self, chance: random.Random) -> str:
        return asyncio.run(self._tasks(chance.choice(PROMPTS)))

    async def _tasks(self, prompt: str) -> str:
        chat, embedder = self._engines.chat, self._engines.embedder
        endless = asyncio.create_task(chat.achat(prompt, **ENDLESS))
        answer, vectors = await asyncio.gather(
            chat.achat(prompt, max_tokens=N_TOKENS, ignore_eos=True), embedder.aembed(TEXTS[:2])
        )
        endless.cancel()
        await asyncio.gather(endless, return_exceptions=True)
        assert endless.cancelled() or endless.result().usage.completion_tokens
        assert answer.usage.completion_tokens == N_TOKENS
        assert np.abs(vectors - self._vectors[:2]).max() < ROUNDING
        return "answered"
