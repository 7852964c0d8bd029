"""How tests recognise a build with a sanitizer (cmake/sanitize.py)."""

from __future__ import annotations

import os

__all__ = ["SANITIZER", "limit_memory"]

SANITIZER = os.environ.get("XLLAMA_SANITIZER")
"""``asan``, ``tsan`` or None."""


def limit_memory(n_bytes: int) -> None:
    """Limit the memory of this process, so that a program that asks for too much gets an error.

    Sanitizers reserve terabytes of addresses. They limit each allocation instead (max_allocation_size_mb).
    """
    import resource  # which Windows does not have

    if SANITIZER is None:
        resource.setrlimit(resource.RLIMIT_AS, (n_bytes, n_bytes))
