"""Running a job: in this process, or on a cluster of Ray's."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Protocol

from xlc_core import InvalidRequestError, XllamaError
from xlc_core.models.catalog import resolve
from xlc_core.models.identity import model_identity
from xlc_jobs.folder import JobFolder, JobReport, PartReport
from xlc_jobs.tables import InputFile, Piece, divide, open_inputs, read_piece
from xlc_jobs.worker import Worker

__all__ = ["AT_ONCE", "Backend", "PieceRunner", "identify", "run_job"]

AT_ONCE = 2  # pieces of one worker: while the last rows of one are computed, those of the next fill the engine


class Backend(Protocol):
    """Where a job runs."""

    def connected(self) -> contextlib.AbstractContextManager[None]:
        """Connect to it, and end the connection afterwards."""

    def identify(self, model: str | Path) -> str | None:
        """Fetch a model if it is not there, and return its identity."""

    def run(
        self, runner: PieceRunner, pieces: Sequence[Piece], n_workers: int | None, n_cores: int | None
    ) -> Generator[PartReport, None, None]:
        """Compute pieces, in any order, and yield a report for each that is written."""


class PieceRunner:
    """Computes pieces with one worker, and writes them. Plain data until it is first called.

    Attributes:
        worker: the worker.
        folder: the job's folder.
        columns: the columns of the input that are kept.
        identity: the identity of the model's file on the machine where the job was started.
    """

    def __init__(self, worker: Worker, folder: JobFolder, columns: Sequence[str], identity: str | None) -> None:
        self.worker = worker
        self.folder = folder
        self.columns = tuple(columns)
        self.identity = identity

    def __call__(self, piece: Piece) -> PartReport:
        """Compute and write a piece, unless it is written. Several threads may call this at once."""
        if self.folder.is_done(piece):  # a cluster repeats tasks whose results it lost with a node
            return self.folder.read_report(piece.number)
        table = read_piece(piece, list(dict.fromkeys((*self.columns, *self.worker.inputs))))
        self.worker.engine  # noqa: B018 - loading the model is not a part of the time
        start = time.perf_counter()
        table = self.worker(table)
        seconds = time.perf_counter() - start
        n_errors = table.num_rows - table[self.worker.error_column].null_count
        report = PartReport(table.num_rows, n_errors, seconds)
        self.folder.write(piece, table.select([*self.columns, *self.worker.outputs]), report)
        return report

    def check_model(self) -> None:
        """Fetch the model if this machine does not have it, once for all processes, and compare it with the job's.

        Raises:
            XllamaError: it is another file than the job's.
        """
        if (found := identify(self.worker.model)) != self.identity:
            raise XllamaError(
                f"the model {str(self.worker.model)!r} of this machine is another file ({found}) than that of the job "
                f"({self.identity}); copy the same file to all machines"
            )


def run_job(
    worker: Worker,
    source: str | Path,
    output: str | Path,
    *,
    rows_per_part: int | None = None,
    keep: Sequence[str] | None = None,
    ray: str | None = None,
    n_workers: int | None = None,
    n_cores: int | None = None,
    progress: Callable[[JobReport], object] | None = None,
) -> JobReport:
    """Work on all rows of Parquet files, and write Parquet files into a folder.

    A call with the same arguments goes on where an earlier one ended, for whatever reason; every row is in the output
    exactly once. It may go on in another place: a job that was begun in one process can be ended on a cluster. Blocks
    until the job is done. Two parts of the input at a time are in memory for each engine.

    Args:
        worker: what to do with a row. It is closed at the end.
        source: a Parquet file, or a folder of them. On a cluster all nodes must see it at the same path.
        output: the folder of the results, which the job makes; likewise.
        rows_per_part: rows of each file of the output: what is lost at most when a worker dies. None: 4096, or 256 for
            generation and ranking.
        keep: columns of the input that are kept; None: all.
        ray: the address of a cluster (``"auto"``: the one of this machine); None: one engine in this process.
        n_workers: engines of a cluster; None: as many as it has room for.
        n_cores: cores of each engine; None: those of this machine, and on a cluster 8 or those of its smallest node.
        progress: called with the state of the job after each part, on this thread; None: it is not reported.

    Returns:
        the state of the job at its end.

    Raises:
        InvalidRequestError: the input cannot be read, or the folder has results of other options, another model or
            another input.
        XllamaError: there is no such cluster, or Ray is not installed.
        XllamaError: the errors of opening the model.
    """
    folder = JobFolder(output)
    files = open_inputs(source)
    columns = _kept(worker, files[0], keep)
    if rows_per_part is None:
        rows_per_part = 4096 if worker.kind == "embed" else 256
    if rows_per_part < 1:
        raise InvalidRequestError(f"rows_per_part must be at least 1, got {rows_per_part}")
    pieces = list(divide(files, rows_per_part))
    backend = _backend(ray)
    with backend.connected(), folder.locked(), worker:
        identity = backend.identify(worker.model)
        folder.begin(
            {
                "kind": worker.kind,
                "model": identity,
                "options": worker.settings(),
                "columns": columns,
                "rows_per_part": rows_per_part,
                "n_parts": len(pieces),
                "inputs": [{**dataclasses.asdict(file), "path": Path(file.path).name} for file in files],
            }
        )
        done = folder.done()
        left = [piece for piece in pieces if piece.number not in done]
        state = folder.report()
        runner = PieceRunner(worker, folder, columns, identity)
        with contextlib.closing(backend.run(runner, left, n_workers, n_cores)) as parts:
            for part in parts:
                state = _add(state, part)
                if progress is not None:
                    progress(state)
    return folder.report()


def identify(model: str | Path) -> str | None:
    """Fetch a model if this machine does not have it, once for all its processes, and return its identity."""
    return model_identity(resolve(model).path)


class _Here:
    """This process, with one engine."""

    def connected(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def identify(self, model: str | Path) -> str | None:
        return identify(model)

    def run(
        self, runner: PieceRunner, pieces: Sequence[Piece], n_workers: int | None, n_cores: int | None
    ) -> Generator[PartReport, None, None]:
        if n_workers not in (None, 1):
            raise InvalidRequestError(f"one process has one engine, not {n_workers}; name a cluster with ray")
        if n_cores is not None:
            runner = PieceRunner(runner.worker.with_threads(n_cores), runner.folder, runner.columns, runner.identity)
        waiting = iter(pieces)
        with runner.worker, ThreadPoolExecutor(AT_ONCE) as threads:
            running = {threads.submit(runner, piece) for piece in islice(waiting, AT_ONCE)}
            while running:
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    yield future.result()
                    running.update(threads.submit(runner, piece) for piece in islice(waiting, 1))


def _backend(address: str | None) -> Backend:
    if address is None:
        return _Here()
    try:
        from xlc_jobs.ray_data import Cluster
    except ImportError as error:
        raise XllamaError(str(error)) from error
    return Cluster(address)


def _kept(worker: Worker, file: InputFile, keep: Sequence[str] | None) -> list[str]:
    """Return the columns of the input that the output has."""
    for name in (*worker.inputs, *(keep or ())):
        if name not in file.columns:
            raise InvalidRequestError(f"{file.path} has no column {name!r}; its columns are {', '.join(file.columns)}")
    for name in worker.outputs:
        if name in file.columns:
            raise InvalidRequestError(
                f"{file.path} has a column {name!r} already; choose another name for the results with `output`"
            )
    return list(file.columns) if keep is None else list(keep)


def _add(state: JobReport, part: PartReport) -> JobReport:
    return dataclasses.replace(
        state,
        n_done=state.n_done + 1,
        n_rows=state.n_rows + part.n_rows,
        n_errors=state.n_errors + part.n_errors,
        seconds=state.seconds + part.seconds,
    )
