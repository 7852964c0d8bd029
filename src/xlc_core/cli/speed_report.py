"""The parts of ``xllama doctor`` about speed: a check of a few seconds, and what would make it faster."""

from __future__ import annotations

import os
import platform

from xlc_core.benchmarking.machine import memory_bandwidth
from xlc_core.cli.output import readable_size
from xlc_core.hardware import available_cores, available_memory, cpu_backend
from xlc_core.models import catalog

__all__ = ["advice", "speed_report"]

_SIZES = {"0.6B, Q8_0": 0.64e9, "4B, Q4_K_M": 2.5e9, "8B, Q4_K_M": 5.0e9}
"""Bytes of the weights of usual models."""

_EMBEDDER = "all-minilm-l6-v2"
_LITTLE_MEMORY = 2e9


def speed_report() -> list[str]:
    """Measure for about three seconds and return lines about it. Loads the small embedder if it is on this disk."""
    n_threads = available_cores()
    speed = memory_bandwidth(n_threads)
    most = ", ".join(f"{name}: {speed / size:.0f}" for name, size in _SIZES.items())
    lines = [
        "speed now, beside all that runs:",
        f"  {n_threads} threads read {readable_size(round(speed))} of memory a second",
        f"  so the CPU generates, in tokens a second, at most ({most})",
    ]
    if catalog.is_cached(_EMBEDDER):
        from xlc_core.benchmarking.speed import measure_speed

        embedding = measure_speed(_EMBEDDER, n_texts=16, rounds=1, device="cpu").figures[0]
        lines.append(f"  {_EMBEDDER} embeds {embedding.median:.0f} texts of 150 words a second")
    return lines


def advice() -> list[str]:
    """Return what this installation lacks for its best speed; empty if nothing is known."""
    lines = []
    if platform.machine().lower() in ("x86_64", "amd64") and cpu_backend().kernels is None:
        reason = "XLLAMA_KERNELS switches them off" if os.environ.get("XLLAMA_KERNELS") else "they need AVX2"
        lines.append(f"our kernels do not run ({reason}): prompts and texts to embed take longer")
    memory = available_memory()
    if memory is not None and memory < _LITTLE_MEMORY:
        lines.append(f"only {readable_size(memory)} of memory are free: choose a small model, and a small n_ctx")
    kinds = {entry.kind for entry in catalog.entries().values() if catalog.present_path(entry) is not None}
    if "chat" not in kinds:
        lines.append("no chat model of the catalog is on this disk: xllama models pull qwen3-0.6b")
    if "embedding" not in kinds:
        lines.append("no embedder of the catalog is on this disk: pip install 'xllama[models]'")
    return lines
