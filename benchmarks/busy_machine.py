"""Measures the processor time of one token when two threads share one processor, as beside busy programs.

Threads that only spin while they wait burn the processor in each other's turns: 0.2 s a token of the tiny model.
Threads that give way (native/overrides, the one of ggml-cpu.c) take a few milliseconds. Run it after a change there.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

MODEL = Path(__file__).parents[1] / "tests" / "model_files" / "llama.gguf"
MOST_MS_PER_TOKEN = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=8)
    n_tokens: int = parser.parse_args().tokens
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("processors can be taken away on Linux only")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    import xlc_core as xlc  # counts the processors when an engine opens

    with xlc.Engine(MODEL, n_threads=2, n_threads_batch=2, progress=False) as engine:
        engine.complete("a", max_tokens=1)
        start = time.process_time()
        engine.complete("a b c", max_tokens=n_tokens, ignore_eos=True, temperature=0)
        ms = (time.process_time() - start) * 1000 / n_tokens
    print(f"{ms:.1f} ms of processor time per token; at most {MOST_MS_PER_TOKEN} are expected")
    sys.exit(ms > MOST_MS_PER_TOKEN)


if __name__ == "__main__":
    main()
