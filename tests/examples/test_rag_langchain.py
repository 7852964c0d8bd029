"""The LangChain RAG example, run as a user runs it, on the real models."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.module_files import load_file

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "rag_langchain.py"
CITED = re.compile(r"[.!?] \[(\d)\]")

pytestmark = pytest.mark.usefixtures("smollm2_path", "embedder_path", "reranker_path")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "tea.md").write_text(
        "# Tea\n\n## Green tea\n\nGreen tea is brewed at eighty degrees. It steeps for two minutes.\n"
        "\n## Black tea\n\nBlack tea is brewed with boiling water. It steeps for four minutes.\n",
        encoding="utf-8",
    )
    (tmp_path / "bikes.md").write_text(
        "# Bicycles\n\n## Tyres\n\nA road tyre holds about seven bars of pressure.\n",
        encoding="utf-8",
    )
    return tmp_path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLE, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )


def test_default_question_is_answered_with_citations() -> None:
    result = run()
    assert result.returncode == 0, result.stderr
    answer, sources = result.stdout.split("\nSources\n")
    assert CITED.findall(answer)
    assert "[1] cancellation.md, What happens when a request is cancelled" in sources
    assert "Indexing" in result.stderr


def test_every_citation_is_quotation(folder: Path) -> None:
    result = run("--folder", str(folder), "--question", "How hot should green tea be brewed?")
    assert result.returncode == 0, result.stderr
    answer, sources = result.stdout.split("\nSources\n")
    quoted = re.findall(r"([A-Z][^\[\]]+[.]) \[(\d)\]", answer.partition("?\n")[2])
    assert quoted
    for sentence, number in quoted:
        file, heading = re.search(rf"\[{number}\] (\S+), (.+) \(", sources).groups()
        assert sentence in (folder / file).read_text(encoding="utf-8").split(f"## {heading}")[1]
    assert "eighty degrees" in answer


def test_free_answers_are_checked_by_reranker(folder: Path) -> None:
    result = run("--folder", str(folder), "--question", "How is green tea brewed?", "--free")
    assert result.returncode == 0, result.stderr
    assert re.search(r"\[[1-5?]\]", result.stdout.split("\nSources\n")[0])


def test_complete_sentences_are_yielded_at_once() -> None:
    example = load_file(EXAMPLE)
    pieces = iter(["Tea is", " hot. It", " steeps", " long.\n", "End"])
    sentences = example.split_sentences(pieces)
    assert next(sentences) == "Tea is hot."
    assert next(pieces) == " steeps"  # nothing was read ahead
    assert list(sentences) == ["It long.", "End"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--model", "no-such-model"], "no-such-model"),
        (["--folder", "no-such-folder"], "no-such-folder"),
    ],
)
def test_mistakes_are_named_without_traceback(arguments: list[str], reason: str) -> None:
    result = run(*arguments)
    assert result.returncode != 0
    assert reason in result.stderr
    assert "Traceback" not in result.stderr


def test_corpus_is_readable() -> None:
    files = sorted((EXAMPLE.parent / "corpus").glob("*.md"))
    sections = [section for file in files for section in file.read_text().split("\n## ")[1:]]
    assert len(sections) >= 200
    assert all(30 <= len(section.split()) <= 130 for section in sections)
