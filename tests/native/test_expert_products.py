"""Products of a mixture of experts with the rows routed to each: precise for every type, however rows are spread."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from xlc_core import _native

# The relative error of 13-bit integers in blocks of 32, for numbers that are normally distributed.
OURS = 4e-4
SHORT_TYPES = ("q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl", "mxfp4", "f16", "bf16")
LONG_TYPES = ("q2_K", "q3_K", "q4_K", "q5_K", "q6_K", "iq4_xs")
MANY = 24  # rows of an expert that always are enough for our kernels
FEW = 5  # that never are

Floats = npt.NDArray[np.float32]
Choices = npt.NDArray[np.int32]


def kernels() -> list[str]:
    """The versions of our kernels that this processor runs."""
    best = _native.best_kernels()
    if not best:
        pytest.skip("this processor has neither AVX2 nor AVX-512")
    return sorted({"avx2", best})


def numbers(*shape: int, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def error(activations: Floats, choices: Choices, product: Floats, rounded: Floats) -> float:
    """The relative error of a product to the one in float64."""
    exact = np.zeros(product.shape)
    for token, slot in np.ndindex(*choices.shape):
        row = activations[token, slot % activations.shape[1]].astype(np.float64)
        exact[token, slot] = rounded[choices[token, slot]].astype(np.float64) @ row
    return float(np.linalg.norm(product - exact) / np.linalg.norm(exact))


def routed(n_rows: dict[int, int], n_slots: int) -> Choices:
    """Choices in which each expert has so many rows, in a mixed order and once per token."""
    tokens = np.array([expert for expert, n in n_rows.items() for _ in range(n)], dtype=np.int32)
    columns = tokens.reshape(n_slots, -1).T  # equal experts are not beside each other
    return np.ascontiguousarray(np.random.default_rng(3).permutation(columns))


@pytest.mark.parametrize("n_sources", [1, 2])  # one row for all experts of a token, as before the gate; one for each
@pytest.mark.parametrize(("n_in", "n_out"), [(256, 64), (768, 33), (1024, 5)])  # outputs that fill panels, and do not
@pytest.mark.parametrize("weight_type", [*SHORT_TYPES, *LONG_TYPES])
def test_kernels_are_precise(weight_type: str, n_in: int, n_out: int, n_sources: int) -> None:
    choices = routed({0: MANY, 2: MANY + 7, 3: MANY + 1}, 2)  # expert 1 has no rows
    activations = numbers(len(choices), n_sources, n_in)
    for how in kernels():
        for n_threads in (1, 3):
            product, rounded = _native.multiply_experts(
                numbers(4, n_out, n_in), activations, choices, weight_type, how, n_threads
            )
            assert error(activations, choices, product, rounded) < OURS


@pytest.mark.parametrize("weight_type", [*SHORT_TYPES, *LONG_TYPES])
def test_graph_is_as_precise_as_llama_cpp(weight_type: str) -> None:
    choices = routed({0: MANY, 1: FEW, 3: MANY + 10, 4: 1, 5: MANY + 2}, 2)
    weights, activations = numbers(6, 64, 512), numbers(len(choices), 1, 512)
    ours, theirs = (
        error(activations, choices, *_native.multiply_experts(weights, activations, choices, weight_type, how, 2))
        for how in ("graph", "reference")
    )
    assert ours < theirs * (1.01 if weight_type == "f16" else 0.5)


@pytest.mark.parametrize("weight_type", ["f32", *SHORT_TYPES, *LONG_TYPES])
@pytest.mark.parametrize("n_tokens", [1, 3])  # tokens that are generated
@pytest.mark.parametrize("n_sources", [1, 4])
def test_few_rows_are_as_llama_cpp_computes_them(weight_type: str, n_tokens: int, n_sources: int) -> None:
    weights, activations = numbers(8, 70, 512), numbers(n_tokens, n_sources, 512)
    choices = np.array([[7, 0, 3, 4], [2, 7, 1, 0], [6, 5, 4, 7]], dtype=np.int32)[:n_tokens]
    expected, _ = _native.multiply_experts(weights, activations, choices, weight_type, "reference", 1)
    for n_threads in (1, 2, 5):
        product, _ = _native.multiply_experts(weights, activations, choices, weight_type, "graph", n_threads)
        assert np.array_equal(product, expected)


def test_each_expert_is_computed_by_what_suits_its_rows() -> None:
    kernels()  # or this is skipped
    choices = routed({0: MANY, 1: FEW, 2: MANY + 1}, 1)
    weights, activations = numbers(3, 64, 256), numbers(len(choices), 1, 256)
    graph, theirs = (
        _native.multiply_experts(weights, activations, choices, "q8_0", how, 2)[0] for how in ("graph", "reference")
    )
    same = (graph == theirs).all(axis=(1, 2))
    assert np.array_equal(same, (choices == 1).all(axis=1))


@pytest.mark.parametrize("n_tokens", [2, 24, 31])
@pytest.mark.parametrize("weight_type", SHORT_TYPES)
def test_tokens_of_a_step_are_rounded_as_alone(weight_type: str, n_tokens: int) -> None:
    weights, activations = numbers(3, 64, 256), numbers(n_tokens, 1, 256)
    choices = np.ones((n_tokens, 1), dtype=np.int32)
    together, _ = _native.multiply_experts(weights, activations, choices, weight_type, "graph", 2)
    for token in range(n_tokens):
        one = slice(token, token + 1)
        alone, _ = _native.multiply_experts(weights, activations[one], choices[one], weight_type, "graph", 2)
        assert np.array_equal(together[one], alone)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_visible(bad: float) -> None:
    choices = routed({0: MANY, 1: MANY}, 1)
    activations = numbers(len(choices), 1, 64)
    activations[3, 0, 5] = bad
    for how in kernels():
        product, _ = _native.multiply_experts(numbers(2, 40, 64), activations, choices, "f16", how)
        assert not np.isfinite(product[3]).any()
        assert np.isfinite(np.delete(product, 3, axis=0)).all()


def test_expert_that_does_not_exist_fails_the_computation() -> None:
    arguments: tuple[Any, ...] = (numbers(2, 40, 64), numbers(1, 1, 64), np.array([[2]], dtype=np.int32), "q8_0")
    if _native.best_kernels():
        with pytest.raises(Exception, match="computation failed"):
            _native.multiply_experts(*arguments, "graph", 2)
