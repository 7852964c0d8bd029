"""Budgets of thinking, set on LangChain's adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.runnables import RunnablePassthrough

from helpers.thinking_template import THINKING_TEMPLATE
from xlc_core import ThinkingSwitch
from xlc_langchain import ChatXLlama

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_core.messages import AIMessage

TALE = "Write a long story about a llama."


def n_thought(answer: AIMessage) -> int:
    return answer.usage_metadata["output_token_details"]["reasoning"]


def test_budget_comes_from_model_or_call(smollm2_path: Path) -> None:
    options = {"chat_template": THINKING_TEMPLATE, "n_parallel": 1}
    with ChatXLlama(
        model=smollm2_path, n_ctx=512, temperature=0, max_tokens=24, thinking_budget=5, engine_options=options
    ) as llm:
        limited = llm.invoke(TALE)
        assert n_thought(limited) == 5
        assert limited.text
        assert n_thought(llm.invoke(TALE, thinking_budget=9)) == 9
        in_text = llm.bind(thinking_budget=2, reasoning_format="none").invoke(TALE)
        assert in_text.text.startswith("<think>")
        assert n_thought(in_text) == 2
        assert n_thought(llm.bind(thinking=False).invoke(TALE)) == 0
        streamed = None
        for chunk in llm.stream(TALE):
            streamed = chunk if streamed is None else streamed + chunk
        assert streamed.text == limited.text


def test_switch_ends_thinking_of_stream(smollm2_path: Path) -> None:
    options = {"chat_template": THINKING_TEMPLATE, "n_parallel": 1}
    switch = ThinkingSwitch()
    with ChatXLlama(model=smollm2_path, n_ctx=512, temperature=0, max_tokens=200, engine_options=options) as llm:
        whole = None
        for chunk in (llm | RunnablePassthrough()).stream(TALE, thinking_switch=switch):
            whole = chunk if whole is None else whole + chunk
            switch.stop()
        assert n_thought(whole) < 60
        assert whole.text
        assert n_thought(llm.bind(thinking_switch=switch).invoke(TALE)) <= 1
