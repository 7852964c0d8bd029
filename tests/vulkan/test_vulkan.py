"""Models on a Vulkan device: the same answers as on the CPU, and the memory that was foreseen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from helpers.waiting import is_idle, wait_until
from xlc_core import _native

CHAT = "smollm2-135m-instruct"
SMALL: dict[str, Any] = {"n_ctx": 512, "n_parallel": 2}
PROMPT = "The capital of France is"
GREEDY: dict[str, Any] = {"max_tokens": 12, "temperature": 0}
TEXTS = ["The tower is in Paris.", "A tower of Paris", "Boil the eggs for ten minutes."]


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


def test_requests_at_once_get_their_own_answers(on_gpu: xlc.Engine) -> None:
    prompts = [PROMPT, "Water is made of", "One, two, three,", "The opposite of hot is"]
    alone = [on_gpu.complete(prompt, **GREEDY).text for prompt in prompts]
    with ThreadPoolExecutor(len(prompts)) as threads:
        together = list(threads.map(lambda prompt: on_gpu.complete(prompt, **GREEDY).text, prompts))
    # Rows that are computed together may be rounded in another order, so a later token may differ.
    assert [text[:6] for text in together] == [text[:6] for text in alone]


def test_cancelled_stream_frees_its_slot(on_gpu: xlc.Engine) -> None:
    streams = [on_gpu.stream_complete(PROMPT, max_tokens=400, temperature=0, ignore_eos=True) for _ in range(2)]
    for stream in streams:
        next(iter(stream))
        stream.close()
    assert wait_until(lambda: is_idle(on_gpu))
    assert on_gpu.complete(PROMPT, **GREEDY).usage.completion_tokens > 0


def test_timeout_ends_a_request(on_gpu: xlc.Engine) -> None:
    with pytest.raises(xlc.RequestTimeoutError):
        on_gpu.complete(PROMPT, max_tokens=450, temperature=0, ignore_eos=True, timeout=0.2)
    assert on_gpu.complete(PROMPT, **GREEDY).usage.completion_tokens > 0


def test_engine_sleeps_and_wakes(tmp_path: Path, device: _native.Device) -> None:
    model = write_byte_llama(tmp_path / "tiny.gguf")
    with xlc.Engine(model, device="vulkan:0", n_gpu_layers="all", n_ctx=256, sleep_after=0.2) as engine:
        before = engine.complete("the", max_tokens=4, temperature=0).text
        assert wait_until(lambda: engine.asleep)
        assert engine.memory().total == 0
        assert engine.complete("the", max_tokens=4, temperature=0).text == before
        assert bytes_on(engine.memory().devices, device.name) > 0


@pytest.mark.parametrize("layers", ["all", "auto"])
def test_vectors_are_those_of_the_cpu(device: _native.Device, layers: Any) -> None:
    with xlc.Engine("all-minilm-l6-v2", device="cpu") as engine:
        expected = engine.embed(TEXTS)
    with xlc.Engine("all-minilm-l6-v2", device="vulkan:0", n_gpu_layers=layers) as engine:
        vectors = engine.embed(TEXTS)
        assert bytes_on(engine.memory().devices, device.name) > 0
    assert np.all(np.sum(vectors * expected, axis=1) > 0.999)


def test_ranking_is_that_of_the_cpu() -> None:
    question = "How long do eggs boil?"
    with xlc.Engine("xllama-rerank-mini", device="cpu") as engine:
        expected = engine.rerank(question, TEXTS)
    with xlc.Engine("xllama-rerank-mini", device="vulkan:0", n_gpu_layers="all") as engine:
        scores = engine.rerank(question, TEXTS)
    assert [score.index for score in scores] == [score.index for score in expected]
    assert [score.score for score in scores] == pytest.approx([score.score for score in expected], abs=0.05)


def test_adapter_passes_the_device_on(device: _native.Device) -> None:
    langchain = pytest.importorskip("xlc_langchain")
    options = {"device": "vulkan:0", "n_gpu_layers": "all", **SMALL}
    chat = langchain.ChatXLlama(model=CHAT, engine_options=options, max_tokens=4, temperature=0)
    assert chat.invoke("Say hello.").content
    with pytest.raises(xlc.InvalidRequestError, match="'vulkan:0'"):
        langchain.ChatXLlama(model=CHAT, engine_options={"device": "vulkan:9"}).invoke("Say hello.")
