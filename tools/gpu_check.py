"""Try xllama on a GPU and write a table: what works, tokens per second, bandwidth, memory foreseen and used.

    python tools/gpu_check.py [--device cuda:0] [--size 2048] [--table FILE]

The chat model is made here, of random weights; those for retrieval are in the package xllama-models.
tools/gpu_check.sh builds the CUDA backend and calls this.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import xlc_core as xlc
from helpers import tiny_models
from xlc_core import _native, backends

GREEDY: dict[str, Any] = {"temperature": 0, "ignore_eos": True}
PROMPT = "the hat " * 40
N_SLOTS = 4
EMBEDDER, RERANKER = "all-minilm-l6-v2", "xllama-rerank-mini"  # of the package xllama-models
CLOCK_RATE, BUS_WIDTH = 36, 37  # attributes of cudaDeviceGetAttribute: kHz, bits


def card_bandwidth() -> float | None:
    """Return the bytes per second that the first CUDA card's memory can deliver, or None."""
    try:
        cudart = ctypes.CDLL("libcudart.so.13")
    except OSError:
        return None
    values = []
    for attribute in (CLOCK_RATE, BUS_WIDTH):
        value = ctypes.c_int()
        if cudart.cudaDeviceGetAttribute(ctypes.byref(value), attribute, 0):
            return None
        values.append(value.value)
    return 2 * values[0] * 1000 * values[1] / 8 or None


class Check:
    """The device, the models, and the rows of the table."""

    def __init__(self, device: str, folder: Path, size: int) -> None:
        """Make the models."""
        self.device = device
        (self.name,) = _native.choose_devices(device)
        self.rows: list[tuple[str, str]] = []
        self.chat = self._write_chat(folder, size)
        self.options: dict[str, Any] = {"device": device, "n_gpu_layers": "all", "n_ctx": 1024, "n_parallel": N_SLOTS}

    @staticmethod
    def _write_chat(folder: Path, size: int) -> Path:
        """Write a llama with rows of this size, and its Q8_0."""
        tiny_models.N_EMBD, tiny_models.N_FF = size, 4 * size
        tiny_models.N_HEAD, tiny_models.N_LAYER = max(1, size // 64), 2 if size < 256 else 12
        source = tiny_models.write_byte_llama(folder / "f32.gguf")
        target = xlc.quantize_model(source, folder / "chat.gguf", "q8_0")
        source.unlink()
        return target

    def row(self, what: str, value: str) -> None:
        """Add a row, and print it."""
        self.rows.append((what, value))
        print(f"{what}: {value}", flush=True)

    def free(self) -> int:
        """Return the device's free bytes."""
        return next(device.free_bytes for device in _native.devices() if device.name == self.name)

    def generation(self) -> None:
        """One request, then several at once: text, speed, and the share of the card's bandwidth."""
        with xlc.Engine(self.chat, device="cpu", n_ctx=1024) as cpu:
            expected = cpu.complete(PROMPT, max_tokens=1, logprobs=5, temperature=0).logprobs[0]
        with xlc.Engine(self.chat, **self.options) as engine:
            first = engine.complete(PROMPT, max_tokens=1, logprobs=5, temperature=0).logprobs[0]
            theirs = {token.id: token.logprob for token in expected.top}
            difference = max(abs(theirs[token.id] - token.logprob) for token in first.top if token.id in theirs)
            assert difference < 0.15, f"the probabilities differ from the CPU's by {difference}"
            self.row("largest difference of a log probability from the CPU's", f"{difference:.4f}")
            engine.complete(PROMPT, max_tokens=16, **GREEDY)
            timings = engine.complete(PROMPT, max_tokens=200, cache_prompt=False, **GREEDY).timings
            speed = (timings.generation_tokens - 1) / timings.generation_seconds
            self.row("prompt", f"{timings.prompt_tokens / timings.prompt_seconds:,.0f} tokens/s")
            self.row("generation", f"{speed:,.1f} tokens/s")
            peak = card_bandwidth()
            weights = self.chat.stat().st_size
            share = f", {speed * weights / peak:.0%} of the card's {peak / 1e9:,.0f} GB/s" if peak else ""
            self.row("weights read", f"{speed * weights / 1e9:,.1f} GB/s{share}")
            start = time.monotonic()
            with ThreadPoolExecutor(N_SLOTS) as threads:
                prompts = [f"{PROMPT}{letter}" for letter in "abcd"]
                answers = list(threads.map(lambda text: engine.complete(text, max_tokens=100, **GREEDY), prompts))
            n_tokens = sum(answer.usage.completion_tokens for answer in answers)
            assert n_tokens == 100 * N_SLOTS
            self.row(f"{N_SLOTS} requests at once", f"{n_tokens / (time.monotonic() - start):,.1f} tokens/s together")

    def requests(self) -> None:
        """A constraint holds; a cancelled stream and a timeout free their slots."""
        with xlc.Engine(self.chat, **self.options) as engine:
            answer = engine.complete(PROMPT, constraint=xlc.Choice("the hat", "a hat"), max_tokens=20)
            assert answer.text in {"the hat", "a hat"}, answer.text
            stream = engine.stream_complete(PROMPT, max_tokens=900, **GREEDY)
            next(iter(stream))
            stream.close()
            try:
                engine.complete(PROMPT, max_tokens=900, timeout=0.001, **GREEDY)
            except xlc.RequestTimeoutError:
                pass
            else:
                raise AssertionError("a timeout did not end its request")
            assert engine.complete(PROMPT, max_tokens=2, **GREEDY).usage.completion_tokens == 2
        self.row("constraint, cancel, timeout", "work")

    def memory(self) -> None:
        """The estimate, the engine's own account, and what the driver sees; then sleep and waking up."""
        estimate = xlc.Engine.estimate(self.chat, **self.options)
        foreseen = sum(entry.total for entry in estimate.devices if entry.device == self.name)
        before = self.free()
        with xlc.Engine(self.chat, sleep_after=0.5, **self.options) as engine:
            engine.complete(PROMPT, max_tokens=4, **GREEDY)
            used = sum(entry.total for entry in engine.memory().devices if entry.device == self.name)
            seen = before - self.free()
            while not engine.asleep:
                threading.Event().wait(0.1)
            asleep = before - self.free()
            assert engine.complete(PROMPT, max_tokens=2, **GREEDY).usage.completion_tokens == 2
        assert abs(foreseen - used) < 0.05 * used + 2**20, (foreseen, used)
        megabytes = [f"{value / 2**20:,.0f} MiB" for value in (foreseen, used, seen, asleep)]
        self.row("memory foreseen, used, of the driver's view, asleep", ", ".join(megabytes))
        self.row("sleep and wake", "work")

    def retrieval(self) -> None:
        """Vectors like the CPU's."""
        texts = ["the hat", "a cat", "the cat"]
        with xlc.Engine(EMBEDDER, device="cpu") as cpu, xlc.Engine(EMBEDDER, **self._only_device()) as gpu:
            likeness = np.sum(cpu.embed(texts) * gpu.embed(texts), axis=1)
        assert np.all(likeness > 0.999), likeness
        self.row("embedding", f"likeness to the CPU's vectors ≥ {likeness.min():.5f}")
        with xlc.Engine(RERANKER, **self._only_device()) as engine:
            best = engine.rerank("How long do eggs boil?", ["A tower in Paris.", "Boil the eggs for ten minutes."])[0]
        assert best.index == 1, best
        self.row("reranking", "works")

    def _only_device(self) -> dict[str, Any]:
        return {"device": self.device, "n_gpu_layers": "all"}


def write_table(path: Path, check: Check, failures: list[str]) -> None:
    """Write the rows as a table of Markdown."""
    description = next(device.description for device in _native.devices() if device.name == check.name)
    size = f"{check.chat.stat().st_size / 2**20:,.0f} MiB"
    lines = [f"{description}, {check.name}; the chat model is a llama of random weights, Q8_0, {size}."]
    lines += ["", "| | |", "| --- | --- |", *(f"| {what} | {value} |" for what, value in check.rows)]
    lines += [f"| FAILED | {failure} |" for failure in failures]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def main() -> None:
    """Run all parts; those that fail are rows too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--size", type=int, default=2048, help="the width of the chat model")
    parser.add_argument("--table", type=Path, default=Path("gpu_check.md"))
    arguments = parser.parse_args()
    for device in backends.devices():
        print(f"{device.name}: {device.description}, device={device.option!r}")
    with tempfile.TemporaryDirectory() as folder:
        check = Check(arguments.device, Path(folder), arguments.size)
        failures = []
        parts: list[Callable[[], None]] = [check.generation, check.requests, check.memory, check.retrieval]
        for part in parts:
            try:
                part()
            except Exception as error:
                failures.append(f"{part.__name__}: {type(error).__name__}: {error}")
                print(f"FAILED {failures[-1]}", flush=True)
        write_table(arguments.table, check, failures)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
