"""``xllama embed`` and ``xllama rerank``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
from typer.testing import CliRunner

import xlc_core as xlc
from xlc_core.cli import app

TEXTS = ["a cat", "", "Ein Hund läuft.", "the dog runs " * 30]


def run(*arguments: object, stdin: bytes | None = None) -> Any:
    return CliRunner().invoke(app, [str(word) for word in arguments], input=stdin)


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_bytes("\r\n".join(TEXTS).encode())
    return path


@pytest.fixture
def expected(embedder: xlc.Engine) -> np.ndarray[Any, Any]:
    return embedder.embed(TEXTS)


@pytest.mark.parametrize("ending", ["npy", "jsonl", "parquet"])
def test_file_has_the_vectors_of_all_lines(
    ending: str, lines: Path, expected: np.ndarray[Any, Any], embedder_path: Path, tmp_path: Path
) -> None:
    target = tmp_path / f"out.{ending}"
    result = run("embed", embedder_path, "-i", lines, "-o", target)
    assert result.exit_code == 0, result.output
    if ending == "npy":
        found = np.load(target)
        assert found.dtype == np.float32
    else:
        table = polars.read_parquet(target) if ending == "parquet" else polars.read_ndjson(target)
        assert table["text"].to_list() == TEXTS
        found = np.array(table["embedding"].to_list())
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == sorted(["lines.txt", target.name])


def test_piped_lines_become_json_lines(embedder_path: Path, expected: np.ndarray[Any, Any]) -> None:
    result = run("embed", embedder_path, stdin="\n".join(TEXTS).encode())
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["text"] for row in rows] == TEXTS
    np.testing.assert_allclose([row["embedding"] for row in rows], expected, atol=1e-3)


def test_failure_leaves_the_old_file(lines: Path, embedder_path: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.npy"
    target.write_bytes(b"old")
    lines.write_text("fine\n" + "word " * 2000 + "\n")
    result = run("embed", embedder_path, "-i", lines, "-o", target)
    assert result.exit_code == 1
    assert "truncate" in result.stderr
    assert target.read_bytes() == b"old"
    assert not list(tmp_path.glob(".out*"))
    assert run("embed", embedder_path, "-i", lines, "-o", target, "--truncate", "end").exit_code == 0
    assert np.load(target).shape[0] == 2


@pytest.mark.parametrize(
    ("content", "output", "message"),
    [
        (b"fine\n\xff\xfe\n", "out.npy", "is not UTF-8 after line"),
        (b"fine\n", "out.csv", "must end in .npy, .jsonl or .parquet"),
    ],
)
def test_wrong_files_are_refused(
    content: bytes, output: str, message: str, lines: Path, embedder_path: Path, tmp_path: Path
) -> None:
    lines.write_bytes(content)
    result = run("embed", embedder_path, "-i", lines, "-o", tmp_path / output)
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / output).exists()


def test_no_lines_are_no_vectors(embedder_path: Path) -> None:
    result = run("embed", embedder_path, stdin=b"")
    assert (result.exit_code, result.stdout) == (0, "")


def test_lines_are_ordered_by_relevance(reranker_path: Path, tmp_path: Path) -> None:
    manual = tmp_path / "manual.txt"
    manual.write_text("Milk is white.\nPress the reset button for five seconds.\nCats sleep.\n")
    result = run("rerank", reranker_path, "How do I reset it?", "-i", manual, "--top-n", "2")
    assert result.exit_code == 0, result.output
    scores = [line.split("\t") for line in result.stdout.splitlines()]
    assert len(scores) == 2
    assert scores[0][1:] == ["2", "Press the reset button for five seconds."]
    assert float(scores[0][0]) > float(scores[1][0])
    as_json = run("rerank", reranker_path, "How do I reset it?", "-i", manual, "--top-n", "1", "--json")
    assert json.loads(as_json.stdout)["line"] == 2
