"""Budgets of thinking, set on LlamaIndex's adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llama_index.core.llms import ChatMessage

from helpers.thinking_template import THINKING_TEMPLATE
from xlc_core import ThinkingSwitch
from xlc_llamaindex import XLlama

TALE = [ChatMessage("Write a long story about a llama.")]


def n_thought(response: Any) -> int:
    details: dict[str, int] = response.raw["usage"]["completion_tokens_details"]
    return details["reasoning_tokens"]


def test_budget_comes_from_model_or_call(smollm2_path: Path) -> None:
    options = {"chat_template": THINKING_TEMPLATE, "n_parallel": 1}
    with XLlama(
        model=smollm2_path, n_ctx=512, temperature=0, max_tokens=24, thinking_budget=5, engine_options=options
    ) as llm:
        limited = llm.chat(TALE)
        assert n_thought(limited) == 5
        assert limited.message.content
        assert n_thought(llm.chat(TALE, thinking_budget=9)) == 9
        assert n_thought(llm.chat(TALE, thinking=False)) == 0


def test_switch_ends_thinking_of_stream(smollm2_path: Path) -> None:
    options = {"chat_template": THINKING_TEMPLATE, "n_parallel": 1}
    switch = ThinkingSwitch()
    with XLlama(model=smollm2_path, n_ctx=512, temperature=0, max_tokens=200, engine_options=options) as llm:
        responses = []
        for response in llm.stream_chat(TALE, thinking_switch=switch):
            responses.append(response)
            switch.stop()
        assert responses[-1].message.content
        assert n_thought(responses[-1]) < 60
        assert n_thought(llm.chat(TALE, thinking_switch=switch)) <= 1
