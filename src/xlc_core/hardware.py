"""The cores and memory that this process may use, within the limits of containers and CPU affinity; what computes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CpuBackend", "available_cores", "available_memory", "cpu_backend"]

_SYSFS = Path("/sys")
_PROC = Path("/proc")


def available_cores(sysfs: Path = _SYSFS) -> int:
    """Return the number of physical cores that this process may run on, at least 1.

    Two hardware threads of one core count once: llama.cpp's arithmetic gains nothing from the second. The process's
    CPU affinity and a cgroup's CPU quota (v2 and v1) lower the count.

    Args:
        sysfs: where sysfs is mounted.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = affinity(0) if affinity else range(os.cpu_count() or 1)
    n_cores = len({_core_of(cpu, sysfs) for cpu in cpus})
    if sys.platform != "linux":  # only Linux has sysfs
        from xlc_core import _native

        n_cores = min(n_cores, _native.physical_cores())
    quota = _cpu_quota(sysfs)
    return max(1, min(n_cores, int(quota)) if quota is not None else n_cores)


def _core_of(cpu: int, sysfs: Path) -> str:
    """Return a name for the physical core of a logical CPU: the list of the core's threads."""
    siblings = sysfs / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    try:
        return siblings.read_text().strip()
    except OSError:
        return str(cpu)


def _cpu_quota(sysfs: Path) -> float | None:
    """Return the number of CPUs whose time the cgroup may use, or None for no limit."""
    try:
        quota, period = (sysfs / "fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        quota_us = int((sysfs / "fs/cgroup/cpu/cpu.cfs_quota_us").read_text())
        period_us = int((sysfs / "fs/cgroup/cpu/cpu.cfs_period_us").read_text())
        return quota_us / period_us if quota_us > 0 else None
    except (OSError, ValueError):
        return None


def available_memory(proc: Path = _PROC, sysfs: Path = _SYSFS) -> int | None:
    """Return the bytes that can be allocated without swapping, or None if that is unknown.

    Args:
        proc: where procfs is mounted.
        sysfs: where sysfs is mounted; a cgroup's memory limit lowers the figure.
    """
    free = _free_memory(proc)
    if free is None:
        return None
    for limit_name, used_name in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            limit = int((sysfs / "fs/cgroup" / limit_name).read_text())
            used = int((sysfs / "fs/cgroup" / used_name).read_text())
        except (OSError, ValueError):
            continue
        free = min(free, max(0, limit - used))
    return free


def _free_memory(proc: Path) -> int | None:
    try:
        for line in (proc / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    if sys.platform == "win32":
        from xlc_core import _native

        return next((device.free_bytes for device in _native.devices() if device.backend == "CPU"), None)
    if sys.platform != "linux" and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return None


@dataclass(frozen=True)
class CpuBackend:
    """The library and the kernels that compute on the CPU.

    Attributes:
        library: the library that was chosen for this processor, such as ``haswell``; None if there is only one, in the
            module, as in a build from source.
        scores: all libraries with their scores for this processor; the one with the highest score was chosen. 0: it
            needs an instruction set that the processor does not have.
        features: the instruction sets that the chosen one was compiled for, and other features that it names.
        kernels: xllama's own kernels for this processor: ``avx512_vnni``, ``avx2``, or None.
    """

    library: str | None
    scores: Mapping[str, int]
    features: tuple[str, ...]
    kernels: str | None

    def __str__(self) -> str:
        """Return a report in lines."""
        lines = [f"CPU library: {self.library or 'in the module'} ({', '.join(self.features)})"]
        lines.append(f"own kernels: {self.kernels or 'none for this processor'}")
        for library, score in sorted(self.scores.items(), key=lambda item: -item[1]):
            reason = f"score {score}" if score else "needs instructions that this processor does not have"
            lines.append(f"  {library}: {'chosen, ' if library == self.library else ''}{reason}")
        return "\n".join(lines)


def cpu_backend() -> CpuBackend:
    """Return which library of ggml computes on the CPU, and why. Loads llama.cpp."""
    from xlc_core import _native

    library, scores = _native.cpu_libraries()
    features = tuple(_native.cpu_features())
    return CpuBackend(library or None, scores, features, _native.best_kernels() or None)
