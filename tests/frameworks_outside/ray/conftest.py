"""A cluster of several nodes on this machine."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # as Ray will do, and else warns about

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of pydantic, about fields of Ray's own
    import ray.data
    import ray.serve

_STORE = 80 << 20  # bytes of shared memory of a node; the least that Ray takes is 75 MiB


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A head with a core for reading and writing, and two nodes with a core each for an engine."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "object_store_memory": _STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=_STORE)
    ray.init(cluster.address, log_to_driver=False, logging_level="warning")
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
