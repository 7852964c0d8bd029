"""Refused requests leave no memory behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.sanitizers import SANITIZER

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
TESTS = Path(__file__).parents[1]


def growth_of(n_requests: int) -> dict[str, int]:
    """Return the growth in bytes by kind of request, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "helpers.refused_requests", str(n_requests)],
        cwd=TESTS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    growth: dict[str, int] = json.loads(done.stdout)
    return growth


def test_memory_stays_flat() -> None:
    growth = growth_of(200)
    # 100 kB would be 500 bytes of each request. Sanitizers keep memory that is freed.
    assert SANITIZER or {kind: size for kind, size in growth.items() if size > 2**20} == {}


@pytest.mark.soak
def test_memory_stays_flat_for_long() -> None:
    growth = growth_of(10_000)
    print(f"\n{growth}")
    assert {kind: size for kind, size in growth.items() if size > 4 * 2**20} == {}
