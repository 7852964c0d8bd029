"""The examples and the pages for other frameworks, run as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from helpers.document_blocks import blocks_of, run_blocks, split_by_packages, write_small_catalog

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("with_pydantic_ai.py", '"urgent":'),
        ("with_haystack.py", "found: The llama is a domesticated animal of the Andes."),
        ("with_litellm.py", "country="),
        ("with_llm.py", "population="),
    ],
)
def test_example_prints_what_it_promises(script: str, expected: str, tmp_path: Path) -> None:
    if script == "with_llm.py" and not any(point.value == "xlc_llm" for point in entry_points(group="llm")):
        pytest.skip("the installed xllama is older than the plug-in's entry point")
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LLM_USER_PATH": str(tmp_path)}
    command = [sys.executable, EXAMPLES / script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    assert "Exception ignored" not in done.stderr


@pytest.mark.filterwarnings("default")  # the frameworks do what pydantic warns of
@pytest.mark.parametrize("page", ["pydantic-ai", "haystack", "litellm"])
def test_page_runs_as_pasted(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLLAMA_CATALOG", str(write_small_catalog(tmp_path)))
    blocks, missing = split_by_packages(blocks_of(ROOT / "docs" / f"{page}.md"))
    assert blocks
    assert missing <= {"crewai"}  # whose own environment runs it
    run_blocks(blocks)
