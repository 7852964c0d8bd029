"""The cores and memory that this process may use, within the limits of containers and CPU affinity."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["available_cores", "available_memory"]

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
    cores = {_core_of(cpu, sysfs) for cpu in cpus}
    quota = _cpu_quota(sysfs)
    return max(1, min(len(cores), int(quota)) if quota is not None else len(cores))


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
    if sys.platform != "linux" and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return None
