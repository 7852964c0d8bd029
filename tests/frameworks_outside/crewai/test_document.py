"""The blocks of docs/litellm.md, which needs CrewAI for one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.document_blocks import blocks_of, run_blocks, write_small_catalog

PAGE = Path(__file__).parents[3] / "docs" / "litellm.md"


@pytest.mark.filterwarnings("default")  # CrewAI and LiteLLM use what other packages deprecate
def test_blocks_run_as_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLLAMA_CATALOG", str(write_small_catalog(tmp_path)))
    monkeypatch.setenv("CREWAI_STORAGE_DIR", str(tmp_path))
    run_blocks(blocks_of(PAGE))
