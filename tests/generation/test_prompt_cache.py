"""How much of a prompt is computed when an earlier one began alike: counted in tokens, on a real model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

import xlc_core as xlc

_fresh = itertools.count()
ONE: dict[str, Any] = {"max_tokens": 1, "temperature": 0}


def a_context(n_facts: int) -> str:
    """A text that no test has used before."""
    number = next(_fresh)
    return f"Document {number}. " + " ".join(f"Shelf {i} of room {number} holds {7 * i} books." for i in range(n_facts))


@pytest.fixture(scope="module")
def narrow() -> Iterator[xlc.Engine]:
    with xlc.Engine("smollm2-135m-instruct", n_ctx=2048, n_parallel=3) as engine:
        yield engine


def chat(context: str, question: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": context}, {"role": "user", "content": question}]


def n_common(engine: xlc.Engine, one: str, other: str) -> int:
    """How many tokens two prompts have in common at their start."""
    pairs = zip(engine.tokenize(one, parse_special=True), engine.tokenize(other, parse_special=True), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def test_only_tail_of_prompt_with_known_start_is_computed(narrow: xlc.Engine) -> None:
    context = a_context(80)
    first, second = chat(context, "How many rooms are there?"), chat(context, "Which shelf is the fullest?")
    shared = n_common(narrow, narrow.render_chat(first), narrow.render_chat(second))
    assert shared > 1000
    cold = narrow.chat(first, **ONE)
    assert cold.usage.cached_tokens < 20
    assert cold.choices[0].timings.prompt_tokens == cold.usage.prompt_tokens - cold.usage.cached_tokens

    before = narrow.metrics().prompt_tokens
    warm = narrow.chat(second, **ONE)
    tail = warm.usage.prompt_tokens - shared
    assert warm.usage.cached_tokens == shared
    assert warm.choices[0].timings.prompt_tokens == tail < 30
    assert narrow.metrics().prompt_tokens - before == tail


def test_prompt_that_lost_its_slot_comes_back_from_memory(narrow: xlc.Engine) -> None:
    context = a_context(40)
    n_tokens = narrow.complete(context, **ONE).usage.prompt_tokens
    for _ in range(3):  # as many as there are slots
        assert narrow.complete(a_context(20), **ONE).usage.cached_tokens < 20
    assert narrow.complete(context, **ONE).usage.cached_tokens == n_tokens - 1


def test_without_memory_for_it_a_lost_prompt_is_computed_again() -> None:
    with xlc.Engine("smollm2-135m-instruct", n_ctx=1024, n_parallel=1, cache_ram_mib=0) as engine:
        context = a_context(20)
        engine.complete(context, **ONE)
        engine.complete(a_context(20), **ONE)
        assert engine.complete(context, **ONE).usage.cached_tokens < 20


@pytest.mark.parametrize("kv_unified", [False, True])
def test_another_slot_takes_the_start_of_a_prompt_from_one_that_is_busy(kv_unified: bool) -> None:
    with xlc.Engine("smollm2-135m-instruct", n_ctx=1024, n_parallel=3, kv_unified=kv_unified) as engine:
        context = a_context(30)
        prompts = [f"{context} {word}" for word in ("Then", "But", "Here")]
        shared = len(engine.tokenize(context))
        with engine.stream_complete(prompts[0], max_tokens=400, ignore_eos=True) as busy:
            next(busy)
            second = engine.complete(prompts[1], **ONE)
            third = engine.complete(prompts[2], **ONE)
            assert engine.metrics().requests_running == 1
        for answer in (second, third):
            assert answer.usage.cached_tokens == shared
            assert answer.choices[0].timings.prompt_tokens == answer.usage.prompt_tokens - shared


def test_tokens_from_busy_slot_equal_computed_ones() -> None:
    with xlc.Engine("smollm2-135m-instruct", n_ctx=1024, n_parallel=2) as engine:
        # Something to be copied from far back, so that no rounding decides what comes next.
        secret = "The password of the room is tangerine lake."
        prompt = f"{a_context(10)} {secret} {a_context(10)} {secret} {a_context(4)} The password of the room is"
        alone = engine.complete(prompt, temperature=0, max_tokens=4, cache_prompt=False)
        assert alone.text.startswith(" tangerine lake")
        engine.complete(a_context(1), **ONE)
        with engine.stream_complete(prompt, temperature=0, max_tokens=200, ignore_eos=True) as busy:
            next(busy)
            shared = engine.complete(prompt, temperature=0, max_tokens=4)
        assert shared.usage.cached_tokens > 200
        assert shared.text == alone.text


def test_seeded_request_takes_nothing_from_a_busy_slot(narrow: xlc.Engine) -> None:
    context = a_context(20)
    with narrow.stream_complete(context, max_tokens=200, ignore_eos=True) as busy:
        next(busy)
        assert narrow.complete(context, seed=1, max_tokens=1).usage.cached_tokens == 0
