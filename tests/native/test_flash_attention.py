"""Flash attention of our own kernels: every shape, option and type of the cache, against float64."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from xlc_core import _native

FLOAT = 2e-6
# float16 and bfloat16 round keys and values, Q8_0 more; the sums are float32 for all.
ERRORS = {"f32": FLOAT, "f16": 6e-4, "bf16": 5e-3, "q8_0": 1.5e-2, "q4_0": 0.2}

Numbers = np.ndarray[Any, np.dtype[np.float32]]


class Shape(NamedTuple):
    """Sizes of one call."""

    streams: int = 1
    heads: int = 6
    key_heads: int = 2
    tokens: int = 3
    keys: int = 200
    key_dims: int = 64
    value_dims: int = 64


# One token after many, whose keys are split between threads; prompts; few and odd keys and numbers; one head of keys.
SHAPES = [
    Shape(tokens=1, keys=1500),
    Shape(tokens=100, keys=300),
    Shape(streams=2, key_heads=6, tokens=7, keys=130, key_dims=80, value_dims=80),
    Shape(heads=71, key_heads=1, tokens=5, keys=600, key_dims=96, value_dims=32),
    Shape(streams=3, tokens=1, keys=1, key_dims=36, value_dims=20),
    Shape(tokens=50, keys=77, key_dims=8, value_dims=4),
    Shape(heads=2, tokens=3, keys=900, key_dims=1, value_dims=1),
    Shape(heads=16, key_heads=1, tokens=2, keys=320, key_dims=576, value_dims=512),
]


class Call:
    """Random numbers for a shape, and what attention of them is."""

    def __init__(self, shape: Shape, *, causal: bool = True, sinks: bool = False, max_bias: float = 0) -> None:
        draw = np.random.default_rng(3).standard_normal
        self.shape = shape
        of_keys = (shape.streams, shape.key_heads, shape.keys)
        self.queries: Numbers = draw((shape.streams, shape.heads, shape.tokens, shape.key_dims), dtype=np.float32)
        self.keys: Numbers = draw((*of_keys, shape.key_dims), dtype=np.float32)
        self.values: Numbers = draw((*of_keys, shape.value_dims), dtype=np.float32)
        self.sinks: Numbers | None = 3 * draw(shape.heads, dtype=np.float32) if sinks else None
        self.max_bias = max_bias
        self.masks: Numbers | None = None
        if causal:
            places = np.arange(shape.tokens)[:, None] + max(0, shape.keys - shape.tokens)
            behind = places - np.arange(shape.keys)[None, :]
            mask = np.where(behind >= 0, -behind if max_bias else 0, -np.inf).astype(np.float32)
            self.masks = np.repeat(mask[None], shape.streams, axis=0)

    def compute(self, how: str, *, type_: str = "f32", softcap: float = 0, n_threads: int = 2) -> Numbers:
        """Attention [stream, token, head, number] as `how` computes it."""
        found: Numbers = _native.attend(
            self.queries, self.keys, self.values, self.masks, self.sinks, type_, self.max_bias, softcap, how, n_threads
        )
        return found

    def exact(self, softcap: float = 0) -> Any:
        shape = self.shape
        share = shape.heads // shape.key_heads
        keys = np.repeat(self.keys.astype(np.float64), share, axis=1)
        values = np.repeat(self.values.astype(np.float64), share, axis=1)
        scores = np.einsum("shtd,shkd->shtk", self.queries, keys) / np.sqrt(shape.key_dims)
        if softcap:
            scores = softcap * np.tanh(scores / softcap)
        if self.masks is not None:
            scores = scores + self.slopes()[None, :, None, None] * self.masks[:, None]
        if self.sinks is not None:
            sinks = np.broadcast_to(self.sinks[None, :, None, None], (*scores.shape[:3], 1))
            scores = np.concatenate([scores, sinks], axis=3)
        weights = np.exp(scores - scores.max(axis=3, keepdims=True))
        weights /= weights.sum(axis=3, keepdims=True)
        return np.einsum("shtk,shkd->sthd", weights[..., : shape.keys], values)

    def slopes(self) -> Any:
        """ALiBi's, for a number of heads that need not be a power of two."""
        n_even = 2 ** int(np.log2(self.shape.heads))
        head = np.arange(self.shape.heads)
        late = 2 ** (-self.max_bias / 2 / n_even * (2 * (head - n_even) + 1))
        return np.where(head < n_even, 2 ** (-self.max_bias / n_even * (head + 1)), late)


def error(found: Any, exact: Any) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def ways() -> list[str]:
    best = _native.best_kernels()
    if not best:
        pytest.skip("this processor has neither AVX2 nor AVX-512")
    return sorted({"avx2", best, "graph"})


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape(shape: Shape, n_threads: int) -> None:
    call = Call(shape)
    for how in ways():
        assert error(call.compute(how, n_threads=n_threads), call.exact()) < FLOAT


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[1], SHAPES[4]])
def test_no_mask(shape: Shape) -> None:
    call = Call(shape, causal=False)
    for how in ways():
        assert error(call.compute(how), call.exact()) < FLOAT


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[1], SHAPES[3]])
def test_every_option(shape: Shape) -> None:
    for how in ways():
        call = Call(shape, sinks=True)
        assert error(call.compute(how), call.exact()) < FLOAT
        call = Call(shape, max_bias=8)
        assert error(call.compute(how), call.exact()) < FLOAT
        call = Call(shape)
        assert error(call.compute(how, softcap=2), call.exact(2)) < FLOAT


@pytest.mark.parametrize("type_", ERRORS)
@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[1]])
def test_types_of_the_cache(type_: str, shape: Shape) -> None:
    call = Call(shape)
    for how in ways():
        assert error(call.compute(how, type_=type_), call.exact()) < ERRORS[type_]


def test_more_precise_than_llama_cpp() -> None:
    ways()  # or this is skipped
    call = Call(SHAPES[0])
    ours, theirs = (error(call.compute(how, type_="f16"), call.exact()) for how in ("graph", "reference"))
    assert ours < theirs / 3  # which sums in float16


def test_a_row_that_sees_nothing_is_zero() -> None:
    call = Call(SHAPES[1])
    assert call.masks is not None
    call.masks[:, 5] = -np.inf
    for how in ways():
        found = call.compute(how)
        assert not found[:, 5].any()
        assert np.isfinite(found).all()


def test_keys_that_no_row_sees_do_not_count() -> None:
    call = Call(SHAPES[0])
    expected = {how: call.compute(how) for how in ways()}
    assert call.masks is not None
    call.keys = np.concatenate([call.keys, call.keys * 100], axis=2)
    call.values = np.concatenate([call.values, call.values * 100], axis=2)
    call.masks = np.concatenate([call.masks, np.full_like(call.masks, -np.inf)], axis=2)
    for how, before in expected.items():
        assert error(call.compute(how), before) < FLOAT


# Few tokens and many; some whose keys lie between those of others, and some that see most keys.
@pytest.mark.parametrize(("tokens", "keys"), [(16, 3000), (5, 100), (60, 700)])
@pytest.mark.parametrize("share", [0.03, 0.3, 0.9])
@pytest.mark.parametrize("type_", ["f32", "f16", "q8_0"])
def test_requests_that_share_a_cache(tokens: int, keys: int, share: float, type_: str) -> None:
    call = Call(Shape(tokens=tokens, keys=keys))
    drawn = np.random.default_rng(4).random((1, tokens, keys)) < share
    drawn[:, :, 0] = True
    call.masks = np.where(drawn, 0, -np.inf).astype(np.float32)
    for how in ways():
        assert error(call.compute(how, type_=type_), call.exact()) < 3 * ERRORS[type_]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_visible(bad: float) -> None:
    call = Call(Shape(tokens=4))
    call.queries[0, 2, 1, 5] = bad
    for how in ways():
        found = call.compute(how)
        assert not np.isfinite(found[0, 1, 2]).any()
        found[0, 1, 2] = 0
        assert np.isfinite(found).all()
