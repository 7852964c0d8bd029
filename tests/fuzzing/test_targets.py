"""Each target passes its first inputs, all past findings, and changed inputs from a fixed seed; without any tool."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fuzzing.targets import SEEDS, TARGETS

FINDINGS = Path(__file__).with_name("findings")
N_CHANGED = 200


def changed(content: bytes, chance: random.Random) -> bytes:
    """Return a copy with some bytes changed, inserted, copied or left out."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(data) + 1), chance.randint(1, 8)
        new = chance.choice((b"", chance.randbytes(length), bytes(data[chance.randrange(len(data) + 1) :][:length])))
        data[at : at + chance.choice((0, length))] = new
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs(name: str) -> None:
    chance = random.Random(name)
    pool = list(SEEDS[name])
    for content in pool:
        TARGETS[name](content)
    for _ in range(N_CHANGED):
        pool.append(changed(chance.choice(pool), chance))
        TARGETS[name](pool[-1])


@pytest.mark.parametrize("path", sorted(FINDINGS.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_past_findings(path: Path) -> None:
    target = TARGETS.get(path.parent.name)
    if target is None:
        pytest.skip("a target in C++")
    target(path.read_bytes())
