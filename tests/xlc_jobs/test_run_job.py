"""Jobs on files: every row once, whatever ends them, and never with mixed options."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import xlc_core as xlc
import xlc_jobs
from xlc_jobs.folder import MANIFEST, JobFolder
from xlc_jobs.tables import divide, open_inputs, read_piece

N_ROWS = 90


def write_passages(path: Path, first: int = 0, n_rows: int = N_ROWS, group: int = 25) -> Path:
    numbers = list(range(first, first + n_rows))
    table = pa.table({"id": numbers, "text": [f"passage {number} of things" for number in numbers]})
    pq.write_table(table, path, row_group_size=group)
    return path


@pytest.fixture(scope="module", autouse=True)
def held_engine() -> Iterator[None]:
    """The engine stays open between the jobs of this file."""
    with xlc.acquire_engine("all-minilm-l6-v2"):
        yield


@pytest.fixture
def passages(tmp_path: Path) -> Path:
    return write_passages(tmp_path / "in.parquet")


def new_worker(**options: Any) -> xlc_jobs.Embed:
    return xlc_jobs.Embed("all-minilm-l6-v2", **options)


def check_rows(folder: Path, embedder: xlc.Engine, n_rows: int = N_ROWS) -> None:
    table = pq.read_table(folder).sort_by("id")
    assert table["id"].to_pylist() == list(range(n_rows))
    assert table["text"].to_pylist() == [f"passage {number} of things" for number in range(n_rows)]
    expected = embedder.embed(table["text"].to_pylist())
    np.testing.assert_allclose(table["vector"].to_pylist(), expected, atol=1e-3)


class StoppedError(Exception):
    pass


def stop_after(n_parts: int) -> Callable[[xlc_jobs.JobReport], None]:
    def stop(state: xlc_jobs.JobReport) -> None:
        if state.n_done >= n_parts:
            raise StoppedError

    return stop


def test_every_row_is_there_once(passages: Path, tmp_path: Path, embedder: xlc.Engine) -> None:
    seen: list[xlc_jobs.JobReport] = []
    report = xlc_jobs.run_job(new_worker(), passages, tmp_path / "out", rows_per_part=40, progress=seen.append)
    assert (report.n_parts, report.n_done, report.n_rows, report.n_errors) == (3, 3, N_ROWS, 0)
    assert [state.n_done for state in seen] == [1, 2, 3]
    assert seen[-1].n_rows == report.n_rows
    check_rows(tmp_path / "out", embedder)
    names = sorted(path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith("."))
    assert names == [MANIFEST, *(f"part-{number:06d}.parquet" for number in range(3))]


def test_interrupted_job_does_what_is_left(passages: Path, tmp_path: Path, embedder: xlc.Engine) -> None:
    output = tmp_path / "out"
    with pytest.raises(StoppedError):
        xlc_jobs.run_job(new_worker(), passages, output, rows_per_part=10, progress=stop_after(3))
    written = {path: path.stat().st_mtime_ns for path in output.glob("part-*")}
    assert 3 <= len(written) < 9
    report = xlc_jobs.run_job(new_worker(), passages, output, rows_per_part=10)
    assert report.n_done == 9
    assert {path: path.stat().st_mtime_ns for path in written} == written, "what was done is not done again"
    check_rows(output, embedder)
    again = xlc_jobs.run_job(new_worker(), passages, output, rows_per_part=10)
    assert again == report


def test_unfinished_files_are_removed_and_not_read(passages: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(StoppedError):
        xlc_jobs.run_job(new_worker(), passages, output, rows_per_part=30, progress=stop_after(1))
    left = output / ".unfinished-1"
    left.write_bytes(b"half a file")
    assert xlc_jobs.run_job(new_worker(), passages, output, rows_per_part=30).n_rows == N_ROWS
    assert not left.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"worker": {"prompt_name": "query"}}, "prompt_name"),
        ({"worker": {"output": "v"}}, "error_column"),
        ({"worker": {"engine_options": {"pooling": "cls"}}}, "pooling"),
        ({"rows_per_part": 31}, "rows_per_part"),
        ({"keep": ["id"]}, "columns"),
    ],
)
def test_other_options_are_refused(change: dict[str, Any], message: str, passages: Path, tmp_path: Path) -> None:
    options = {"rows_per_part": 30, "progress": stop_after(1)}
    with pytest.raises(StoppedError):
        xlc_jobs.run_job(new_worker(), passages, tmp_path / "out", **options)
    worker = new_worker(**change.pop("worker", {}))
    with pytest.raises(xlc.InvalidRequestError, match=f"{message}=.*use the same options"):
        xlc_jobs.run_job(worker, passages, tmp_path / "out", **{**options, **change})


def test_options_without_effect_may_change(passages: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        xlc_jobs.run_job(new_worker(), passages, tmp_path / "out", rows_per_part=30, progress=stop_after(1))
    worker = new_worker(engine_options={"n_threads": 1}, truncate="error")
    assert xlc_jobs.run_job(worker, passages, tmp_path / "out", rows_per_part=30).n_rows == N_ROWS


def test_other_input_or_model_is_refused(passages: Path, tmp_path: Path, reranker_path: Path) -> None:
    with pytest.raises(StoppedError):
        xlc_jobs.run_job(new_worker(), passages, tmp_path / "out", rows_per_part=30, progress=stop_after(1))
    with pytest.raises(xlc.InvalidRequestError, match="model="):
        xlc_jobs.run_job(xlc_jobs.Embed(reranker_path), passages, tmp_path / "out", rows_per_part=30)
    write_passages(passages, n_rows=N_ROWS + 1)
    with pytest.raises(xlc.InvalidRequestError, match="begun with"):
        xlc_jobs.run_job(new_worker(), passages, tmp_path / "out", rows_per_part=30)


def test_folder_of_other_files_is_refused(passages: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.parquet").write_bytes(b"")
    with pytest.raises(xlc.InvalidRequestError, match="name an empty or a new folder"):
        xlc_jobs.run_job(new_worker(), passages, tmp_path / "out")


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_damaged_manifest_is_one_error(content: str, passages: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MANIFEST).write_text(content)
    with pytest.raises(xlc.InvalidRequestError, match=MANIFEST):
        xlc_jobs.run_job(new_worker(), passages, tmp_path / "out")


def test_second_run_at_the_same_time_is_refused(passages: Path, tmp_path: Path) -> None:
    def run_again(_: xlc_jobs.JobReport) -> None:
        with pytest.raises(xlc.InvalidRequestError, match="another process runs the job"):
            xlc_jobs.run_job(new_worker(), passages, tmp_path / "out", rows_per_part=50)

    xlc_jobs.run_job(new_worker(), passages, tmp_path / "out", rows_per_part=50, progress=run_again)


def test_folder_of_files_is_one_input(tmp_path: Path, embedder: xlc.Engine) -> None:
    (tmp_path / "in").mkdir()
    write_passages(tmp_path / "in" / "a.parquet", n_rows=50)
    write_passages(tmp_path / "in" / "b.parquet", first=50, n_rows=40)
    (tmp_path / "in" / "_job.json").write_text("{}")
    report = xlc_jobs.run_job(new_worker(), tmp_path / "in", tmp_path / "out", rows_per_part=30)
    assert report.n_parts == 4
    check_rows(tmp_path / "out", embedder)


def test_results_of_a_job_are_the_input_of_another(passages: Path, tmp_path: Path) -> None:
    xlc_jobs.run_job(new_worker(), passages, tmp_path / "one", rows_per_part=50)
    second = new_worker(output="again")
    assert xlc_jobs.run_job(second, tmp_path / "one", tmp_path / "two", keep=["id"]).n_rows == N_ROWS
    assert pq.read_table(tmp_path / "two").column_names == ["id", "again", "again_error"]


def test_errors_are_counted_and_kept(tmp_path: Path) -> None:
    table = pa.table({"text": ["fine", None, "word " * 2000, "fine"]})
    pq.write_table(table, tmp_path / "in.parquet")
    report = xlc_jobs.run_job(new_worker(), tmp_path / "in.parquet", tmp_path / "out", rows_per_part=2)
    assert (report.n_rows, report.n_errors) == (4, 2)
    found = pq.read_table(tmp_path / "out")
    assert found["vector"].is_null().to_pylist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "none"}, "no column 'none'"),
        ({"output": "id"}, "column 'id' already"),
        ({"error_column": "text"}, "column 'text' already"),
    ],
)
def test_columns_are_checked_before_anything_runs(
    options: dict[str, Any], message: str, passages: Path, tmp_path: Path
) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=message):
        xlc_jobs.run_job(new_worker(**options), passages, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_inputs_that_are_not_parquet_are_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    for source, message in ((tmp_path / "a.parquet", "cannot be read"), (tmp_path / "b", "cannot be read")):
        with pytest.raises(xlc.InvalidRequestError, match=message):
            open_inputs(source)
    (tmp_path / "empty").mkdir()
    with pytest.raises(xlc.InvalidRequestError, match=r"no \.parquet file"):
        open_inputs(tmp_path / "empty")


@pytest.mark.parametrize("rows_per_part", [1, 7, 25, 26, 89, 90, 1000])
@pytest.mark.parametrize("group", [10, 25, 90])
def test_pieces_are_the_rows_of_the_file(rows_per_part: int, group: int, tmp_path: Path) -> None:
    files = open_inputs(write_passages(tmp_path / "in.parquet", group=group))
    pieces = list(divide(files, rows_per_part))
    rows = [number for piece in pieces for number in read_piece(piece, ["id"])["id"].to_pylist()]
    assert rows == list(range(N_ROWS))
    assert [piece.number for piece in pieces] == list(range(len(pieces)))


def test_file_without_rows_is_a_job_without_parts(tmp_path: Path) -> None:
    source = write_passages(tmp_path / "in.parquet", n_rows=0)
    assert xlc_jobs.run_job(new_worker(), source, tmp_path / "out").n_parts == 0


def test_foreign_part_is_named(passages: Path, tmp_path: Path) -> None:
    xlc_jobs.run_job(new_worker(), passages, tmp_path / "out", rows_per_part=50)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "out" / "part-000000.parquet")
    with pytest.raises(xlc.InvalidRequestError, match=r"part-000000\.parquet is not a part of this job"):
        JobFolder(tmp_path / "out").report()


def test_manifest_does_not_name_threads(passages: Path, tmp_path: Path) -> None:
    worker = new_worker(engine_options={"n_threads": 1})
    xlc_jobs.run_job(worker, passages, tmp_path / "out", rows_per_part=50)
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert manifest["options"]["engine_options"] == {}
    assert manifest["inputs"][0]["path"] == "in.parquet"
