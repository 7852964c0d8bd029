"""Jobs on a cluster of which workers are killed and nodes go away: every row once, with one process's vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from ray.data.checkpoint import CheckpointConfig

import xlc_core as xlc
import xlc_jobs
from helpers.ray_workers import processes
from helpers.waiting import wait_until
from xlc_jobs.ray_data import map_dataset, plan_cluster

# Ray leaves files and sockets to the end of the process, and warns about its own future.
pytestmark = pytest.mark.filterwarnings("default")

N_ROWS = 600
SMALL = {"n_ctx": 512, "n_parallel": 4}


def write_passages(path: Path, n_rows: int = N_ROWS) -> Path:
    texts = [f"passage {number} of {'many ' * (number % 9)}things" for number in range(n_rows)]
    pq.write_table(pa.table({"id": list(range(n_rows)), "text": texts}), path)
    return path


def check_vectors(folder: Path, embedder: xlc.Engine, n_rows: int = N_ROWS) -> None:
    table = pq.read_table(folder).sort_by("id")
    assert table["id"].to_pylist() == list(range(n_rows))
    expected = embedder.embed(table["text"].to_pylist())
    np.testing.assert_allclose(np.stack(table["vector"].to_numpy()), expected, atol=1e-3)


def test_killed_worker_and_removed_node_lose_nothing(nodes: Any, tmp_path: Path, embedder: xlc.Engine) -> None:
    source = write_passages(tmp_path / "in.parquet")
    events: list[str] = []

    def disturb(state: xlc_jobs.JobReport) -> None:
        if state.n_done >= 3 and "killed" not in events:
            workers = processes("_PieceActor") or processes("MapWorker")
            assert workers
            workers[0].kill()
            events.append("killed")
        if state.n_done >= 10 and "removed" not in events:
            nodes.add_node(num_cpus=1, object_store_memory=80 << 20)
            nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
            events.append("removed")

    report = xlc_jobs.run_job(
        xlc_jobs.Embed("all-minilm-l6-v2"),
        source,
        tmp_path / "out",
        rows_per_part=10,
        ray=nodes.address,
        progress=disturb,
    )
    assert events == ["killed", "removed"]
    assert (report.n_done, report.n_rows, report.n_errors) == (60, N_ROWS, 0)
    check_vectors(tmp_path / "out", embedder)


def test_job_goes_on_in_another_place(nodes: Any, tmp_path: Path, embedder: xlc.Engine) -> None:
    class StoppedError(Exception):
        pass

    def stop(state: xlc_jobs.JobReport) -> None:
        raise StoppedError

    source = write_passages(tmp_path / "in.parquet", 60)
    worker = xlc_jobs.Embed("all-minilm-l6-v2")
    with pytest.raises(StoppedError):
        xlc_jobs.run_job(worker, source, tmp_path / "out", rows_per_part=20, progress=stop)
    assert xlc_jobs.run_job(worker, source, tmp_path / "out", rows_per_part=20, ray=nodes.address).n_rows == 60
    check_vectors(tmp_path / "out", embedder, 60)


def test_errors_of_workers_are_ours(nodes: Any, tmp_path: Path) -> None:
    source = write_passages(tmp_path / "in.parquet", 20)
    with pytest.raises(xlc.ModelNotFoundError, match="no-such-model"):
        xlc_jobs.run_job(xlc_jobs.Embed("no-such-model"), source, tmp_path / "a", ray=nodes.address)
    with pytest.raises(xlc.InvalidRequestError, match="no node has"):
        xlc_jobs.run_job(xlc_jobs.Embed("all-minilm-l6-v2"), source, tmp_path / "b", ray=nodes.address, n_cores=64)


def test_plan_is_one_engine_for_each_core(nodes: Any) -> None:
    plan = plan_cluster(xlc_jobs.Embed("all-minilm-l6-v2"))
    assert (plan.n_workers, plan.n_cores) == (3, 1)
    assert plan_cluster(xlc_jobs.Embed("all-minilm-l6-v2"), n_reserved=1).n_workers == 2


def test_plan_does_not_count_lost_node(nodes: Any) -> None:
    """Also before Ray has noticed that it is lost."""
    nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
    assert plan_cluster(xlc_jobs.Embed("all-minilm-l6-v2")).n_workers == 2
    nodes.add_node(num_cpus=1, object_store_memory=80 << 20)


def test_reading_goes_on_when_lost_engine_takes_its_core(nodes: Any) -> None:
    """The engine of a lost node starts again on the core of reading, which waits while nobody takes the rows."""

    def as_passage(row: dict[str, Any]) -> dict[str, Any]:
        return {"id": row["id"], "text": f"passage {row['id']}", "ballast": bytes(3 << 20)}

    def n_engines() -> int:
        return len(processes("_BatchActor") or processes("MapWorker"))

    n_rows = 80
    dataset = ray.data.range(n_rows, override_num_blocks=n_rows).map(as_passage)
    rows = iter(map_dataset(dataset, xlc_jobs.Embed("all-minilm-l6-v2"), batch_size=1).iter_rows())
    seen = [next(rows)["id"]]
    assert wait_until(lambda: n_engines() == 2)
    nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
    assert wait_until(lambda: sum(node["Alive"] for node in ray.nodes()) == 2)
    wait_until(lambda: n_engines() == 2)  # if it is not closed before, because it has nothing to do
    assert sorted([*seen, *(row["id"] for row in rows)]) == list(range(n_rows))
    nodes.add_node(num_cpus=1, object_store_memory=80 << 20)


def test_answers_of_a_dataset_match_their_schemas(nodes: Any, tmp_path: Path) -> None:
    rules = [json.dumps([f"yes {number}", f"no {number}"]) for number in range(60)]
    dataset = ray.data.from_arrow(
        pa.table({"id": list(range(60)), "prompt": [f"Is {n} odd?" for n in range(60)], "rule": rules})
    ).repartition(12)
    worker = xlc_jobs.Generate("smollm2-135m-instruct", constraint_column="rule", temperature=0, engine_options=SMALL)
    map_dataset(dataset, worker, batch_size=5).write_parquet(str(tmp_path / "out"))
    rows = pq.read_table(tmp_path / "out").sort_by("id").to_pylist()
    assert [row["id"] for row in rows] == list(range(60))
    for row in rows:
        assert row["answer"] in json.loads(row["rule"]), row["answer_error"]


def test_checkpoint_of_ray_data_keeps_every_row_once(nodes: Any, tmp_path: Path, embedder: xlc.Engine) -> None:
    mark = tmp_path / "mark"

    def fail_once(batch: Any) -> Any:
        """Fail the job at the first sight of a row, as a lost cluster would."""
        if 45 in batch["id"].to_pylist() and not mark.exists():
            mark.touch()
            raise RuntimeError("the cluster is lost")
        return batch

    (tmp_path / "in").mkdir()
    for number in range(6):
        texts = [f"text {row}" for row in range(number * 10, number * 10 + 10)]
        table = pa.table({"id": list(range(number * 10, number * 10 + 10)), "text": texts})
        pq.write_table(table, tmp_path / "in" / f"{number}.parquet")
    context = ray.data.DataContext.get_current()
    context.checkpoint_config = CheckpointConfig(id_column="id", checkpoint_path=str(tmp_path / "checkpoint"))
    context.max_errored_blocks = 0
    try:

        def run() -> None:
            dataset = ray.data.read_parquet(str(tmp_path / "in"), override_num_blocks=6)
            vectors = map_dataset(dataset, xlc_jobs.Embed("all-minilm-l6-v2"), batch_size=10, n_workers=1)
            late = vectors.map_batches(fail_once, batch_format="pyarrow", num_cpus=0)
            late.write_parquet(str(tmp_path / "out"))

        with pytest.raises(Exception, match="the cluster is lost"):
            run()
        run()
    finally:
        context.checkpoint_config = None
    check_vectors(tmp_path / "out", embedder, 60)
