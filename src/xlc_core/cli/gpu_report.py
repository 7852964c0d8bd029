"""The part of ``xllama doctor`` about devices: what there is, which is chosen and why, and what is missing."""

from __future__ import annotations

import sys
import warnings

from xlc_core import _native
from xlc_core.backends import Backend, load_backends
from xlc_core.cli.output import readable_size
from xlc_core.gpu_drivers import describe_drivers

__all__ = ["gpu_report"]


def gpu_report() -> list[str]:
    """Return lines about the devices. Loads the backends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the lines say the same
        backends = load_backends()
    devices = _native.devices()
    lines = ["devices:"]
    for device in devices:
        sizes = f"{readable_size(device.free_bytes)} of {readable_size(device.total_bytes)} free"
        lines.append(f"  {device.name}: {device.description} ({device.backend}), {sizes}; device={device.option!r}")
    lines.append(f"  device='auto': {_choice(devices)}")
    lines.append("GPU backends:")
    lines.extend(f"  {line}" for line in _describe_backends(backends, devices))
    if sys.platform == "linux":
        lines.append("graphics drivers:")
        lines.extend(f"  {line}" for line in describe_drivers())
    return lines


def _choice(devices: list[_native.Device]) -> str:
    """Return what computes by default, and why."""
    chosen = _native.choose_devices("auto")
    if not chosen:
        return "the CPU, as no backend has a GPU"
    others = sorted({device.backend for device in devices if device.is_gpu and device.name not in chosen})
    reason = f", preferred to {', '.join(others)}" if others else ""
    return f"{', '.join(chosen)}{reason}; as many layers as fit, if n_gpu_layers is not given"


def _describe_backends(backends: tuple[Backend, ...], devices: list[_native.Device]) -> list[str]:
    lines = [f"{backend.package}: {backend.problem or 'loaded'}" for backend in backends]
    loaded = {backend.name for backend in backends}
    linked = {device.backend for device in devices if device.is_gpu and device.backend.lower() not in loaded}
    lines.extend(f"{name}: in this build" for name in sorted(linked))
    if not _native.cpu_libraries()[0]:
        lines.append("this build, from source or for Windows, does not load backends of wheels")
    else:
        missing = [name for name in ("cuda", "vulkan") if name not in loaded]
        packages = {"cuda": "xllama-cuda13", "vulkan": "xllama-vulkan"}
        lines.extend(f"{name}: not installed; pip install {packages[name]}" for name in missing)
    return lines
