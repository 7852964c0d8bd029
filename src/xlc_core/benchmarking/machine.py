"""Short measurements of the machine itself, which say what to expect of a model before it is fetched."""

from __future__ import annotations

import threading
import time

import numpy as np

__all__ = ["memory_bandwidth"]

_BYTES = 64 << 20  # of each thread: more than the processor's caches hold


def memory_bandwidth(n_threads: int, seconds: float = 1.0) -> float:
    """Return how many bytes of memory are read in a second.

    A generated token reads all weights, and takes at least as long as that.

    Args:
        n_threads: threads that read at the same time.
        seconds: how long to measure.
    """
    read = [0] * n_threads
    ready = threading.Barrier(n_threads + 1)
    ends = threading.Event()

    def work(place: int) -> None:
        block = np.ones(_BYTES // 8, np.int64)
        ready.wait()
        while not ends.is_set():
            block.max()  # releases the GIL
            read[place] += _BYTES

    threads = [threading.Thread(target=work, args=(place,), daemon=True) for place in range(n_threads)]
    for thread in threads:
        thread.start()
    ready.wait()
    begin = time.perf_counter()
    time.sleep(seconds)
    ends.set()
    for thread in threads:
        thread.join()
    return sum(read) / (time.perf_counter() - begin)
