"""Products of weights with many rows of activations: more precise than llama.cpp's, for every shape."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xlc_core import _native

# The relative error of 13-bit integers in blocks of 32, for numbers that are normally distributed.
OURS = 4e-4
# The fewest rows that our kernels take, by type. llama.cpp rounds activations to the type named, and 8 bits in blocks
# of 32 for the others.
TYPES = {"q8_0": 5, "f16": 24, "bf16": 24, "q4_0": 5, "q4_1": 8, "q5_0": 5, "q5_1": 8}
# Blocks of 256 inputs; iq4_nl stands for types that only ggml unpacks.
LONG_TYPES = {"q2_K": 64, "q3_K": 64, "q4_K": 32, "q5_K": 32, "q6_K": 8, "iq4_nl": 64}


def kernels() -> list[str]:
    """The versions of our kernels that this processor runs."""
    best = _native.best_kernels()
    if not best:
        pytest.skip("this processor has neither AVX2 nor AVX-512")
    return sorted({"avx2", best})


def numbers(n_rows: int, n_columns: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    drawn: np.ndarray[Any, np.dtype[np.float32]] = np.random.default_rng(seed).standard_normal(
        (n_rows, n_columns), dtype=np.float32
    )
    return drawn


def error(activations: Any, product: Any, rounded: Any) -> float:
    exact = activations.astype(np.float64) @ rounded.astype(np.float64).T
    return float(np.linalg.norm(product - exact) / np.linalg.norm(exact))


# One block of inputs; a part of a slice; several slices. Outputs that fill no panel; rows that fill no tile.
@pytest.mark.parametrize(("n_in", "n_out", "n_rows"), [(32, 32, 1), (288, 70, 33), (576, 100, 131), (1056, 33, 64)])
@pytest.mark.parametrize("weight_type", TYPES)
@pytest.mark.parametrize("n_threads", [1, 3, 40])
def test_kernels_are_precise(n_in: int, n_out: int, n_rows: int, weight_type: str, n_threads: int) -> None:
    activations = numbers(n_rows, n_in, 2)
    for how in kernels():
        product, rounded = _native.multiply_weights(numbers(n_out, n_in, 1), activations, weight_type, how, n_threads)
        assert error(activations, product, rounded) < OURS


@pytest.mark.parametrize("weight_type", LONG_TYPES)
def test_kernels_are_precise_for_long_blocks(weight_type: str) -> None:
    activations = numbers(70, 768, 2)
    for how in kernels():
        product, rounded = _native.multiply_weights(numbers(50, 768, 1), activations, weight_type, how, 2)
        assert error(activations, product, rounded) < OURS


@pytest.mark.parametrize(("weight_type", "n_rows"), [*TYPES.items(), *LONG_TYPES.items()])
def test_graph_is_as_precise_as_llama_cpp(weight_type: str, n_rows: int) -> None:
    weights, activations = numbers(96, 512, 1), numbers(n_rows, 512, 2)
    activations[:, 7] *= 1000  # an outlier, as the activations of decoders have them
    errors = {
        how: error(activations, *_native.multiply_weights(weights, activations, weight_type, how, 2))
        for how in ("reading", "reference")
    }
    # An outlier costs its block precision, and float16 none. All other types round activations more than we do.
    assert errors["reading"] < errors["reference"] * (2 if weight_type == "f16" else 0.5)


@pytest.mark.parametrize(("weight_type", "fewest"), [*TYPES.items(), *LONG_TYPES.items()])
def test_graph_takes_our_kernels_for_many_rows_only(weight_type: str, fewest: int) -> None:
    kernels()  # or this is skipped
    best = _native.best_kernels()
    weights = numbers(64, 256, 1)
    # Generation rounds a few tokens as one: requests and drafts that share a step are as alone.
    for how, first in (("reading", fewest), ("graph", max(fewest, 32))):
        for n_rows, is_ours in ((first - 1, False), (first, True)):
            activations = numbers(n_rows, 256, 2)
            ours, graph = (_native.multiply_weights(weights, activations, weight_type, each)[0] for each in (best, how))
            assert np.array_equal(ours, graph) == is_ours


def run_with(kernels: str, code: str) -> str:
    """Run code in a process with this choice of kernels, and return what it prints."""
    environment = {**os.environ, "XLLAMA_KERNELS": kernels}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def test_environment_chooses_kernels() -> None:
    for name in kernels():
        assert run_with(name, "from xlc_core import _native; print(_native.best_kernels())") == name
    assert run_with("none", "from xlc_core import _native; print(_native.best_kernels())") == ""


def test_kernels_that_do_not_run_here_are_refused(embedder_path: Path) -> None:
    code = f"""
import xlc_core as xlc
try:
    xlc.Engine({str(embedder_path)!r})
except xlc.InvalidRequestError as error:
    print(error)
"""
    said = run_with("sve", code)
    assert "XLLAMA_KERNELS is sve" in said
    assert "none of our kernels" in said


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_visible(bad: float) -> None:
    activations = numbers(40, 64, 2)
    activations[3, 5] = bad
    for how in kernels():
        product, _ = _native.multiply_weights(numbers(40, 64, 1), activations, "f16", how)
        assert not np.isfinite(product[3]).any()
        assert np.isfinite(np.delete(product, 3, axis=0)).all()


def test_zeros_are_exact() -> None:
    for how in kernels():
        product, _ = _native.multiply_weights(numbers(40, 64, 1), numbers(40, 64, 2) * 0, "q8_0", how)
        assert not product.any()
        for weight_type in (*TYPES, *LONG_TYPES):
            product, _ = _native.multiply_weights(numbers(40, 256, 1) * 0, numbers(40, 256, 2), weight_type, how)
            assert not product.any()


# Rows of weights that fill no chunk, chunks that fill no thread, an output that needs several chunks.
@pytest.mark.parametrize(("n_in", "n_out"), [(256, 1), (768, 7), (2048, 301)])
@pytest.mark.parametrize("weight_type", ["f32", *TYPES, *LONG_TYPES])
@pytest.mark.parametrize("n_rows", [1, 2, 4])
def test_few_rows_are_as_llama_cpp_computes_them(n_in: int, n_out: int, weight_type: str, n_rows: int) -> None:
    weights, activations = numbers(n_out, n_in, 1), numbers(n_rows, n_in, 2)
    expected, _ = _native.multiply_weights(weights, activations, weight_type, "reference", 1)
    for n_threads in (1, 2, 5):
        product, _ = _native.multiply_weights(weights, activations, weight_type, "graph", n_threads)
        assert np.array_equal(product, expected)
