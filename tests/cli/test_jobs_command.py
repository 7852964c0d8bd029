"""``xllama jobs``, also when it is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import xlc_core as xlc
from helpers.waiting import wait_until
from xlc_core.cli import app

N_ROWS = 400


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in arguments])


def write(path: Path, **columns: list[Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def passages(tmp_path: Path) -> Path:
    texts = [f"passage {number} of many things" for number in range(N_ROWS)]
    return write(tmp_path / "in.parquet", id=list(range(N_ROWS)), text=texts)


def test_killed_command_goes_on(passages: Path, tmp_path: Path, embedder: xlc.Engine, embedder_path: Path) -> None:
    output = tmp_path / "out"
    arguments = ["jobs", "embed", str(passages), str(output), "--model", str(embedder_path), "--rows", "8", "--json"]
    command = [sys.executable, "-c", "from xlc_core.cli import app; app()", *arguments]
    for n_parts in (2, 9):  # twice
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            try:
                assert wait_until(lambda n_parts=n_parts: len(list(output.glob("part-*"))) >= n_parts)
                assert child.poll() is None, "it was to be killed before its end"
            finally:
                child.kill()
        assert child.returncode == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in output.glob("part-*")}
    assert 9 <= len(before) < 50
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert (report["n_done"], report["n_rows"], report["n_errors"]) == (50, N_ROWS, 0)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not list(output.glob(".unfinished*"))
    table = pq.read_table(output).sort_by("id")
    assert table["id"].to_pylist() == list(range(N_ROWS))
    np.testing.assert_allclose(
        table["vector"].to_pylist(), embedder.embed(table["text"].to_pylist()), atol=1e-3
    )  # texts are packed otherwise, which changes the order of sums


def test_answers_match_the_schema(tmp_path: Path) -> None:
    source = write(tmp_path / "in.parquet", prompt=["a", "b", None], extra=[1, 2, 3])
    schema = tmp_path / "schema.json"
    schema.write_text('{"enum": ["yes", "no"]}')
    arguments = ["--model", "smollm2-135m-instruct", "--schema", schema, "--n-ctx", "512", "--keep", "extra"]
    done = run("jobs", "generate", source, tmp_path / "out", *arguments)
    assert done.exit_code == 0, done.output
    assert "3 rows, 1 of them with errors" in done.stderr
    table = pq.read_table(tmp_path / "out")
    assert table.column_names[:2] == ["extra", "answer"]
    assert {json.loads(answer) for answer in table["answer"].to_pylist()[:2]} <= {"yes", "no"}


def test_labels_and_scores(tmp_path: Path) -> None:
    texts = write(tmp_path / "texts.parquet", text=["great", "awful"])
    labels = ["--label", "good", "--label", "bad", "--n-ctx", "512", "--instruction", "Good or bad?"]
    done = run("jobs", "classify", texts, tmp_path / "labels", "--model", "smollm2-135m-instruct", *labels)
    assert done.exit_code == 0, done.output
    assert set(pq.read_table(tmp_path / "labels")["label"].to_pylist()) <= {"good", "bad"}
    pairs = write(tmp_path / "pairs.parquet", query=["capital of France"], documents=[["Paris", "a cat"]])
    done = run("jobs", "rerank", pairs, tmp_path / "scores", "--model", "xllama-rerank-mini")
    assert done.exit_code == 0, done.output
    assert len(pq.read_table(tmp_path / "scores")["scores"].to_pylist()[0]) == 2


def test_status_is_that_of_the_folder(passages: Path, tmp_path: Path) -> None:
    assert run("jobs", "embed", passages, tmp_path / "out", "--model", "all-minilm-l6-v2").exit_code == 0
    report = json.loads(run("jobs", "status", tmp_path / "out", "--json").stdout)
    assert (report["n_parts"], report["n_done"], report["n_rows"]) == (1, 1, N_ROWS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "no-such-model"], "no-such-model"),
        (["--model", "all-minilm-l6-v2", "--column", "none"], "no column 'none'"),
        (["--model", "all-minilm-l6-v2", "--workers", "2"], "name a cluster"),
    ],
)
def test_errors_are_one_line(arguments: list[str], message: str, passages: Path, tmp_path: Path) -> None:
    done = run("jobs", "embed", passages, tmp_path / "out", *arguments)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_folder_without_a_job_is_an_error(tmp_path: Path) -> None:
    done = run("jobs", "status", tmp_path)
    assert done.exit_code == 1
    assert "there is no job" in done.stderr


def test_missing_ray_is_one_line(passages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "xlc_jobs.ray_data", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    done = run("jobs", "embed", passages, tmp_path / "out", "--model", "all-minilm-l6-v2", "--ray", "auto")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == ["error: jobs on a cluster need Ray: pip install 'xllama[ray]'"]
