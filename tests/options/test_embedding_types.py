"""Embeddings as half-precision numbers, bytes and bits: the definitions, and what they are worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from xlc_core import hamming_distances, quantize_embeddings

TEXTS = [
    "The llama grazes in the Andes.",
    "An alpaca eats grass in the mountains.",
    "Interest rates rose by half a point.",
    "The central bank tightened its policy.",
]


def random_vectors(n: int = 50, n_dims: int = 20) -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(n, n_dims)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("dtype", "numpy_type", "width"),
    [
        ("float32", np.float32, 384),
        ("float16", np.float16, 384),
        ("int8", np.int8, 384),
        ("uint8", np.uint8, 384),
        ("binary", np.int8, 48),
        ("ubinary", np.uint8, 48),
    ],
)
async def test_engine_returns_every_type(embedder: xlc.Engine, dtype: Any, numpy_type: Any, width: int) -> None:
    expected = quantize_embeddings(embedder.embed(TEXTS), dtype)
    for vectors in (embedder.embed(TEXTS, dtype=dtype), await embedder.aembed(TEXTS, dtype=dtype)):
        assert vectors.dtype == numpy_type
        assert vectors.shape == (4, width)
        assert np.mean(vectors == expected) > 0.95
    (row,) = embedder.embed_stream(TEXTS[:1], dtype=dtype)
    assert (row.dtype, row.shape) == (np.dtype(numpy_type), (width,))


def test_empty_result_has_the_type(embedder: xlc.Engine) -> None:
    assert embedder.embed([], dtype="binary").shape == (0, 48)


def test_int8_without_ranges_keeps_cosines() -> None:
    vectors = random_vectors(n_dims=384)
    small = quantize_embeddings(vectors, "int8")
    np.testing.assert_array_equal(small, np.rint(vectors * 127))
    np.testing.assert_allclose(
        small.astype(np.int32) @ small.T.astype(np.int32) / 127**2, vectors @ vectors.T, atol=0.02
    )
    assert quantize_embeddings(np.array([[-3, 3]], np.float32), "int8").tolist() == [[-127, 127]]


def test_ranges_are_those_of_sentence_transformers() -> None:
    """By its formula, written out here: (x - low) / ((high - low) / 255), less 128 for int8, whole part."""
    vectors = random_vectors()
    ranges = np.stack([vectors.min(axis=0), vectors.max(axis=0)])
    steps = (ranges[1] - ranges[0]) / 255
    np.testing.assert_array_equal(
        quantize_embeddings(vectors, "uint8", ranges=ranges), ((vectors - ranges[0]) / steps).astype(np.uint8)
    )
    np.testing.assert_array_equal(
        quantize_embeddings(vectors, "int8", ranges=ranges), ((vectors - ranges[0]) / steps - 128).astype(np.int8)
    )
    outside = quantize_embeddings(np.array([[-9, 9]], np.float32), "int8", ranges=(-1, 1))
    assert outside.tolist() == [[-128, 127]]


def test_bits_are_packed_signs() -> None:
    vectors = random_vectors()
    np.testing.assert_array_equal(quantize_embeddings(vectors, "ubinary"), np.packbits(vectors > 0, axis=1))
    np.testing.assert_array_equal(
        quantize_embeddings(vectors, "binary"), np.packbits(vectors > 0, axis=1).astype(np.int16) - 128
    )
    assert quantize_embeddings(vectors[0], "ubinary").shape == (3,)  # 20 bits


@pytest.mark.parametrize("dtype", ["binary", "ubinary"])
def test_distances_of_bits(dtype: Any) -> None:
    vectors = random_vectors(9)
    packed = quantize_embeddings(vectors, dtype)
    signs = vectors > 0
    expected = (signs[:3, None, :] != signs[None, :, :]).sum(axis=2)
    np.testing.assert_array_equal(hamming_distances(packed[:3], packed), expected)
    assert hamming_distances(packed[:0], packed).shape == (0, 9)
    assert hamming_distances(packed[:2], packed[:0]).shape == (2, 0)
    with pytest.raises(xlc.InvalidRequestError, match="one type"):
        hamming_distances(packed, packed.astype(np.int32))
    with pytest.raises(xlc.InvalidRequestError, match=r"arrays \(n, bytes\)"):
        hamming_distances(packed[0], packed)


def test_small_vectors_keep_neighbours(embedder: xlc.Engine) -> None:
    bits = embedder.embed(TEXTS, dtype="binary")
    distances = hamming_distances(bits, bits)
    np.fill_diagonal(distances, 384)
    assert distances.argmin(axis=1).tolist() == [1, 0, 3, 2]


def test_dimensions_are_cut_before_conversion(embedder: xlc.Engine) -> None:
    small = embedder.embed(TEXTS, dimensions=64, dtype="int8").astype(np.float32)
    assert small.shape == (4, 64)
    assert np.linalg.norm(small, axis=1) == pytest.approx(np.full(4, 127), rel=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int4"}, "dtype"),
        ({"dtype": "int8", "int8_ranges": [1, 2, 3]}, "pair or an array"),
        ({"dtype": "int8", "int8_ranges": "wide"}, "pair or an array"),
        ({"dtype": "int8", "int8_ranges": (1, -1)}, "below the greatest"),
        ({"dtype": "int8", "int8_ranges": (0, float("nan"))}, "finite"),
        ({"dtype": "int8", "int8_ranges": np.stack([np.zeros(5), np.ones(5)])}, "5 dimensions do not fit"),
    ],
)
def test_wrong_types_and_ranges_are_refused(embedder: xlc.Engine, options: Any, message: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=message):
        embedder.embed(TEXTS[:1], **options)
    with pytest.raises(xlc.InvalidRequestError, match=message):
        list(embedder.embed_stream(TEXTS[:1], **options))


def test_unknown_type_is_refused() -> None:
    with pytest.raises(xlc.InvalidRequestError, match="int4"):
        quantize_embeddings(random_vectors(), "int4")  # type: ignore[arg-type]
