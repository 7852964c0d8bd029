"""docs/jobs.md as a reader's program: a job on files, and Spark, Dask and Daft with the same classes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import xlc_core as xlc
import xlc_jobs
from helpers.document_blocks import blocks_of, write_small_catalog

PAGE = Path(__file__).parents[3] / "docs" / "jobs.md"
FOLDERS = ["vectors", "spark-vectors", "dask-vectors", "daft-vectors"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the page's program has run. Spark sends its functions to other processes."""
    folder = tmp_path_factory.mktemp("reader")
    catalog = write_small_catalog(tmp_path_factory.mktemp("catalog"))
    program = folder / "page.py"
    program.write_text("\n\n".join(block.code for block in blocks_of(PAGE) if block.is_run), "utf-8")
    environment = {**os.environ, "XLLAMA_CATALOG": str(catalog), "DO_NOT_TRACK": "1", "DAFT_ANALYTICS_ENABLED": "0"}
    environment |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(
        [sys.executable, program], cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", FOLDERS)
def test_every_row_has_its_vector(folder: Path, embedder: xlc.Engine, name: str) -> None:
    table = pq.read_table(folder / name)
    texts = pq.read_table(folder / "passages.parquet")
    expected = embedder.embed(texts["text"].to_pylist())
    if "id" in table.column_names:
        table = table.sort_by("id")
        assert table["id"].to_pylist() == texts["id"].to_pylist()
    np.testing.assert_allclose(np.stack(table["vector"].to_numpy()), expected, atol=1e-3)


def test_dask_partition_may_be_empty_and_a_text_missing(embedder: xlc.Engine) -> None:
    """As reports against other models' functions have it: dask-ml's 911 and xgboost's 9318."""
    import dask.dataframe as dd

    embed = xlc_jobs.Embed("all-minilm-l6-v2", engine_options={"n_threads": 1})
    frame = dd.from_pandas(pd.DataFrame({"id": range(6), "text": ["a", None, "b", "c", "d", "e"]}), npartitions=3)
    meta = {**frame.dtypes, "vector": pd.ArrowDtype(pa.list_(pa.float32())), "vector_error": "str"}
    found = frame[frame.id < 3].map_partitions(embed, meta=meta).compute()
    assert list(found["id"]) == [0, 1, 2]
    assert [reason is None or pd.isna(reason) for reason in found["vector_error"]] == [True, False, True]
    assert len(found["vector"].iloc[2]) == embedder.info.n_embd


def test_daft_batch_may_be_empty_and_a_text_missing(embedder: xlc.Engine) -> None:
    """As Daft's 5793 has it: batches that a filter has emptied."""
    import daft

    embed = xlc_jobs.Embed("all-minilm-l6-v2", engine_options={"n_threads": 1})

    @daft.func.batch(return_dtype=daft.DataType.list(daft.DataType.float32()))
    def vectors(text: daft.Series) -> pa.Array:
        return embed(pa.table({"text": text.to_arrow()}))["vector"].combine_chunks()

    frame = daft.from_pydict({"id": [1, 2, 3], "text": ["a", None, "b"]})
    kept = frame.where(daft.col("id") > 1).with_column("vector", vectors(daft.col("text"))).to_pydict()
    assert [vector is None for vector in kept["vector"]] == [True, False]
    none = frame.where(daft.col("id") > 9).with_column("vector", vectors(daft.col("text"))).to_pydict()
    assert none["vector"] == []
