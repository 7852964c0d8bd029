"""Compare xllama with raw llama.cpp, xllamacpp and sentence-transformers, in one run, in turns.

benchmarks/README.md says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import embedding
import generation
from peers import REQUIREMENTS
from settings import Settings, written_command
from tables import write_section

SECTIONS = {"generation": generation.run, "embedding": embedding.run}
LOCAL_OPTIONS = frozenset({"--llama-bench", "--peer-python", "--write", "--retries", "--others-limit"})


def parse(arguments: list[str]) -> tuple[argparse.Namespace, Settings]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SECTIONS, help="measure only this")
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round, 32 tokens: to see whether it works")
    parser.add_argument("--threads", type=int, help="threads for everybody (default: the physical cores)")
    parser.add_argument("--data", type=Path, help="documents to embed, .jsonl.gz (default: generated words)")
    parser.add_argument("--llama-bench", type=Path, metavar="PATH", help="a llama-bench that was built before")
    parser.add_argument(
        "--peer-python", action="append", default=[], metavar="PEER=PATH",
        help=f"the interpreter of an environment that has a peer ({', '.join(REQUIREMENTS)}) installed",
    )  # fmt: skip
    parser.add_argument(
        "--others-limit", type=float, default=0.05, metavar="SHARE",
        help="repeat a measurement during which other programs took more of the processors (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--retries", type=int, default=3, help="how often (default: %(default)s)")
    parser.add_argument("--write", type=Path, metavar="PATH", help="put the tables into this document")
    options = parser.parse_args(arguments)
    ready_peers = {}
    for pair in options.peer_python:
        peer, _, path = pair.partition("=")
        if peer not in REQUIREMENTS or not path:
            parser.error(f"--peer-python: PEER=PATH with one of {', '.join(REQUIREMENTS)}, got {pair!r}")
        ready_peers[peer] = Path(path)
    if options.data is not None and not options.data.is_file():
        parser.error(f"--data: there is no file {options.data}")
    defaults = Settings()
    settings = Settings(
        n_rounds=1 if options.quick else options.rounds,
        n_tokens=32 if options.quick else defaults.n_tokens,
        n_threads=options.threads or defaults.n_threads,
        llama_bench=options.llama_bench,
        ready_peers=ready_peers,
        data=options.data,
        others_limit=options.others_limit,
        retries=0 if options.quick else options.retries,
        command=written_command(arguments, LOCAL_OPTIONS),
    )
    return options, settings


def main() -> None:
    options, settings = parse(sys.argv[1:])
    for name, run in SECTIONS.items():
        if options.only in (None, name):
            section = run(settings)
            print(section, flush=True)
            if options.write is not None:
                write_section(options.write, name, section)


if __name__ == "__main__":
    main()
