"""Runs contenders in turns, each in its own process, and repeats measurements that other programs disturbed."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from peers import CACHE, HERE, UnavailableError, interpreter, version_of
from settings import Settings

ANSWER_TIMEOUT = 1800  # seconds for loading or for one measurement

_numbers = itertools.count()

# The result of one measurement: "wall" is the figure, "timings" the peer's own figure if it has one.
Measurement = dict[str, Any]


class Worker:
    """A running script of workers/: a peer that has loaded its models and measures on command."""

    def __init__(
        self, python: Path, script: str, settings: dict[str, Any], environment: dict[str, str] | None = None
    ) -> None:
        """Start it. ``environment`` is added to this process's."""
        logs = CACHE / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self._name = script
        self._log = logs / f"{script}-{next(_numbers)}.log"
        with self._log.open("w") as log:
            try:
                self._process = subprocess.Popen(
                    [str(python), str(HERE / "workers" / f"{script}.py")],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={**os.environ, **(environment or {})},
                    text=True,
                    encoding="utf-8",
                )
            except OSError as error:
                raise UnavailableError(f"{script} does not start: {error.strerror}") from None
        try:
            self._answer(settings)
        except UnavailableError:
            self.close()
            raise

    def __call__(self, task: str) -> Measurement:
        """Measure.

        Raises:
            UnavailableError: the worker reports an error or has died.
        """
        return self._answer({"task": task})

    def _answer(self, command: dict[str, Any]) -> Measurement:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(ANSWER_TIMEOUT, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            raise UnavailableError(f"{self._name} ended with code {process.wait()}: {self._last_words()}")
        answer: Measurement = json.loads(line)
        if "error" in answer:
            raise UnavailableError(answer["error"])
        return answer

    def _last_words(self) -> str:
        lines = self._log.read_text("utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "no message"

    def close(self) -> None:
        """End the process."""
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass
class Contender:
    """A row of a table, and its measurements, one per round.

    Attributes:
        name: its name in the table.
        measure: runs it once.
        target: the expected ratio to the first row, if any.
        error: why it is skipped.
        warm_up: runs before the first round; None: one measurement more, which does not count.
        rounds: measurements, in the order of the rounds.
    """

    name: str
    measure: Callable[[], Measurement]
    target: float | None = None
    error: str = ""
    warm_up: Callable[[], object] | None = None
    rounds: list[Measurement] = field(default_factory=list)

    def figures(self, key: str) -> list[float]:
        """Return one figure of every round."""
        return [round_[key] for round_ in self.rounds if key in round_]


def unavailable(name: str, error: object, target: float | None = None) -> Contender:
    """Return a row that says why it has no figures."""
    return Contender(name, dict, target, error=str(error))


class Peer:
    """A worker and its name, or the reason why it does not run. Makes rows in both cases."""

    def __init__(self, peer: str, script: str, work: dict[str, Any], settings: Settings) -> None:
        """Install the peer if needed and start its worker.

        Args:
            peer: a key of peers.REQUIREMENTS; empty for xllama itself, which this interpreter has.
            script: a script of workers/.
            work: the worker's settings.
            settings: names existing interpreters.
        """
        self.worker: Worker | None = None
        self.name = peer
        self.error = ""
        try:
            python = Path(sys.executable)
            if peer:
                python = interpreter(peer, settings.ready_peers)
                self.name = f"{peer} {version_of(python, peer)}".strip()
            self.worker = Worker(python, script, work)
        except UnavailableError as error:
            self.error = str(error)

    def row(self, name: str, task: str, target: float | None = None, *, warm_up: str = "") -> Contender:
        """Return a row for a task, named after the peer and ``name``. ``warm_up`` is a task too (default: the same)."""
        if self.worker is None:
            return unavailable(self.name + name, self.error, target)
        worker = self.worker
        return Contender(self.name + name, lambda: worker(task), target, warm_up=lambda: worker(warm_up or task))

    def close(self) -> None:
        """End the worker."""
        if self.worker is not None:
            self.worker.close()


def run_rounds(contenders: list[Contender], n_rounds: int, others_limit: float, retries: int) -> None:
    """Measure A B C …, B C … A, C … A B, so that drift of the machine affects all alike.

    Args:
        contenders: the rows; a row that fails is skipped from then on.
        n_rounds: rounds that count. One round before them warms up.
        others_limit: a measurement is repeated if other programs took more than this share of the processors.
        retries: how often it is repeated; the least disturbed try counts.
    """
    for number in range(-1, n_rounds):
        first = number % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            if contender.error:
                continue
            try:
                if number < 0:
                    (contender.warm_up or contender.measure)()
                    continue
                measurement = _least_disturbed(contender.measure, others_limit, retries)
            except UnavailableError as error:
                contender.error = str(error)
                continue
            contender.rounds.append(measurement)
            _report(contender.name, number, measurement)


@dataclass(frozen=True)
class Task:
    """A measurement of several builds, or of one build with several environments.

    Attributes:
        title: its heading.
        unit: of the figures.
        script: a script of workers/.
        work: the worker's settings.
        name: the worker's task.
        warm_up: its task before the first round.
    """

    title: str
    unit: str
    script: str
    work: dict[str, Any]
    name: str
    warm_up: str

    def measure(self, variants: dict[str, tuple[Path, dict[str, str]]], settings: Settings) -> list[Contender]:
        """Measure in turns, each variant in a process of its own. Only they are open meanwhile.

        Args:
            variants: interpreter, and what is added to the environment, by the name of the row.
            settings: how to measure.
        """
        print(self.title, file=sys.stderr)
        workers = {
            name: Worker(python, self.script, self.work, environment)
            for name, (python, environment) in variants.items()
        }
        rows = [
            Contender(name, lambda worker=worker: worker(self.name), warm_up=lambda worker=worker: worker(self.warm_up))  # type: ignore[misc]
            for name, worker in workers.items()
        ]
        try:
            run_rounds(rows, settings.n_rounds, settings.others_limit, settings.retries)
        finally:
            for worker in workers.values():
                worker.close()
        return rows


def _report(name: str, number: int, measurement: Measurement) -> None:
    others = measurement["others"]
    figure = measurement["wall"]
    print(f"  round {number + 1}: {name}: {figure:.1f} (others {others:.0%})", file=sys.stderr, flush=True)


def _least_disturbed(measure: Callable[[], Measurement], others_limit: float, retries: int) -> Measurement:
    best: Measurement = {}
    for _ in range(retries + 1):
        start, busy, own = time.perf_counter(), _busy_seconds(), _own_seconds()
        measurement = measure()
        elapsed = (time.perf_counter() - start) * (psutil.cpu_count() or 1)
        others = max(0.0, (_busy_seconds() - busy) - (_own_seconds() - own)) / elapsed
        if not best or others < best["others"]:
            best = {**measurement, "others": others}
        if best["others"] <= others_limit:
            break
    return best


def _busy_seconds() -> float:
    """Return the processor seconds that the machine was busy, with those stolen from a virtual machine."""
    times = psutil.cpu_times()._asdict()
    names = ("user", "nice", "system", "irq", "softirq", "steal", "interrupt", "dpc")
    return float(sum(times.get(name, 0.0) for name in names))


def _own_seconds() -> float:
    """Return the processor seconds of this process, its workers and the programs that it has run."""
    me = psutil.Process()
    total = 0.0
    for process in (me, *me.children(recursive=True)):
        with suppress(psutil.Error):
            times = process.cpu_times()._asdict()  # children_…: processes that have ended
            total += sum(times.get(name, 0.0) for name in ("user", "system", "children_user", "children_system"))
    return total
