"""Runs attacks in processes of their own: one that a case ends is replaced, and the case is a fault.

A program reads a line of JSON for each case from its input and writes ``[outcome, text]`` for each that it survived.
A case that hangs makes it end with the stacks of its threads (faulthandler).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Figures", "run"]

TESTS = Path(__file__).parents[1]
_SOUND = ("answered", "opened", "refused", "failed")  # failed: with our error, and alone

Case = dict[str, Any]


@dataclass
class Figures:
    """The outcomes of cases. ``faults`` must be empty: signals, hangs, harm to others, and errors that are not ours."""

    outcomes: list[str] = field(default_factory=list)
    faults: list[tuple[Case, str]] = field(default_factory=list)

    def add(self, case: Case, outcome: str, text: str) -> None:
        """Count a case."""
        self.outcomes.append(outcome)
        if outcome not in _SOUND:
            self.faults.append((case, f"{outcome}: {text}"))

    @property
    def counts(self) -> Counter[str]:
        """How many cases had each outcome."""
        return Counter(self.outcomes)


def run(program: Path, cases: Sequence[Case]) -> Figures:
    """Return the outcomes of cases, which processes that run ``program`` are given."""
    figures = Figures()
    left = list(cases)
    while left:
        n_done = 0
        for outcome, text in _outcomes(program, left):
            figures.add(left[n_done], outcome, text)
            n_done += 1
        left = left[n_done:]
    return figures


def _outcomes(program: Path, cases: Sequence[Case]) -> Iterator[tuple[str, str]]:
    """Yield the outcomes of cases up to and with the one that ends the process."""
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as errors:
        given.writelines(json.dumps(case) + "\n" for case in cases)
        given.seek(0)
        with subprocess.Popen(
            [sys.executable, str(program)],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])},
        ) as process:
            assert process.stdout is not None
            n_done = 0
            for line in process.stdout:
                outcome, text = json.loads(line)
                n_done += 1
                yield outcome, text
            code = process.wait()
        if n_done < len(cases):
            errors.seek(0)
            said = errors.read()
            if n_done == 0 and code > 0 and "Timeout (" not in said:
                raise RuntimeError(f"{program.name} does not start: {said[-3000:]}")
            how = "hang" if "Timeout (" in said else signal.Signals(-code).name if code < 0 else f"exit {code}"
            yield how, said[-3000:]
