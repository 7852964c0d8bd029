"""The base of the classes that work on batches of a table's rows."""

from __future__ import annotations

import abc
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from pydantic import BaseModel
from typing_extensions import Self

from xlc_core import (
    Constraint,
    Engine,
    EngineFailedError,
    EngineLease,
    EngineOptions,
    InvalidRequestError,
    RequestTimeoutError,
    acquire_engine,
)
from xlc_jobs.columns import Column, Texts, add_columns, read_column

__all__ = ["Failure", "Worker", "described", "failures", "require_one_that_ran"]

_STATE = frozenset({"_lock", "_lease", "_threads"})
# Options of an engine that do not change results, or only as much as another machine does.
_WITHOUT_EFFECT = frozenset(
    {
        *("n_parallel", "n_ctx_total", "n_batch", "n_ubatch", "n_batch_retrieval", "n_threads", "n_threads_batch"),
        *("device", "n_gpu_layers", "main_gpu", "split_mode", "tensor_split", "use_mmap", "use_mlock"),
        *("cache_ram_mib", "kv_unified", "sleep_after", "warmup"),
    }
)

_Row = TypeVar("_Row")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Failure:
    """Why a row does not have a result.

    Attributes:
        reason: the message.
        cause: the error, if llama.cpp failed.
    """

    reason: str
    cause: EngineFailedError | None = None


class Worker(abc.ABC):
    """Base of Embed, Generate, Rerank and Classify: a callable that adds columns to a batch of rows.

    It is plain data until it is first called: it can be pickled, and opens the model in the process that calls it.
    Workers of one process with the same model and options share it. Several threads may call one worker; their rows are
    computed together. A row that cannot be computed does not stop the others: its result is missing, and the column of
    errors says why.

    Args:
        model: the model's name or path.
        output: the name of the first column that is added.
        error_column: the name of the column of errors; None: ``output`` and ``_error``.
        engine_options: fields of EngineOptions; None: their defaults.

    Attributes:
        kind: the kind of job.
        model: the model's name or path.
        output: the name of the first column that is added.
        error_column: the column of errors: a text, or None in rows with a result.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        model: str | Path,
        *,
        output: str,
        error_column: str | None,
        engine_options: Mapping[str, Any] | None,
    ) -> None:
        self.model = model
        self.output = output
        self.error_column = f"{output}_error" if error_column is None else error_column
        self._engine_options = EngineOptions.checked(model=model, **dict(engine_options or {}))
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._lease: EngineLease | None = None
        self._threads: ThreadPoolExecutor | None = None

    @property
    @abc.abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """The columns that it reads."""

    @property
    @abc.abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """The columns that it adds."""

    @abc.abstractmethod
    def _columns(self, rows: Sequence[Any]) -> dict[str, Column]:
        """Return the columns to add, for the values of ``inputs`` in each row."""

    @abc.abstractmethod
    def _check_engine(self, engine: Engine) -> None:
        """Check that the model can do the work at all, so that not every row gets the same error."""

    def __call__(self, batch: Any) -> Any:
        """Return the batch with the columns of results and of errors.

        Args:
            batch: a mapping of names to arrays or lists, a pyarrow table, or a pandas frame.

        Returns:
            the same form. Vectors are arrays (rows, dimensions) in a mapping, lists of fixed size in a pyarrow table,
            and arrays in a frame. The vector of a row with an error is NaN in a mapping, or 0 if its numbers are
            integers; else null.

        Raises:
            InvalidRequestError: a column is missing, or there is one already of a name that would be added.
            UnsupportedFeatureError: the model cannot do this work.
            EngineFailedError: llama.cpp failed for every row.
            XllamaError: the errors of opening the engine.
        """
        rows = list(zip(*[read_column(batch, name) for name in self.inputs], strict=True))
        return add_columns(batch, self._columns(rows))

    @property
    def engine(self) -> Engine:
        """The engine, which is opened when it is first asked for, and then checked with a small piece of work.

        Raises:
            UnsupportedFeatureError: the model cannot do this work.
            XllamaError: the errors of opening the engine.
        """
        with self._lock:
            if self._lease is None:
                lease = acquire_engine(self._engine_options, progress=False)
                try:
                    self._check_engine(lease.engine)
                except BaseException:
                    lease.release()
                    raise
                self._lease = lease
            return self._lease.engine

    def with_threads(self, n_threads: int) -> Self:
        """Return a worker whose engine computes with so many threads, unless its options name a number.

        Args:
            n_threads: the number of threads, as ``n_threads`` of EngineOptions.
        """
        if self._engine_options.n_threads is not None:
            return self
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__getstate__())
        copy._engine_options = self._engine_options.model_copy(update={"n_threads": n_threads})
        copy._start()
        return copy

    @property
    def engine_options(self) -> EngineOptions:
        """The options with which the engine is opened."""
        return self._engine_options

    def settings(self) -> dict[str, Any]:
        """Return the options that results depend on, for a job's manifest. Threads and memory do not change them."""
        own = {
            name: described(value)
            for name, value in vars(self).items()
            if name not in {"model", "_engine_options", "_options", *_STATE}
        }
        engine = self._engine_options.model_dump(exclude_defaults=True, exclude={"model", *_WITHOUT_EFFECT})
        return {**own, "engine_options": described(engine)}

    def close(self) -> None:
        """Release the engine. A later call opens it again. Idempotent."""
        with self._lock:
            lease, self._lease = self._lease, None
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown()
        if lease is not None:
            lease.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _STATE}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def _each(self, answer: Callable[[_Row], _Result], rows: Iterable[_Row]) -> list[_Result | Failure]:
        """Return the result of each row, or why it failed; as many at once as keep the engine busy.

        All calls of this worker share the threads, so that the rows of the next batch fill the slots that become free
        at the end of this one.
        """
        rows = list(rows)
        n_slots = max(1, self.engine.info.n_parallel)
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(2 * n_slots, thread_name_prefix="xllama-job")
            futures = [self._threads.submit(answer, row) for row in rows]
        try:
            results = [_outcome(future.result, answer, row) for future, row in zip(futures, rows, strict=True)]
        finally:
            for future in futures:
                future.cancel()
        require_one_that_ran(results)
        return results


def _outcome(first: Callable[[], _Result], answer: Callable[[_Row], _Result], row: _Row) -> _Result | Failure:
    """Return a row's result or failure. If llama.cpp failed, perhaps because of another row, it is tried again."""
    try:
        try:
            return first()
        except EngineFailedError:
            return answer(row)
    except (InvalidRequestError, RequestTimeoutError) as error:
        return Failure(str(error))
    except EngineFailedError as error:
        return Failure(str(error), cause=error)


def require_one_that_ran(results: Sequence[Any]) -> None:
    """Raise llama.cpp's error if it failed for every row: then the engine is at fault, and another may do better."""
    causes = [result.cause if isinstance(result, Failure) else None for result in results]
    if causes and causes[0] is not None and None not in causes:
        raise causes[0]


def failures(results: Iterable[Any]) -> Texts:
    """Return the column of errors for the results of rows."""
    return Texts([result.reason if isinstance(result, Failure) else None for result in results])


def described(value: Any) -> Any:
    """Return a value as JSON can express it, so that equal texts mean equal options."""
    if isinstance(value, BaseModel):
        return {name: described(part) for name, part in value.model_dump(exclude_defaults=True).items()}
    if isinstance(value, Constraint):
        return list(value.grammar())
    if isinstance(value, Mapping):
        return {str(key): described(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [described(part) for part in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
