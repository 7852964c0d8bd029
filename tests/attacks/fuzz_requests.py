"""Sends hostile requests for some minutes and prints a table of the outcomes.

python tests/attacks/fuzz_requests.py --seed 1 --minutes 10 [--kinds schema grammar]
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]
if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))

from attacks.hostile_requests import KINDS  # noqa: E402
from attacks.running import run  # noqa: E402

PROGRAM = Path(__file__).with_name("send_requests.py")
N_AT_ONCE = 500  # requests of one process


def main() -> int:
    """Return 1 if there was a fault."""
    parser = argparse.ArgumentParser(description="Send hostile requests and count the outcomes.")
    parser.add_argument("--seed", type=int, default=1, help="the first request, in thousands")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    asked = parser.parse_args()
    is_over = threading.Event()
    timer = threading.Timer(60 * asked.minutes, is_over.set)
    timer.daemon = True
    timer.start()
    totals: dict[str, Counter[str]] = {kind: Counter() for kind in asked.kinds}
    number, n_faults = 1000 * asked.seed, 0
    while not is_over.is_set():
        cases = [{"number": number + i, "kind": asked.kinds[i % len(asked.kinds)]} for i in range(N_AT_ONCE)]
        number += N_AT_ONCE
        figures = run(PROGRAM, cases)
        for case, outcome in zip(cases, figures.outcomes, strict=True):
            totals[case["kind"]][outcome] += 1
        for case, text in figures.faults:
            n_faults += 1
            print(case, text, flush=True)
    print(
        "| kind | requests | answered | refused | failed alone | faults |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    for kind, counts in {**totals, "all": sum(totals.values(), Counter())}.items():
        known = [counts[outcome] for outcome in ("answered", "refused", "failed")]
        print(f"| {kind} | {counts.total()} | {' | '.join(map(str, known))} | {counts.total() - sum(known)} |")
    return 1 if n_faults else 0


if __name__ == "__main__":
    sys.exit(main())
