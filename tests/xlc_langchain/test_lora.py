"""LoRA adapters through the chat model."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.tiny_models import random_pairs, write_byte_llama, write_lora
from xlc_langchain import ChatXLlama
from xlc_langchain.errors import InvalidRequestError


def test_call_chooses_its_adapters(tmp_path: Path) -> None:
    base = write_byte_llama(tmp_path / "base.gguf")
    write_lora(tmp_path / "style.gguf", random_pairs("blk.0.attn_q.weight", "blk.1.attn_output.weight"))
    options = {"lora": {str(tmp_path / "style.gguf"): 1.0}, "n_parallel": 1, "warmup": False}
    with ChatXLlama(model=base, n_ctx=512, temperature=0, max_tokens=12, engine_options=options) as llm:
        plain = ChatXLlama(model=base, n_ctx=512, temperature=0, max_tokens=12, engine_options={"n_parallel": 1})
        with plain:
            assert llm.invoke("the end", lora={"style": 0.0}).text == plain.invoke("the end").text
        assert llm.invoke("the end").text != llm.bind(lora={"style": 0.0}).invoke("the end").text
        with pytest.raises(InvalidRequestError, match="no LoRA adapter 'other'; loaded are 'style'"):
            llm.invoke("the end", lora={"other": 1.0})
