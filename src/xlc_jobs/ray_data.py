"""Workers on Ray Data: one engine in each actor, and jobs on files with the machines of a cluster."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

try:
    import ray
    import ray.data
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise ImportError("jobs on a cluster need Ray: pip install 'xllama[ray]'") from error

from xlc_core import Engine, EngineOptions, XllamaError
from xlc_jobs.folder import PartReport
from xlc_jobs.planning import WorkerPlan, plan_workers
from xlc_jobs.running import AT_ONCE, PieceRunner, identify
from xlc_jobs.tables import Piece
from xlc_jobs.worker import Worker

__all__ = ["Cluster", "map_dataset", "plan_cluster"]

_BESIDE_ENGINE = 512 << 20  # bytes of Python, its packages, and a batch's tables
_BLOCKS = 16  # for each worker: neighbouring pieces, which read the same row groups; few, so that all end together
_PATIENCE = 60.0  # seconds for a node to answer; Ray notices a lost one in less
_QUEUED = 2 * AT_ONCE  # tasks of an actor that run or whose input is on its way


def map_dataset(
    dataset: Any,
    worker: Worker,
    *,
    batch_size: int | None = None,
    n_workers: int | None = None,
    n_cores: int | None = None,
) -> Any:
    """Return a dataset with the columns that a worker adds, computed by actors that each have an engine.

    Two batches run in an actor at once, so that the engine has work while one ends and the next is fetched. With
    ``ray.data.checkpoint.CheckpointConfig`` in the ``DataContext``, rows that were written are not computed again.
    One core of the cluster is left to reading and writing. If nodes go away, engines that then have nothing to do are
    closed until reading has a core again; two cores must be left.

    Args:
        dataset: a ``ray.data.Dataset``.
        worker: what to do with a row.
        batch_size: rows that an actor gets at once; None: 1024 for vectors, else 128.
        n_workers: actors; None: as many as the cluster has cores and memory for.
        n_cores: cores of each actor; None: at most 8, as many as leave few cores idle.

    Raises:
        InvalidRequestError: no node has room for an engine.
        XllamaError: the errors of finding the model.
    """
    plan = plan_cluster(worker, n_workers=n_workers, n_cores=n_cores, n_reserved=1)
    return dataset.map_batches(
        _BatchActor,
        fn_constructor_args=(worker.with_threads(plan.n_cores),),
        batch_size=batch_size or (1024 if worker.kind == "embed" else 128),
        batch_format="pyarrow",
        **_resources(plan, n_least=1),
    )


def plan_cluster(
    worker: Worker, *, n_workers: int | None = None, n_cores: int | None = None, n_reserved: int = 0
) -> WorkerPlan:
    """Choose the number of engines for the nodes of the cluster; one of them fetches the model to see its size.

    Nodes are counted that answer. Ray takes some seconds to notice that a node is lost, for which this waits.

    Args:
        worker: what is to be done.
        n_workers: number of engines; None: as many as there is room for.
        n_cores: cores of each; None: see plan_workers.
        n_reserved: cores of the largest node that are left to other work.

    Raises:
        InvalidRequestError: no node has room for an engine.
        XllamaError: the errors of finding the model.
    """
    with _own_errors():
        memory = ray.get(_remote(_needed_memory).remote(worker.engine_options))
    sizes = sorted((node.get("CPU", 0), node.get("memory", 0)) for node in _answering_nodes())
    if sizes:
        sizes[-1] = (sizes[-1][0] - n_reserved, sizes[-1][1])
    return plan_workers(sizes, memory, n_cores=n_cores, n_workers=n_workers)


class Cluster:
    """A cluster on which run_job works. It is connected to for this if the program is not."""

    def __init__(self, address: str) -> None:
        self._address = address

    @contextlib.contextmanager
    def connected(self) -> Iterator[None]:
        """Connect, and end the connection afterwards if it is new."""
        if ray.is_initialized():
            yield
            return
        try:
            ray.init(self._address, log_to_driver=False, logging_level="warning")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise XllamaError(f"there is no Ray cluster at {self._address!r}: {error}") from error
        try:
            yield
        finally:
            ray.shutdown()

    def identify(self, model: str | Path) -> str | None:
        """Fetch the model on a node, and return its identity."""
        with _own_errors():
            found: str | None = ray.get(_remote(identify).remote(model))
        return found

    def run(
        self, runner: PieceRunner, pieces: Sequence[Piece], n_workers: int | None, n_cores: int | None
    ) -> Generator[PartReport, None, None]:
        """Compute pieces with actors, in any order, and yield a report for each that is written."""
        if not pieces:
            return
        n_workers = min(n_workers or len(pieces), len(pieces))
        plan = plan_cluster(runner.worker, n_workers=n_workers, n_cores=n_cores)
        runner = PieceRunner(runner.worker.with_threads(plan.n_cores), runner.folder, runner.columns, runner.identity)
        context = ray.data.DataContext.get_current()
        shown, context.enable_progress_bars = context.enable_progress_bars, False
        try:
            n_blocks = min(len(pieces), _BLOCKS * plan.n_workers)
            rows = ray.data.from_items([dataclasses.asdict(piece) for piece in pieces], override_num_blocks=n_blocks)
            actors = _resources(plan, n_least=plan.n_workers)
            reports = rows.map(_PieceActor, fn_constructor_args=(runner,), **actors)
            with _own_errors():
                for report in reports.iter_rows():
                    yield PartReport(**report)
        finally:
            context.enable_progress_bars = shown


class _BatchActor:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        worker.engine  # noqa: B018 - the model is loaded before the first batch comes

    def __call__(self, batch: Any) -> Any:
        return self._worker(batch)


class _PieceActor:
    def __init__(self, runner: PieceRunner) -> None:
        self._runner = runner
        runner.check_model()
        runner.worker.engine  # noqa: B018

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return dataclasses.asdict(self._runner(Piece(**row)))


def _resources(plan: WorkerPlan, *, n_least: int) -> dict[str, Any]:
    """Return the arguments of Ray Data that a plan means. Idle actors are closed if there are more than the least."""
    return {
        "num_cpus": plan.n_cores,
        "memory": plan.memory,
        "compute": ray.data.ActorPoolStrategy(
            min_size=n_least,
            max_size=plan.n_workers,
            initial_size=plan.n_workers,
            max_tasks_in_flight_per_actor=_QUEUED,
            max_concurrent_calls_per_actor=AT_ONCE,
            enable_true_multi_threading=True,
        ),
    }


def _remote(function: Any) -> Any:
    return ray.remote(num_cpus=0)(function)


def _answering_nodes() -> list[dict[str, float]]:
    """Return the resources of the nodes on which a task runs."""
    nodes = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
    asked = {
        _remote(_nothing)
        .options(max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(name, soft=False))
        .remote(): name
        for name in nodes
    }
    ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE)
    return [nodes[name] for task, name in asked.items() if _has_answered(task)]


def _has_answered(task: Any) -> bool:
    try:
        ray.get(task, timeout=0)
    except ray.exceptions.RayError:  # the node is lost, or did not answer in time
        return False
    return True


def _nothing() -> None:
    pass


def _needed_memory(options: EngineOptions) -> int:
    return Engine.estimate(options).total + _BESIDE_ENGINE


@contextlib.contextmanager
def _own_errors() -> Iterator[None]:
    """Raise the error of ours that ended a task or an actor, instead of Ray's around it."""
    try:
        yield
    except ray.exceptions.RayError as error:
        cause: BaseException | None = error
        while cause is not None and (not isinstance(cause, XllamaError) or isinstance(cause, ray.exceptions.RayError)):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if cause is None:
            raise
        raise cause from None
