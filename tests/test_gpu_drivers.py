"""The report about graphics drivers, on systems that are made of a few files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xlc_core.gpu_drivers import describe_drivers

NVIDIA = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 10:11:16 UTC 2025\nGCC version: 12\n"


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        monkeypatch.delenv(name, raising=False)


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def add_card(root: Path, node: str, vendor: str, driver: str, version: str | None = None) -> Path:
    device = root / "sys/class/drm" / node / "device"
    write(device / "vendor", f"{vendor}\n")
    (root / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
    (device / "driver").symlink_to(root / "sys/bus/pci/drivers" / driver)
    if version:
        write(root / "sys/module" / driver / "version", f"{version}\n")
    return write(root / "dev/dri" / node)


def add_vulkan(root: Path) -> None:
    library = write(root / "usr/lib/x86_64-linux-gnu/libvulkan.so.1.4.309")
    library.with_name("libvulkan.so.1").symlink_to(library.name)
    write(root / "usr/share/vulkan/icd.d/radeon_icd.json", '{"ICD": {"api_version": "1.4.305"}}')
    write(root / "usr/share/vulkan/icd.d/broken.json", "{")


def test_empty_system_misses_all(tmp_path: Path) -> None:
    lines = describe_drivers(tmp_path)
    assert [line.partition(":")[0] for line in lines] == ["no graphics card is visible", "missing", "missing"]
    assert "libvulkan.so.1" in lines[1]
    assert "mesa-vulkan-drivers" in lines[2]


def test_cards_and_versions_are_named(tmp_path: Path) -> None:
    add_card(tmp_path, "renderD128", "0x1002", "amdgpu", "6.12.12")
    add_card(tmp_path, "renderD129", "0x8086", "xe")
    write(tmp_path / "proc/driver/nvidia/version", NVIDIA)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        write(tmp_path / "dev" / name)
    add_vulkan(tmp_path)
    assert describe_drivers(tmp_path) == [
        "NVIDIA's driver 580.95.05, 2 cards in /dev",
        "/dev/dri/renderD128: AMD, kernel driver amdgpu 6.12.12",
        "/dev/dri/renderD129: Intel, kernel driver xe",
        "Vulkan's loader 1.4.309",
        "Vulkan's drivers: broken (Vulkan unreadable), radeon_icd (Vulkan 1.4.305)",
    ]


def test_open_kernel_module_has_its_version_read(tmp_path: Path) -> None:
    text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.57.08  Release Build\n"
    write(tmp_path / "proc/driver/nvidia/version", text)
    assert describe_drivers(tmp_path)[0] == "NVIDIA's driver 575.57.08, 0 cards in /dev"


def test_missing_rights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_card(tmp_path, "renderD128", "0x1002", "amdgpu")
    write(tmp_path / "dev/nvidia0")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    text = "\n".join(describe_drivers(tmp_path))
    assert "missing: rights to read and write renderD128; add this user to the group render" in text
    assert "missing: rights to read and write nvidia0; ask" in text
    assert "NVIDIA's kernel module is not loaded" in text


def test_variable_names_other_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_vulkan(tmp_path)
    file = write(tmp_path / "elsewhere" / "lvp.json", '{"ICD": {"api_version": "1.3.230"}}')
    monkeypatch.setenv("VK_DRIVER_FILES", str(file))
    assert describe_drivers(tmp_path)[-1] == "Vulkan's drivers: lvp (Vulkan 1.3.230)"
