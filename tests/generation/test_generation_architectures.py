"""Models with special architectures write the same text as transformers with the same weights (tests/model_files/)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc

MODELS = Path(__file__).parents[1] / "model_files"
NAMES = ["llama", "mixture-of-experts", "recurrent", "hybrid", "multi-token", "multi-token-hybrid"]
WITH_STATE = ["recurrent", "hybrid", "multi-token-hybrid"]  # whose past cannot be cut off at any token


class Reference:
    def __init__(self, name: str) -> None:
        read = json.loads((MODELS / f"{name}.json").read_text("utf-8"))
        self.by_prompt: dict[str, list[int]] = {row["prompt"]: row["tokens"] for row in read["continuations"]}
        self.prompt_tokens: dict[str, list[int]] = {
            row["prompt"]: row["prompt_tokens"] for row in read["continuations"]
        }
        self.ask: dict[str, Any] = {
            "temperature": 0, "max_tokens": 12, "ignore_eos": True, "logprobs": 1,
            "logit_bias": dict.fromkeys(read["banned"], False),
        }  # fmt: skip


def ids(answer: xlc.Completion) -> list[int]:
    return [token.id for token in answer.logprobs]


@pytest.fixture(scope="module", params=NAMES)
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[xlc.Engine, Reference]]:
    path = MODELS / f"{request.param}.gguf"
    with xlc.Engine(path, n_ctx=512, n_parallel=4, n_threads=1, warmup=False) as engine:
        yield engine, Reference(request.param)


with_state = pytest.mark.parametrize("opened", WITH_STATE, indirect=True)


def test_greedy_continuations_agree(opened: tuple[xlc.Engine, Reference]) -> None:
    engine, reference = opened
    assert len(reference.by_prompt) >= 3
    for prompt, expected in reference.by_prompt.items():
        answer = engine.complete(prompt, **reference.ask)
        assert ids(answer) == expected, prompt
        assert answer.usage.prompt_tokens == len(reference.prompt_tokens[prompt])


async def test_requests_side_by_side_do_not_mix(opened: tuple[xlc.Engine, Reference]) -> None:
    engine, reference = opened
    prompts = [*reference.by_prompt, *reversed(reference.by_prompt)]
    answers = await asyncio.gather(*(engine.acomplete(prompt, **reference.ask) for prompt in prompts))
    for prompt, answer in zip(prompts, answers, strict=True):
        assert ids(answer) == reference.by_prompt[prompt], prompt


@with_state
def test_request_after_a_cancelled_one_starts_clean(opened: tuple[xlc.Engine, Reference]) -> None:
    engine, reference = opened
    for prompt, expected in reference.by_prompt.items():
        with engine.stream_complete(prompt, **{**reference.ask, "max_tokens": 500}) as stream:
            for event in stream:
                if isinstance(event, xlc.TextDelta):
                    break
        assert ids(engine.complete(prompt, **reference.ask)) == expected, prompt


@with_state
def test_next_turn_reuses_computed_tokens(opened: tuple[xlc.Engine, Reference]) -> None:
    engine, reference = opened
    ask = {**reference.ask, "max_tokens": 6}
    messages: list[Any] = [xlc.Message(role="user", content="slots " * 40)]
    answers = []
    for turn in range(3):
        answer = engine.chat(messages, **ask)
        answers.append(ids(answer))
        messages += [
            xlc.Message(role="assistant", content=answer.text),
            xlc.Message(role="user", content=f"And {turn}?"),
        ]
    with xlc.Engine(engine.info.path, n_ctx=512, n_parallel=1, n_threads=1, warmup=False) as fresh:
        for turn in reversed(range(3)):  # none is the beginning of the next
            assert ids(fresh.chat(messages[: 2 * turn + 1], **ask)) == answers[turn]


def test_adapter_agrees_with_its_weights_merged() -> None:
    base, merged = Reference("llama"), Reference("llama-lora")
    adapter = MODELS / "llama-lora.gguf"
    with xlc.Engine(MODELS / "llama.gguf", lora=adapter, n_ctx=512, n_threads=1, warmup=False) as engine:
        for prompt, expected in merged.by_prompt.items():
            assert ids(engine.complete(prompt, **merged.ask)) == expected, prompt
        off = dict.fromkeys(engine.lora_scales, 0.0)
        for prompt, expected in base.by_prompt.items():
            assert ids(engine.complete(prompt, lora=off, **base.ask)) == expected, prompt
