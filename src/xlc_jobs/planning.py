"""How many engines a machine or a cluster has room for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xlc_core import InvalidRequestError

__all__ = ["WorkerPlan", "plan_workers"]

_MOST_CORES = 8  # of one engine: more of them add less than a second engine does
_ENOUGH = 0.9  # of the cores that could be used: fewer and larger engines share the weights' memory among more cores


@dataclass(frozen=True)
class WorkerPlan:
    """Engines, one in each worker.

    Attributes:
        n_workers: their number, over all nodes.
        n_cores: cores of each.
        memory: bytes of each.
    """

    n_workers: int
    n_cores: int
    memory: int


def plan_workers(
    nodes: Iterable[tuple[float, float]], memory: int, *, n_cores: int | None = None, n_workers: int | None = None
) -> WorkerPlan:
    """Return the number of engines and of their cores that the nodes have room for.

    Args:
        nodes: cores and bytes of memory of each node.
        memory: bytes that an engine needs.
        n_cores: cores of each engine; None: as many as possible, up to 8, with which nine tenths of the cores that
            could be used are. More cores add less than a second engine does; fewer engines hold the weights less often.
        n_workers: number of engines; None: as many as the cores and the memory of the nodes are enough for.

    Raises:
        InvalidRequestError: no node has enough cores and memory for one engine.
    """
    usable = [(int(cores), room) for cores, room in nodes]
    counts = {cores: _count(usable, cores, memory) for cores in ([n_cores] if n_cores else range(1, _MOST_CORES + 1))}
    most_used = max(cores * count for cores, count in counts.items())
    if most_used == 0:
        raise InvalidRequestError(
            f"no node has {n_cores or 1} free cores and {memory / 1e9:.1f} GB of memory for an engine; use a smaller "
            "model, fewer cores, or larger nodes"
        )
    chosen = max(cores for cores, count in counts.items() if cores * count >= _ENOUGH * most_used)
    return WorkerPlan(min(n_workers or counts[chosen], counts[chosen]), chosen, memory)


def _count(nodes: Iterable[tuple[int, float]], cores: int, memory: int) -> int:
    """Return for how many engines of so many cores there is room."""
    return sum(min(own // cores, int(room // memory) if memory else own) for own, room in nodes)
