"""LoRA adapters and control vectors, on tiny random models whose weights can be merged by hand."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from helpers.tiny_models import N_EMBD, N_LAYER, random_pairs, write_byte_llama, write_control_vector, write_lora

OPTIONS: dict[str, Any] = {"n_ctx": 256, "n_parallel": 2, "warmup": False, "n_threads": 1}
NO_BYTES: Any = dict.fromkeys(range(3, 259), False)  # half a character has no log-probabilities
ASK: dict[str, Any] = {"temperature": 0, "max_tokens": 4, "ignore_eos": True, "logprobs": 5, "logit_bias": NO_BYTES}
PROMPT = "the other day"
PAIRS = random_pairs("blk.0.attn_q.weight", "blk.1.attn_output.weight")
OTHER_PAIRS = random_pairs("blk.0.attn_v.weight", seed=2)
ALPHA, RANK = 8.0, 4


def logprobs(engine: xlc.Engine, **options: Any) -> list[float]:
    """Numbers and log-probabilities of the likeliest tokens at the first place."""
    answer = engine.complete(PROMPT, **{**ASK, **options})
    first = answer.logprobs[0]
    return [number for token in sorted(first.top, key=lambda token: token.id) for number in (token.id, token.logprob)]


def close(first: list[float], second: list[float]) -> bool:
    return len(first) == len(second) and np.allclose(first, second, atol=2e-3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    write_byte_llama(folder / "base.gguf")
    for name, pairs in (("style", PAIRS), ("other", OTHER_PAIRS)):
        write_lora(folder / f"{name}.gguf", pairs, alpha=ALPHA)
        for scale in (1.0, 0.5):
            added = {weight: scale * ALPHA / RANK * b @ a for weight, (a, b) in pairs.items()}
            write_byte_llama(folder / f"{name}-merged-{scale}.gguf", added=added)
    return folder


@pytest.fixture(scope="module")
def base(folder: Path) -> list[float]:
    with xlc.Engine(folder / "base.gguf", **OPTIONS) as engine:
        return logprobs(engine)


@pytest.fixture(scope="module")
def merged(folder: Path) -> dict[str, list[float]]:
    found = {}
    for path in sorted(folder.glob("*-merged-*.gguf")):
        with xlc.Engine(path, **OPTIONS) as engine:
            found[path.stem] = logprobs(engine)
    return found


@pytest.fixture(scope="module")
def adapted(folder: Path) -> Iterator[xlc.Engine]:
    with xlc.Engine(folder / "base.gguf", lora=[folder / "style.gguf", folder / "other.gguf"], **OPTIONS) as engine:
        yield engine


# LoRA


def test_adapter_equals_merged_weights(folder: Path, base: list[float], merged: dict[str, list[float]]) -> None:
    assert not close(base, merged["style-merged-1.0"])
    assert not close(merged["style-merged-0.5"], merged["style-merged-1.0"])
    for scale, expected in ((1.0, merged["style-merged-1.0"]), (0.5, merged["style-merged-0.5"]), (0.0, base)):
        with xlc.Engine(folder / "base.gguf", lora={folder / "style.gguf": scale}, **OPTIONS) as engine:
            assert close(logprobs(engine), expected)


def test_requests_have_scales_of_their_own(
    adapted: xlc.Engine, base: list[float], merged: dict[str, list[float]]
) -> None:
    assert adapted.lora_scales == {"style": 1.0, "other": 1.0}
    cases = [
        ({"style": 1.0, "other": 0.0}, merged["style-merged-1.0"]),
        ({"style": 0.0, "other": 0.5}, merged["other-merged-0.5"]),
        ({"style": 0.0, "other": 0.0}, base),
    ]
    for _ in range(2):  # each after each, so that what a slot remembers was read with other adapters
        for scales, expected in cases:
            assert close(logprobs(adapted, lora=scales), expected)
    both = logprobs(adapted)
    assert not any(close(both, expected) for _, expected in cases)
    assert close(logprobs(adapted, lora={"style": 1.0}), both)  # those not named keep theirs
    assert adapted.lora_scales == {"style": 1.0, "other": 1.0}


def test_requests_at_once_do_not_mix(adapted: xlc.Engine, base: list[float], merged: dict[str, list[float]]) -> None:
    cases = [({"style": 1.0, "other": 0.0}, merged["style-merged-1.0"]), ({"style": 0.0, "other": 0.0}, base)] * 4
    streams = [adapted.stream_complete(PROMPT, lora=scales, **ASK) for scales, _ in cases]
    for stream, (scales, _) in zip(streams, cases, strict=True):
        alone = adapted.complete(PROMPT, lora=scales, **ASK)
        assert stream.result().text == alone.text


def test_scales_can_be_changed(adapted: xlc.Engine, base: list[float], merged: dict[str, list[float]]) -> None:
    try:
        adapted.set_lora_scales({"style": 0, "other": 0})
        assert close(logprobs(adapted), base)
        adapted.set_lora_scales({"style": 0.5})
        assert adapted.lora_scales == {"style": 0.5, "other": 0.0}
        assert close(logprobs(adapted), merged["style-merged-0.5"])
    finally:
        adapted.set_lora_scales({"style": 1, "other": 1})


def test_prompt_read_with_an_adapter_is_not_reused_without(adapted: xlc.Engine) -> None:
    def cached(**options: Any) -> int:
        return adapted.complete(PROMPT, max_tokens=1, **options).usage.cached_tokens

    scales = {"style": 0.25, "other": 0.0}
    adapted.complete("zzz", max_tokens=1)
    assert cached(lora=scales) == 0
    assert cached(lora=scales) > 0
    assert cached(lora={"style": 0.75, "other": 0.0}) == 0


@pytest.mark.parametrize(
    ("scales", "reason"),
    [
        ({"stile": 1.0}, "no LoRA adapter 'stile'; loaded are 'style', 'other'"),
        ({"style": math.nan}, "finite"),
        ({"style": "much"}, "number"),
    ],
)
def test_bad_scales_are_refused(adapted: xlc.Engine, scales: Any, reason: str) -> None:
    before = adapted.lora_scales
    with pytest.raises(xlc.InvalidRequestError, match=reason):
        adapted.set_lora_scales(scales)
    with pytest.raises(xlc.InvalidRequestError, match=reason):
        adapted.complete(PROMPT, lora=scales)
    assert adapted.lora_scales == before


def test_scales_for_an_engine_without_adapters(engine: xlc.Engine) -> None:
    assert engine.lora_scales == {}
    with pytest.raises(xlc.InvalidRequestError, match="open the engine with lora="):
        engine.chat("Hi", lora={"style": 1.0})


def wrong_lora(folder: Path, fault: str) -> Path:
    path = folder / f"wrong-{fault}.gguf"
    a, b = PAIRS["blk.0.attn_q.weight"]
    if fault == "architecture":
        return write_lora(path, PAIRS, architecture="qwen2")
    if fault == "kind":
        return write_lora(path, PAIRS, general_type="model")
    if fault == "rank":
        return write_lora(path, {"blk.0.attn_q.weight": (a, b[:, :2].copy())})
    if fault == "embedding":
        return write_lora(
            path, {"token_embd.weight": (np.ones((290, 4), np.float32), np.ones((N_EMBD, 2), np.float32))}
        )
    if fault == "shape":
        return write_lora(path, {"blk.0.attn_q.weight": (np.ones((4, 32), np.float32), b)})
    if fault == "tensor":
        return write_lora(path, {"blk.9.attn_q.weight": (a, b)})
    if fault == "empty":
        return write_lora(path, {})
    path.write_bytes(b"GGUF" + b"\xff" * 64 if fault == "corrupt" else b"no such thing")
    return path


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("architecture", "made for a model of architecture 'qwen2'.*has 'llama'"),
        ("kind", "is not a LoRA adapter: its general.type is 'model'"),
        ("rank", "ranks that do not match for 'blk.0.attn_q.weight': 4 in lora_a and 2 in lora_b"),
        ("embedding", "ranks that do not match for 'token_embd.weight'"),
        ("shape", "does not fit.*blk.0.attn_q.weight"),
        ("tensor", "does not fit.*blk.9.attn_q.weight.*does not exist"),
        ("empty", "does not hold a pair"),
        ("corrupt", "not a GGUF file"),
        ("text", "not a GGUF file"),
    ],
)
def test_adapter_that_does_not_fit_is_an_error(folder: Path, fault: str, reason: str) -> None:
    with pytest.raises(xlc.ModelLoadError, match=reason):
        xlc.Engine(folder / "base.gguf", lora=wrong_lora(folder, fault), **OPTIONS)


def test_missing_adapter_is_named(folder: Path) -> None:
    with pytest.raises(xlc.ModelNotFoundError, match=r"no LoRA adapter at '.*gone\.gguf'"):
        xlc.Engine(folder / "base.gguf", lora=folder / "gone.gguf", **OPTIONS)
    with pytest.raises(xlc.ModelNotFoundError, match=r"no control vector at '.*gone\.gguf'"):
        xlc.Engine(folder / "base.gguf", control_vectors=folder / "gone.gguf", **OPTIONS)


def test_encoder_refuses_lora(folder: Path) -> None:
    with pytest.raises(xlc.UnsupportedFeatureError, match="is an encoder"):
        xlc.Engine("all-minilm-l6-v2", lora=folder / "style.gguf")


# Control vectors


@pytest.fixture(scope="module")
def direction(folder: Path) -> Path:
    rng = np.random.default_rng(3)
    return write_control_vector(folder / "calm.gguf", {1: rng.normal(0, 1, N_EMBD).astype(np.float32)})


def test_control_vector_changes_text(folder: Path, direction: Path, base: list[float]) -> None:
    def steered(scale: float, **options: Any) -> list[float]:
        with xlc.Engine(folder / "base.gguf", control_vectors={direction: scale}, **options, **OPTIONS) as engine:
            return logprobs(engine)

    whole = steered(1.0)
    assert not close(whole, base)
    assert not close(steered(-1.0), whole)
    assert close(steered(0.0), base)
    assert close(steered(1.0, control_vector_layers=(1, 1)), whole)
    assert close(steered(1.0, control_vector_layers=(2, 9)), base)


def test_several_control_vectors_add_up(folder: Path, direction: Path) -> None:
    def steered(vectors: Any) -> list[float]:
        with xlc.Engine(folder / "base.gguf", control_vectors=vectors, **OPTIONS) as engine:
            return logprobs(engine)

    half = xlc.ControlVector(path=direction, scale=0.5)
    assert close(steered([half, half]), steered(direction))


@pytest.mark.parametrize(
    ("directions", "reason"),
    [
        ({1: np.ones(32, np.float32)}, "directions of 32 numbers, but the model has n_embd=64"),
        ({N_LAYER: np.ones(N_EMBD, np.float32)}, "direction for layer 2, but the model allows layers 1 to 1"),
        ({0: np.ones(N_EMBD, np.float32)}, "direction for layer 0"),
        ({1: np.ones((2, N_EMBD), np.float32)}, "not a vector of 32-bit floats"),
        ({1: np.ones(N_EMBD, np.float16)}, "not a vector of 32-bit floats"),
        ({}, "does not hold any direction"),
    ],
)
def test_control_vector_that_does_not_fit_is_an_error(
    folder: Path, tmp_path: Path, directions: dict[int, Any], reason: str
) -> None:
    path = write_control_vector(tmp_path / "wrong.gguf", directions)
    with pytest.raises(xlc.ModelLoadError, match=reason):
        xlc.Engine(folder / "base.gguf", control_vectors=path, **OPTIONS)
    with pytest.raises(xlc.ModelLoadError, match=r"tensor '.*'; a control vector has"):
        xlc.Engine(folder / "base.gguf", control_vectors=folder / "style.gguf", **OPTIONS)


# Options


def test_every_way_to_name_adapters() -> None:
    expected = (xlc.Lora(path="a/b.gguf"), xlc.Lora(path="c.gguf"))
    for given in (["a/b.gguf", "c.gguf"], {"a/b.gguf": 1, "c.gguf": 1.0}, list(expected), ["a/b.gguf", expected[1]]):
        assert xlc.EngineOptions(model="m", lora=given).lora == expected
    assert [adapter.key for adapter in expected] == ["b", "c"]
    assert xlc.Lora(path="hf:owner/repo:deep/style.gguf").key == "style"
    assert xlc.EngineOptions(model="m", control_vectors="x.gguf").control_vectors[0].scale == 1
    options = xlc.EngineOptions(model="m", lora={"x.gguf": 0.5}, control_vectors="y.gguf")
    assert pickle.loads(pickle.dumps(options)) == options
    assert hash(options) == hash(xlc.EngineOptions(**options.model_dump()))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"lora": ["a/x.gguf", "b/x.gguf"]}, "two LoRA adapters are called 'x'"),
        ({"lora": {"x.gguf": math.inf}}, "finite"),
        ({"lora": 3}, "lora"),
        ({"control_vector_layers": (3, 2)}, "first and the last layer"),
        ({"control_vector_layers": (0, 2)}, "first and the last layer"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=reason):
        xlc.EngineOptions.checked(model="m", **options)
