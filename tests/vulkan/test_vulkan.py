"""Models on a Vulkan device: the same answers as on the CPU, and the memory that was foreseen."""

from __future__ import annotations

from typing import Any

import pytest

import xlc_core as xlc
from xlc_core import _native

CHAT = "smollm2-135m-instruct"
SMALL: dict[str, Any] = {"n_ctx": 512, "n_parallel": 2}
PROMPT = "The capital of France is"
GREEDY: dict[str, Any] = {"max_tokens": 12, "temperature": 0}


def bytes_on(devices: Any, name: str) -> int:
    """Return the bytes of weights on one device."""
    return sum(entry.model for entry in devices if entry.device == name)


def first_logprobs(engine: xlc.Engine) -> dict[str, float]:
    """Return the likeliest first tokens of an answer."""
    answer = engine.complete(PROMPT, max_tokens=1, temperature=0, logprobs=8)
    assert answer.logprobs is not None
    return {token.token: token.logprob for token in answer.logprobs[0].top}


def test_device_is_described(device: _native.Device) -> None:
    assert device.is_gpu
    assert device.option == "vulkan:0"
    assert 0 < device.free_bytes <= device.total_bytes
    assert _native.choose_devices("vulkan:0") == _native.choose_devices("VULKAN:0") == [device.name]
    assert device.name in _native.choose_devices("vulkan")
    assert _native.choose_devices("cpu") == []


def test_probabilities_are_near_those_of_the_cpu(on_cpu: xlc.Engine, on_gpu: xlc.Engine) -> None:
    """Its kernels round in other places than the CPU's."""
    cpu, gpu = first_logprobs(on_cpu), first_logprobs(on_gpu)
    shared = cpu.keys() & gpu.keys()
    assert len(shared) >= 6
    assert max(abs(cpu[token] - gpu[token]) for token in shared) < 0.4
    assert max(cpu, key=cpu.__getitem__) == max(gpu, key=gpu.__getitem__)


def test_text_is_that_of_the_cpu(on_cpu: xlc.Engine, on_gpu: xlc.Engine) -> None:
    assert on_gpu.complete(PROMPT, **GREEDY).text == on_cpu.complete(PROMPT, **GREEDY).text


def test_constraint_holds(on_gpu: xlc.Engine) -> None:
    answer = on_gpu.complete("My favourite colour is ", constraint=xlc.Choice("red", "green"), **GREEDY)
    assert answer.text in {"red", "green"}


@pytest.mark.parametrize("layers", [0, 5, "all", "auto"])
def test_layers_go_where_they_should(device: _native.Device, on_gpu: xlc.Engine, layers: Any) -> None:
    estimate = xlc.Engine.estimate(CHAT, device="vulkan:0", n_gpu_layers=layers, **SMALL)
    with xlc.Engine(CHAT, device="vulkan:0", n_gpu_layers=layers, **SMALL) as engine:
        memory = engine.memory()
        assert engine.complete(PROMPT, max_tokens=2, temperature=0).usage.completion_tokens == 2
    everything = bytes_on(on_gpu.memory().devices, device.name)
    here = bytes_on(memory.devices, device.name)
    if layers == 0:
        assert here == 0
    elif layers == 5:
        assert 0.05 * everything < here < 0.5 * everything
    else:
        assert here == everything > 0.5 * memory.model
    for part in ("model", "context", "compute"):
        for entry in memory.devices:
            foreseen = next(each for each in estimate.devices if each.device == entry.device)
            assert getattr(foreseen, part) == pytest.approx(getattr(entry, part), rel=0.05, abs=2**20)


def test_auto_fits_to_the_free_memory(device: _native.Device, on_gpu: xlc.Engine) -> None:
    """Nearly all memory has to stay free, so only some of the layers fit."""
    everything = bytes_on(on_gpu.memory().devices, device.name)
    free = next(entry.free for entry in on_gpu.memory().devices if entry.device == device.name) or device.free_bytes
    margin = (free - everything * 2 // 3) // 2**20
    options: dict[str, Any] = {**SMALL, "llama_args": ["--fit-target", str(margin)]}
    estimate = xlc.Engine.estimate(CHAT, device="vulkan:0", **options)
    assert 0 < bytes_on(estimate.devices, device.name) < everything
    assert estimate.fits


def test_cpu_alone_leaves_the_card(device: _native.Device, on_cpu: xlc.Engine) -> None:
    assert [entry.device for entry in on_cpu.memory().devices] == ["CPU"]
