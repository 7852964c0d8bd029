"""Infill through the LlamaIndex adapter."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import xlc_core as xlc
from helpers.tiny_models import FIM_TOKENS, write_byte_llama
from xlc_llamaindex import XLlama


def test_four_ways_give_same_text(tmp_path: Path) -> None:
    path = write_byte_llama(tmp_path / "coder.gguf", control=FIM_TOKENS)
    with XLlama(model=path, n_ctx=256, temperature=0, seed=1, max_tokens=6, thinking=False) as llm:
        whole = llm.infill("def f(", "return 1")
        assert whole.text
        assert whole.raw is not None
        assert whole.raw["usage"]["completion_tokens"] <= 6
        assert list(llm.stream_infill("def f(", "return 1"))[-1].text == whole.text

        async def run() -> tuple[str, str]:
            streamed = ""
            async for response in await llm.astream_infill("def f(", "return 1"):
                streamed += response.delta or ""
            return (await llm.ainfill("def f(", "return 1")).text, streamed

        assert asyncio.run(run()) == (whole.text, whole.text)


def test_chat_model_without_infill_tokens_says_so(llm: XLlama) -> None:
    with pytest.raises(xlc.UnsupportedFeatureError, match="not made for infill"):
        llm.infill("a", "b")
