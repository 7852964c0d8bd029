"""Jobs on a cluster of several Ray nodes on this machine: speed beside one engine, and what disturbances cost.

It embeds passages with one engine of all cores, then with a worker for each core; then once more, while a worker is
killed and a node removed; and generates rows under a schema likewise. Each time it checks that every row is there once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.cluster_utils import Cluster
from settings import Settings
from tables import write_section

import xlc_core as xlc
import xlc_jobs
from xlc_core.hardware import available_cores

STORE = 80 << 20
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "green", "blue"]}, "size": {"type": "integer", "maximum": 99}},
    "required": ["colour", "size"],
    "additionalProperties": False,
}
WORDS = (
    *("river", "stone", "market", "engine", "winter", "letter", "garden", "signal", "copper", "harbour"),
    *("window", "travel", "number", "silence", "forest", "doctor", "paper", "bridge", "morning", "village"),
    *("answer", "machine", "thunder", "kitchen", "history", "shadow", "journey", "island", "pattern"),
    *("worker"),
)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=20_000, help="texts of 20 to 120 words; default: 20000")
    parser.add_argument("--answers", type=int, default=500, help="rows to generate; default: 500")
    parser.add_argument("--model", default="all-minilm-l6-v2", help="of the passages; default: all-minilm-l6-v2")
    parser.add_argument("--chat-model", default="smollm2-135m-instruct", help="default: smollm2-135m-instruct")
    parser.add_argument("--quick", action="store_true", help="400 passages and 40 answers: does everything run?")
    parser.add_argument("--write", type=Path, help="put the table into this document, in place of the old one")
    options = parser.parse_args()
    if options.quick:
        options.passages, options.answers = 400, 40
    return options


def write_inputs(folder: Path, n_passages: int, n_answers: int) -> None:
    chance = random.Random(1)
    texts = [" ".join(chance.choices(WORDS, k=chance.randint(20, 120))) for _ in range(n_passages)]
    pq.write_table(pa.table({"id": range(n_passages), "text": texts}), folder / "passages.parquet")
    prompts = [f"Describe a {WORDS[number % len(WORDS)]} number {number} as JSON." for number in range(n_answers)]
    pq.write_table(pa.table({"id": range(n_answers), "prompt": prompts}), folder / "prompts.parquet")


def start_cluster(n_nodes: int) -> Any:
    """Start a head without cores and nodes of one core each, so that the engines have as many as one alone."""
    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(n_nodes):
        cluster.add_node(num_cpus=1, object_store_memory=STORE)
    ray.init(cluster.address, log_to_driver=False, logging_level="warning")
    return cluster


def disturbance(cluster: Any, n_parts: int) -> tuple[Callable[[xlc_jobs.JobReport], None], list[str]]:
    """Return a function that kills a worker after a quarter of the parts, and replaces a node after a half."""
    done: list[str] = []

    def disturb(state: xlc_jobs.JobReport) -> None:
        if state.n_done >= n_parts // 4 and not done:
            children = psutil.Process().children(recursive=True)
            workers = [child for child in children if child.is_running() and "_PieceActor" in " ".join(child.cmdline())]
            workers[0].kill()
            done.append("a worker killed")
        elif state.n_done >= n_parts // 2 and len(done) == 1:
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            cluster.add_node(num_cpus=1, object_store_memory=STORE)
            done.append("a node replaced")

    return disturb, done


class Measured:
    """The time of a job between its first part and its last, so that the start of processes does not count."""

    def __init__(self, then: Callable[[xlc_jobs.JobReport], None] | None = None) -> None:
        self._then = then
        self._states: list[tuple[float, int]] = []

    def __call__(self, state: xlc_jobs.JobReport) -> None:
        """Take the state after a part."""
        self._states.append((time.perf_counter(), state.n_rows))
        if self._then is not None:
            self._then(state)

    @property
    def rate(self) -> float:
        """Rows per second."""
        (start, n_first), (end, n_last) = self._states[0], self._states[-1]
        return (n_last - n_first) / (end - start)


def check_ids(folder: Path, n_rows: int) -> Any:
    table = pq.read_table(folder).sort_by("id")
    assert table["id"].to_pylist() == list(range(n_rows)), f"{folder.name}: rows are missing or there twice"
    return table


def measure(options: argparse.Namespace, folder: Path) -> list[str]:
    n_cores, n_passages, n_answers = available_cores(), options.passages, options.answers
    rows_per_part = max(10, n_passages // 40)
    embed = xlc_jobs.Embed(options.model)
    generate = xlc_jobs.Generate(
        options.chat_model,
        constraint=xlc.JsonSchema(SCHEMA),
        temperature=0,
        max_tokens=60,
        engine_options={"n_ctx": 512},
    )
    lines = ["| job | rows per second |", "| --- | --- |"]

    def run(
        name: str, worker: xlc_jobs.Worker, source: str, n_rows: int, rows: int, then: Any = None, **how: Any
    ) -> Any:
        timer = Measured(then)
        xlc_jobs.run_job(worker, folder / source, folder / name, rows_per_part=rows, progress=timer, **how)
        lines.append(f"| {name} | {timer.rate:.1f} |")
        print(lines[-1], flush=True)
        return check_ids(folder / name, n_rows), timer.rate

    embedding = (embed, "passages.parquet", n_passages, rows_per_part)
    alone, one_rate = run(f"{n_passages} passages, one engine with {n_cores} cores", *embedding)
    cluster = start_cluster(n_cores)
    try:
        address = {"ray": cluster.address}
        _, rate = run(f"{n_passages} passages, {n_cores} workers with a core each", *embedding, **address)
        disturb, done = disturbance(cluster, -(-n_passages // rows_per_part))
        shaken, _ = run(f"{n_passages} passages, disturbed", *embedding, disturb, **address)
        least = np.sum(np.stack(alone["vector"].to_numpy()) * np.stack(shaken["vector"].to_numpy()), axis=1).min()
        rows_of_answers = max(5, n_answers // 20)
        disturb, then_done = disturbance(cluster, -(-n_answers // rows_of_answers))
        answers, _ = run(
            f"{n_answers} answers, disturbed",
            generate,
            "prompts.parquet",
            n_answers,
            rows_of_answers,
            disturb,
            **address,
        )
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert answers["answer_error"].null_count == n_answers
    for answer in answers["answer"].to_pylist():
        assert set(json.loads(answer)) == {"colour", "size"}
    text = (
        f"The workers together have {rate / one_rate:.2f} times the speed of one engine. Disturbances of the passages: "
        f"{', '.join(done)}; of the answers: {', '.join(then_done)}. Every row was there once. The least cosine of a "
        f"disturbed job's vector with that of one process is {least:.7f}. {Settings().machine}"
    )
    return [*lines, "", textwrap.fill(text, 118)]


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(Path(folder), options.passages, options.answers)
        lines = measure(options, Path(folder))
    print("\n".join(lines))
    if options.write is not None:
        write_section(options.write, "ray_jobs.py", "\n".join(lines))


if __name__ == "__main__":
    main()
