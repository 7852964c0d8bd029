"""Measures the time of one call. The ways of making it take turns, so that the machine's drift affects all alike."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping

from tables import spread

WARM_UP_CALLS = 5
OVERHEAD_TARGET_MS = 2.0

Way = Callable[[], object] | Callable[[], Awaitable[object]]


def milliseconds(ways: Mapping[str, Way], n_calls: int) -> dict[str, list[float]]:
    """Time each way equally often. A way's result is awaited if it is awaitable."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        for number in range(-WARM_UP_CALLS, n_calls):
            for name, call in ways.items():
                start = time.perf_counter()
                answer = call()
                if isinstance(answer, Awaitable):
                    loop.run_until_complete(answer)
                if number >= 0:
                    times[name].append((time.perf_counter() - start) * 1000)
    return times


def table(times: Mapping[str, list[float]]) -> str:
    """Return a table with a row for each way."""
    rows = [f"| {name} | {_quartiles(values)} |" for name, values in times.items()]
    return "\n".join(["| | ms, median (quartiles) |", "| --- | ---: |", *rows])


def added(times: Mapping[str, list[float]], way: str, to: str) -> float:
    """Return the milliseconds that a way takes more than another, by their medians."""
    return statistics.median(times[way]) - statistics.median(times[to])


def _quartiles(values: list[float]) -> str:
    if len(values) < 2:
        return spread(values, 2)
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"
