"""Cores and memory as a container or an affinity leaves them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xlc_core import hardware

GIB = 1 << 30
QEMU = shutil.which("qemu-x86_64-static")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """Four cores with two hardware threads each."""
    for cpu in range(8):
        siblings = f"{cpu % 4},{cpu % 4 + 4}\n"
        write(tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", siblings)
    return tmp_path / "sys"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    write(tmp_path / "proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable:    8388608 kB\n")
    return tmp_path / "proc"


@pytest.fixture
def cpus(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    allowed = set(range(8))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: allowed, raising=False)
    return allowed


@pytest.mark.usefixtures("cpus")
def test_two_threads_of_core_count_once(sysfs: Path) -> None:
    assert hardware.available_cores(sysfs) == 4


def test_affinity_lowers_count(sysfs: Path, cpus: set[int]) -> None:
    cpus.clear()
    cpus.update({1, 5, 2})
    assert hardware.available_cores(sysfs) == 2


@pytest.mark.usefixtures("cpus")
def test_without_topology_each_cpu_is_core(tmp_path: Path) -> None:
    assert hardware.available_cores(tmp_path) == 8


@pytest.mark.usefixtures("cpus")
@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 4),
        ("200000 100000", 2),
        ("150000 100000", 1),
        ("50000 100000", 1),
        ("900000 100000", 4),
        ("?", 4),
    ],
)
def test_quota_of_cgroup_v2_lowers_count(sysfs: Path, quota: str, cores: int) -> None:
    write(sysfs / "fs/cgroup/cpu.max", f"{quota}\n")
    assert hardware.available_cores(sysfs) == cores


@pytest.mark.usefixtures("cpus")
@pytest.mark.parametrize(("quota", "cores"), [("-1", 4), ("300000", 3), ("1000", 1)])
def test_quota_of_cgroup_v1_lowers_count(sysfs: Path, quota: str, cores: int) -> None:
    write(sysfs / "fs/cgroup/cpu/cpu.cfs_quota_us", quota)
    write(sysfs / "fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    assert hardware.available_cores(sysfs) == cores


def test_without_affinity_all_cpus_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert hardware.available_cores(tmp_path) == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert hardware.available_cores(tmp_path) == 1


def test_available_memory_is_read(proc: Path, sysfs: Path) -> None:
    assert hardware.available_memory(proc, sysfs) == 8 * GIB


@pytest.mark.parametrize(
    ("limit", "used", "free"),
    [(2 * GIB, GIB, GIB), ("max", GIB, 8 * GIB), (64 * GIB, GIB, 8 * GIB), (GIB, 2 * GIB, 0)],
)
@pytest.mark.parametrize(
    ("limit_file", "used_file"),
    [("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")],
)
def test_memory_limit_lowers_available_memory(
    proc: Path, sysfs: Path, limit: int | str, used: int, free: int, limit_file: str, used_file: str
) -> None:
    write(sysfs / "fs/cgroup" / limit_file, f"{limit}\n")
    write(sysfs / "fs/cgroup" / used_file, f"{used}\n")
    assert hardware.available_memory(proc, sysfs) == free


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere sysconf is asked")
def test_unknown_memory_is_none(tmp_path: Path) -> None:
    assert hardware.available_memory(tmp_path, tmp_path) is None
    write(tmp_path / "meminfo", "MemAvailable: lots kB\n")
    assert hardware.available_memory(tmp_path, tmp_path) is None


@pytest.mark.skipif(QEMU is None, reason="needs QEMU's user emulation (Debian: qemu-user-static)")
@pytest.mark.parametrize(("processor", "missing"), [("Nehalem", "AVX, AVX2, FMA, F16C, BMI2"), ("Haswell", "AVX-512")])
def test_build_for_another_processor_is_refused(processor: str, missing: str) -> None:
    """Its instructions would end the process."""
    backend = hardware.cpu_backend()
    if backend.library is not None or missing.partition(",")[0].replace("-", "") not in backend.features:
        pytest.skip("this build runs there")
    command = [str(QEMU), sys.executable, "-c", "import xlc_core._native"]
    environment = {**os.environ, "QEMU_CPU": processor}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1
    assert f"for processors with instructions that this one does not have ({missing}" in done.stderr


def test_this_machine_has_something() -> None:
    assert 1 <= hardware.available_cores() <= (os.cpu_count() or 1)
    memory = hardware.available_memory()
    assert memory is None or memory >= 0
