"""The engine's sessions, reached through LlamaIndex's adapter."""

from __future__ import annotations

from pathlib import Path

from xlc_llamaindex import XLlama

OPTIONS = {"n_parallel": 1, "cache_ram_mib": 0}
QUESTION = "Of all the colours that there are in the world, which one is your favourite?"


def test_conversation_is_saved_and_loaded(smollm2_path: Path, tmp_path: Path) -> None:
    with XLlama(model=smollm2_path, n_ctx=512, temperature=0, max_tokens=4, engine_options=OPTIONS) as llm:
        first = llm.complete(QUESTION)
        llm.get_engine().save_session(tmp_path / "talk")
        llm.complete("Something else.")
        llm.get_engine().load_session(tmp_path / "talk")
        again = llm.complete(QUESTION)
    assert again.text == first.text
    usage = again.raw["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_tokens"] - 1
