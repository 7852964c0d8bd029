"""GPU backends in wheels of their own, such as xllama-vulkan: found by their entry points, and loaded once."""

from __future__ import annotations

import functools
import os
import threading
import warnings
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version

from xlc_core import _native

__all__ = ["GROUP", "Backend", "devices", "load_backends"]

GROUP = "xllama.backends"
"""The group of the wheels' entry points."""

# Parts of the messages of ggml and of the dynamic linker, and what helps.
_REMEDIES = {
    "libvulkan.so.1": "install the Vulkan loader (Debian, Ubuntu: libvulkan1; Fedora: vulkan-loader)",
    "libcuda.so.1": "install NVIDIA's driver",
    "libcudart.so": "pip install nvidia-cuda-runtime",
    "libcublas.so": "pip install nvidia-cublas",
    "ggml_backend_init returned NULL": "install the driver of the graphics card (`xllama doctor` says what there is)",
}
_LEFT_OUT = "XLLAMA_BACKENDS leaves it out"
_lock = threading.Lock()


@dataclass(frozen=True)
class Backend:
    """A backend's wheel.

    Attributes:
        name: the backend, such as ``vulkan``.
        package: the wheel's distribution with its version, such as ``xllama-vulkan 0.1.0``.
        problem: why it is not used; empty if it is loaded.
    """

    name: str
    package: str
    problem: str


def load_backends() -> tuple[Backend, ...]:
    """Load the installed backends, the first time; later calls return the same.

    The environment variable ``XLLAMA_BACKENDS`` names those to load, such as ``vulkan``; empty: none; unset: all.

    A backend that cannot be loaded is a RuntimeWarning, and the CPU computes.
    """
    with _lock:  # llama.cpp does not expect two threads that register devices
        is_first = not _load_all.cache_info().currsize
        backends = _load_all()
    for backend in backends if is_first else ():
        if backend.problem not in ("", _LEFT_OUT):
            message = f"{backend.package} is not used, so no GPU computes through {backend.name}: {backend.problem}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
    return backends


def devices() -> tuple[_native.Device, ...]:
    """Return all devices that compute, the CPU too. Loads the backends, and so llama.cpp."""
    load_backends()
    return tuple(_native.devices())


@functools.lru_cache(maxsize=1)
def _load_all() -> tuple[Backend, ...]:
    wanted = os.environ.get("XLLAMA_BACKENDS")
    names = None if wanted is None else {name.strip().lower() for name in wanted.split(",")}
    found = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return tuple(_load(point, left_out=names is not None and point.name not in names) for point in found)


def _load(point: EntryPoint, *, left_out: bool) -> Backend:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else point.module
    if left_out:
        return Backend(point.name, package, _LEFT_OUT)
    try:
        problem = _mismatch(point) or _load_library(point)
    except Exception as error:  # of the wheel's own code: it must not keep the CPU from computing
        problem = f"{type(error).__name__}: {error}"
    return Backend(point.name, package, problem)


def _mismatch(point: EntryPoint) -> str:
    """Return why the wheel does not belong to this installation, or an empty text."""
    try:
        own = version("xllama")
    except PackageNotFoundError:
        return ""
    if point.dist and point.dist.version != own:
        return f"xllama is {own}; pip install {point.dist.name}=={own}"
    return ""


def _load_library(point: EntryPoint) -> str:
    """Load the library that the wheel's module names; return why that failed, or an empty text."""
    if not _native.cpu_libraries()[0]:
        return (
            "it needs xllama's wheel for Linux, but this is a build from source or for Windows; "
            f"build with -C cmake.define.GGML_{point.name.upper()}=ON instead"
        )
    module = point.load()
    contract = _native.ggml_contract()
    if contract != module.CONTRACT:
        return (
            f"it was built for another ggml ({module.CONTRACT} instead of {contract}); install both from the same place"
        )
    before = len(_native.devices())
    problem = _native.load_backend(str(module.LIBRARY))
    if problem:
        remedy = next((text for part, text in _REMEDIES.items() if part in problem), "")
        return f"{problem}{remedy and f'; {remedy}'}"
    if len(_native.devices()) == before:
        return "it found no graphics card that it can use; `xllama doctor` says what there is"
    return ""
