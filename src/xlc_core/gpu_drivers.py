"""Graphics cards of this system: devices, rights, drivers and their versions. Nothing is loaded."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["describe_drivers"]

_ROOT = Path("/")
_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
_LOADER_FOLDERS = (
    *("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/lib", "lib/x86_64-linux-gnu"),
    *("lib64", "usr/local/lib"),
)
_DRIVER_FOLDERS = ("etc/vulkan/icd.d", "usr/share/vulkan/icd.d", "usr/local/share/vulkan/icd.d")


def describe_drivers(root: Path = _ROOT) -> list[str]:
    """Return lines about the graphics cards of a Linux system and what is missing to compute on them.

    Args:
        root: where the system's files are.
    """
    cards = [*_nvidia(root), *_cards(root)]
    return [*(cards or ["no graphics card is visible: neither /dev/nvidia0 nor /dev/dri"]), *_vulkan(root)]


def _nvidia(root: Path) -> Iterator[str]:
    version = root / "proc/driver/nvidia/version"
    nodes = sorted(path for path in (root / "dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name))
    try:
        found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", version.read_text())
        yield f"NVIDIA's driver {found[1] if found else 'of an unknown version'}, {len(nodes)} cards in /dev"
    except OSError:
        if nodes:
            yield "there are NVIDIA cards in /dev, but NVIDIA's kernel module is not loaded"
    yield from _without_rights(nodes, "ask an administrator for access to NVIDIA's devices")


def _cards(root: Path) -> Iterator[str]:
    nodes = sorted((root / "dev/dri").glob("renderD*"))
    for node in nodes:
        device = root / "sys/class/drm" / node.name / "device"
        try:
            vendor = (device / "vendor").read_text().strip()
        except OSError:
            vendor = "unknown"
        driver = device / "driver"
        name = driver.resolve().name if driver.exists() else "no driver"
        with contextlib.suppress(OSError):  # most drivers have the kernel's version
            name += " " + (root / "sys/module" / name / "version").read_text().strip()
        yield f"/dev/dri/{node.name}: {_VENDORS.get(vendor, f'vendor {vendor}')}, kernel driver {name}"
    yield from _without_rights(nodes, "add this user to the group render")


def _without_rights(nodes: list[Path], remedy: str) -> Iterator[str]:
    closed = [node.name for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if closed:
        yield f"missing: rights to read and write {', '.join(closed)}; {remedy}"


def _vulkan(root: Path) -> Iterator[str]:
    loaders = [path for folder in _LOADER_FOLDERS for path in (root / folder).glob("libvulkan.so.1")]
    if loaders:
        yield f"Vulkan's loader {loaders[0].resolve().name.removeprefix('libvulkan.so.')}"
    else:
        yield "missing: Vulkan's loader, libvulkan.so.1 (Debian, Ubuntu: libvulkan1; Fedora: vulkan-loader)"
    drivers = list(_vulkan_drivers(root))
    if drivers:
        yield f"Vulkan's drivers: {', '.join(drivers)}"
    else:
        yield "missing: a Vulkan driver (Debian, Ubuntu, Fedora: mesa-vulkan-drivers, or the one of the card's maker)"


def _vulkan_drivers(root: Path) -> Iterator[str]:
    chosen = os.environ.get("VK_DRIVER_FILES") or os.environ.get("VK_ICD_FILENAMES")
    if chosen:
        files = [Path(name) for name in chosen.split(os.pathsep)]
    else:
        files = [path for folder in _DRIVER_FOLDERS for path in sorted((root / folder).glob("*.json"))]
    for path in files:
        try:
            version = json.loads(path.read_text("utf-8"))["ICD"]["api_version"]
        except (OSError, ValueError, KeyError, TypeError):
            version = "unreadable"
        yield f"{path.stem} (Vulkan {version})"
