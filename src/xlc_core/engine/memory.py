"""The memory of an engine, now or if it were opened; and its sleep, during which it does not need any."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Unpack

from xlc_core import _native, hardware
from xlc_core.engine import opening
from xlc_core.engine.base import EngineBase
from xlc_core.models import catalog
from xlc_core.options.engine import EngineOptions
from xlc_core.options.kwargs import EngineKwargs
from xlc_core.texts import native_path

__all__ = ["DeviceMemory", "EngineMemory", "MemoryEstimate", "MemoryMethods"]

_HOST = "CPU"


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes of one device, by their use.

    Attributes:
        device: ggml's name of the device; ``CPU`` is the host's memory, however many devices compute there.
        model: bytes of weights. The system may keep less of a mapped file (``use_mmap``) in memory. For a projector
            (``mmproj``) also the most that it computes with.
        context: bytes of KV cache, or recurrent state.
        compute: bytes of buffers for intermediate results.
        free: bytes that are free now; None if that is unknown.
    """

    device: str
    model: int
    context: int
    compute: int
    free: int | None

    @property
    def total(self) -> int:
        """Bytes of weights, context and buffers together."""
        return self.model + self.context + self.compute


@dataclass(frozen=True)
class _Memory:
    """Bytes on all devices.

    Attributes:
        devices: one entry for each device that is used.
    """

    devices: tuple[DeviceMemory, ...]

    @property
    def model(self) -> int:
        """Bytes of weights on all devices."""
        return sum(device.model for device in self.devices)

    @property
    def context(self) -> int:
        """Bytes of KV cache or recurrent state on all devices."""
        return sum(device.context for device in self.devices)

    @property
    def compute(self) -> int:
        """Bytes of compute buffers on all devices."""
        return sum(device.compute for device in self.devices)

    @property
    def total(self) -> int:
        """All bytes on all devices."""
        return sum(device.total for device in self.devices)


@dataclass(frozen=True)
class EngineMemory(_Memory):
    """The memory that an engine uses now: for generation, its draft model, and retrieval.

    Attributes:
        devices: one entry for each device that is used; none while it sleeps.
        prompt_cache: bytes of the host's for prompts that have lost their slot, at most ``cache_ram_mib``; not in
            ``devices``.
        paused: bytes of the host's for the states of paused requests (docs/engine.md), which take the place of prompts
            in ``cache_ram_mib``; not in ``devices``.
        asleep: whether it sleeps, and has freed everything.
    """

    prompt_cache: int = 0
    paused: int = 0
    asleep: bool = False


@dataclass(frozen=True)
class MemoryEstimate(_Memory):
    """The memory that an engine would use once it is open.

    Attributes:
        devices: one entry for each device that would be used.
        n_ctx: tokens that one request may hold, prompt and answer together; 0 for a model that is made for retrieval,
            whose context is made with its first texts.
        n_ctx_total: tokens of KV cache for all slots together; 0 likewise.
        n_parallel: slots; 0 likewise.
    """

    n_ctx: int = 0
    n_ctx_total: int = 0
    n_parallel: int = 0

    @property
    def fits(self) -> bool:
        """Whether each device has enough free memory now, as far as that is known."""
        return all(device.free is None or device.total <= device.free for device in self.devices)


def _read(devices: list[_native.DeviceMemory]) -> tuple[DeviceMemory, ...]:
    return tuple(
        DeviceMemory(
            device=device.device,
            model=device.model,
            context=device.context,
            compute=device.compute,
            free=hardware.available_memory() if device.device == _HOST else device.free or None,
        )
        for device in devices
    )


class MemoryMethods(EngineBase):
    """Engine's methods about its memory and its sleep."""

    @classmethod
    def estimate(
        cls, model: str | Path | EngineOptions | None = None, **options: Unpack[EngineKwargs]
    ) -> MemoryEstimate:
        """Return the memory that an engine would use, without reading its weights.

        llama.cpp lays the model and its context out as it would for real, so that the figures are those that
        ``memory()`` of the open engine has, but for buffers that grow later. Takes a fraction of a second, once
        the model's file is on this disk: it is fetched first as when opening.

        Args:
            model: as Engine takes it; None: the value of ``XLLAMA_MODEL``.
            **options: fields of EngineOptions.

        Raises:
            InvalidRequestError: an option is unknown or out of range, or stands beside EngineOptions.
            XllamaError: the errors of opening an engine that the file's header already reveals.
        """
        wanted = EngineOptions.of(model, options)
        resolved = catalog.resolve(wanted.model)
        file = _native.read_model_file(native_path(resolved.path, "the model"))
        found = _native.estimate_memory(opening.native_params(wanted, resolved.name, file))
        return MemoryEstimate(_read(found.devices), found.n_ctx, found.n_ctx_total, found.n_parallel)

    def memory(self) -> EngineMemory:
        """Return the memory in use on each device, in bytes; waits for the current step.

        Memory of llama.cpp, Python and requests outside tensors is not counted.

        Raises:
            EngineClosedError: the engine is closed.
        """
        found = self._native.memory()
        return EngineMemory(_read(found.devices), found.prompt_cache, found.paused, found.asleep)

    async def amemory(self) -> EngineMemory:
        """Return the memory in use on each device; see memory. Waits on a helper thread."""
        return await asyncio.to_thread(self.memory)

    @property
    def asleep(self) -> bool:
        """Whether the engine has freed its model after ``sleep_after`` seconds; the next request loads it again."""
        return self._native.asleep
