"""Compare xllama's generation with raw llama.cpp and xllamacpp, in one run, in turns.

benchmarks/README.md explains the measurements and how to read them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from settings import Settings, add_common_options, settings_of
from tables import write_section

import generation


def parse(arguments: list[str]) -> tuple[argparse.Namespace, Settings]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, 7, peers=True)
    parser.add_argument("--llama-bench", type=Path, metavar="PATH", help="an existing build of llama-bench")
    options = parser.parse_args(arguments)
    n_tokens = 32 if options.quick else 128
    changes = {"n_tokens": n_tokens, "llama_bench": options.llama_bench}
    return options, settings_of(options, arguments, "engine.py", **changes)


def main() -> None:
    options, settings = parse(sys.argv[1:])
    section = generation.run(settings)
    print(section, flush=True)
    if options.write is not None:
        write_section(options.write, "generation", section)


if __name__ == "__main__":
    main()
