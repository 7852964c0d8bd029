"""Steps of the generation loop: holding one, choosing how long prompts seem to take, and counting steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from helpers.waiting import wait_until
from xlc_core import _native

__all__ = ["PART", "StepCounter", "held_steps", "small_parts", "wait_held"]

PART = 16
"""Tokens of a prompt in a step of small_parts()."""


class StepCounter:
    """Counts steps from here on."""

    def __init__(self) -> None:
        self._before = _native.step_counts()

    def __getattr__(self, name: str) -> int:
        return int(getattr(_native.step_counts(), name) - getattr(self._before, name))


@contextmanager
def held_steps() -> Iterator[StepCounter]:
    """Let computations wait in their middle while the context lasts; they end early if nobody waits for them."""
    counter = StepCounter()
    _native.hold_steps(True)
    try:
        yield counter
    finally:
        _native.hold_steps(False)


def wait_held(counter: StepCounter, n: int = 1) -> None:
    """Wait until a computation is held."""
    assert wait_until(lambda: counter.n_held >= n), "nothing is computed"


@contextmanager
def small_parts() -> Iterator[StepCounter]:
    """Let prompts seem slow, so that a step beside a stream has PART of their tokens."""
    _native.pretend_prompt_speed(0.15 / PART)
    try:
        yield StepCounter()
    finally:
        _native.pretend_prompt_speed(0)
