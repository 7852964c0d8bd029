"""The tests of the Vulkan backend run on the first Vulkan device, which can be Mesa's software driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import xlc_core as xlc
from xlc_core import _native, backends

CHAT = "smollm2-135m-instruct"
SMALL: dict[str, Any] = {"n_ctx": 512, "n_parallel": 2}


@pytest.fixture(scope="session", autouse=True)
def device() -> _native.Device:
    """The first Vulkan device."""
    found = [device for device in backends.devices() if device.backend == "Vulkan"]
    if not found:
        why = "; ".join(backend.problem for backend in backends.load_backends()) or "xllama-vulkan is not installed"
        pytest.skip(f"there is no Vulkan device ({why}); `make test-vulkan` installs the wheels")
    return found[0]


@pytest.fixture(scope="session")
def on_cpu() -> Iterator[xlc.Engine]:
    with xlc.Engine(CHAT, device="cpu", **SMALL) as engine:
        yield engine


@pytest.fixture(scope="session")
def on_gpu(device: _native.Device) -> Iterator[xlc.Engine]:
    with xlc.Engine(CHAT, device=device.option, n_gpu_layers="all", **SMALL) as engine:
        yield engine
