"""Measures the time of a request before its first token is computed and after its last: this xllama and an older one.

The requests are a plain chat, a chat with a constraint of ten fields, and a chat with twenty tools; see
benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path

from measure import Contender, UnavailableError, Worker, run_rounds, unavailable
from settings import Settings, add_common_options, settings_of
from tables import comparison, disturbance, write_section

MODEL = "smollm2-135m-instruct"
CASES = {"plain": "plain chat", "constraint": "a constraint of 10 fields", "tools": "20 tools"}
TARGETS = {"plain": 1.0, "constraint": 0.5, "tools": 0.5}


def rows(name: str, python: Path, settings: Settings, n_calls: int, *, has_target: bool) -> dict[str, Contender]:
    """A row for each case, of one version of xllama; all of them over one worker, which ends with this process."""
    work = {"model": MODEL, "n_threads": settings.n_threads, "n_calls": n_calls}
    try:
        worker = Worker(python, "xllama_overhead", work)
    except UnavailableError as error:
        return {case: unavailable(name, error) for case in CASES}
    return {
        case: Contender(name, lambda case=case: worker(case), TARGETS[case] if has_target else None)  # type: ignore[misc]
        for case in CASES
    }


def section(versions: list[dict[str, Contender]], settings: Settings) -> str:
    """A table for each case."""
    parts = [
        "## What a request costs beside computing it",
        textwrap.fill(
            f"Milliseconds of `Engine.stream_chat(…).result()` for one token of `{MODEL}`, less what llama.cpp spent "
            f"on the prompt; in brackets least and greatest of the rounds. {settings.machine}",
            120,
        ),
    ]
    for case, name in CASES.items():
        contenders = [version[case] for version in versions]
        has_target = len(contenders) > 1
        parts += [f"### {name[0].upper()}{name[1:]}", comparison(
            contenders, "ms", 2, target=has_target, less_is_better=True,
            columns=[("ms until queued", lambda row: f"{min(row.figures('queueing')):.2f}")],
        )]  # fmt: skip
    parts += [disturbance([row for version in versions for row in version.values()]), f"`{settings.command}`"]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, 5)
    parser.add_argument("--calls", type=int, default=40, help="of each kind in a round (default: %(default)s)")
    parser.add_argument("--before", type=Path, metavar="PYTHON", help="an interpreter with an older xllama")
    options = parser.parse_args()
    settings = settings_of(options, sys.argv[1:], "request_overhead.py")
    n_calls = 5 if options.quick else options.calls
    versions = [rows("before", options.before, settings, n_calls, has_target=False)] if options.before else []
    versions.append(rows("now", Path(sys.executable), settings, n_calls, has_target=bool(versions)))
    in_turns = [row for case in CASES for row in (version[case] for version in versions)]
    run_rounds(in_turns, settings.n_rounds, settings.others_limit, settings.retries)
    text = section(versions, settings)
    print(text, flush=True)
    if options.write is not None:
        write_section(options.write, "request-overhead", text)


if __name__ == "__main__":
    main()
