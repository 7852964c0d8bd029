"""Threads that have fewer processors than there are of them, as beside other programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[1] / "model_files" / "llama.gguf"
N_TOKENS = 8
# Two threads that only spin burn the processor for the other's turns, milliseconds for each of a token's operations:
# 0.2 s a token. It is processor time that counts, whatever else the machine does.
MOST_SECONDS_A_TOKEN = 0.06

PROGRAM = f"""
import os, time
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
import xlc_core as xlc
with xlc.Engine({str(MODEL)!r}, n_threads=2, n_threads_batch=2, progress=False) as engine:
    engine.complete("a", max_tokens=1)
    start = time.process_time()
    engine.complete("a b c", max_tokens={N_TOKENS}, ignore_eos=True, temperature=0)
    print(time.process_time() - start)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors can be taken away on Linux only")
def test_a_thread_that_waits_gives_way() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=True)
    assert float(done.stdout) < N_TOKENS * MOST_SECONDS_A_TOKEN
