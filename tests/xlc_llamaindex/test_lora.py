"""LoRA adapters through the LLM."""

from __future__ import annotations

from pathlib import Path

import pytest

import xlc_core as xlc
from helpers.tiny_models import random_pairs, write_byte_llama, write_lora
from xlc_llamaindex import XLlama


def test_call_chooses_its_adapters(tmp_path: Path) -> None:
    base = write_byte_llama(tmp_path / "base.gguf")
    write_lora(tmp_path / "style.gguf", random_pairs("blk.0.attn_q.weight", "blk.1.attn_output.weight"))
    options = {"lora": {str(tmp_path / "style.gguf"): 1.0}, "n_parallel": 1, "warmup": False}
    with XLlama(model=base, n_ctx=512, temperature=0, max_tokens=12, engine_options=options) as llm:
        whole = llm.complete("the end").text
        assert llm.complete("the end", lora={"style": 0.0}).text != whole
        without = XLlama(
            engine=llm._get_engine(), temperature=0, max_tokens=12, additional_kwargs={"lora": {"style": 0}}
        )
        assert without.complete("the end").text == llm.complete("the end", lora={"style": 0.0}).text
        with pytest.raises(xlc.InvalidRequestError, match="no LoRA adapter 'other'"):
            llm.complete("the end", lora={"other": 1.0})
