"""How many engines nodes have room for."""

from __future__ import annotations

import pytest

import xlc_core as xlc
from xlc_jobs import WorkerPlan, plan_workers

GIB = 2**30


@pytest.mark.parametrize(
    ("nodes", "memory", "expected"),
    [
        ([(2, 8 * GIB)], GIB, (1, 2)),
        ([(64, 256 * GIB)] * 4, GIB, (32, 8)),
        ([(64, 256 * GIB)] * 4 + [(2, 4 * GIB)], GIB, (32, 8)),  # the head node does not decide
        ([(12, 64 * GIB)], GIB, (2, 6)),
        ([(64, 20 * GIB)], 8 * GIB, (2, 8)),  # the memory decides
        ([(1, 2 * GIB), (1, 2 * GIB)], GIB, (2, 1)),
        ([(16, 64 * GIB), (0, 64 * GIB)], 0, (2, 8)),
    ],
)
def test_plan(nodes: list[tuple[float, float]], memory: int, expected: tuple[int, int]) -> None:
    plan = plan_workers(nodes, memory)
    assert (plan.n_workers, plan.n_cores) == expected


def test_wishes_are_kept_within_the_room() -> None:
    nodes = [(16, 64 * GIB)] * 2
    assert plan_workers(nodes, GIB, n_cores=4) == WorkerPlan(8, 4, GIB)
    assert plan_workers(nodes, GIB, n_cores=4, n_workers=3) == WorkerPlan(3, 4, GIB)
    assert plan_workers(nodes, GIB, n_cores=16, n_workers=9) == WorkerPlan(2, 16, GIB)


@pytest.mark.parametrize(("nodes", "n_cores"), [([], None), ([(4, GIB // 2)], None), ([(4, 8 * GIB)], 5)])
def test_no_room_is_an_error(nodes: list[tuple[float, float]], n_cores: int | None) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="no node has"):
        plan_workers(nodes, GIB, n_cores=n_cores)
