"""The engine's sessions, reached through LangChain's adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from helpers.waiting import wait_until
from xlc_langchain import ChatXLlama
from xlc_langchain.errors import ModelNotFoundError

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = {"n_parallel": 1, "cache_ram_mib": 0}
QUESTION = "Of all the colours that there are in the world, which one is your favourite?"


async def test_conversation_is_saved_and_loaded(smollm2_path: Path, tmp_path: Path) -> None:
    with ChatXLlama(model=smollm2_path, n_ctx=512, temperature=0, max_tokens=4, engine_options=OPTIONS) as llm:
        first = llm.invoke(QUESTION)
        saved = llm.get_engine().save_session(tmp_path / "talk")
        llm.invoke("Something else.")
        assert llm.invoke(QUESTION).usage_metadata["input_token_details"]["cache_read"] < 30  # the template's own
        llm.invoke("Something else.")
        engine = await llm.aget_engine()
        assert engine is llm.get_engine()
        await engine.aload_session(tmp_path / "talk")
        again = llm.invoke(QUESTION)
    assert again.text == first.text
    assert again.usage_metadata["input_token_details"]["cache_read"] == again.usage_metadata["input_tokens"] - 1
    assert saved.n_tokens >= again.usage_metadata["input_tokens"]


def test_model_sleeps_and_wakes(smollm2_path: Path) -> None:
    options = {"n_parallel": 1, "sleep_after": 0.2}
    with ChatXLlama(model=smollm2_path, n_ctx=512, max_tokens=2, engine_options=options) as llm:
        engine = llm.get_engine()
        for _ in range(2):
            assert llm.invoke("Hi").usage_metadata["output_tokens"] == 2
            assert engine.memory().total > 0
            assert wait_until(lambda: engine.asleep)
            assert engine.memory().asleep


def test_getting_engine_has_langchains_errors() -> None:
    with pytest.raises(ModelNotFoundError):
        ChatXLlama(model="no-such.gguf").get_engine()
