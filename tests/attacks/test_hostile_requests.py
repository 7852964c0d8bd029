"""A hostile request of any kind is refused with our error or answered; it never ends the process, hangs it, raises an
error that is not ours, or harms the next request. `make fuzz` sends more of them.
"""

from __future__ import annotations

from pathlib import Path

from attacks.hostile_requests import KINDS
from attacks.running import run

PROGRAM = Path(__file__).with_name("send_requests.py")
N_EACH = 20


def test_hostile_requests_harm_nobody() -> None:
    cases = [{"number": number} for number in range(N_EACH * len(KINDS))]  # the number decides on the kind
    figures = run(PROGRAM, cases)
    assert figures.faults == []
    assert sum(figures.counts.values()) == len(cases)
    assert min(figures.counts["refused"], figures.counts["answered"]) > N_EACH


def test_fault_is_noticed_and_the_others_go_on() -> None:
    """The test of the tests: a case that ends the process, and one that is not ours."""
    cases = [{"number": 0, "kind": "abort"}, {"number": 1, "kind": "foreign"}, {"number": 2, "kind": "counting"}]
    figures = run(PROGRAM, cases)
    assert [(case["kind"], text.split(":")[0]) for case, text in figures.faults] == [
        ("abort", "SIGABRT"),
        ("foreign", "foreign"),
    ]
    assert sum(figures.counts.values()) == 3
