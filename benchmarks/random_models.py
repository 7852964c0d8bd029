"""Models with random weights and the exact shapes of published ones: for speed it makes no difference what they say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from peers import CACHE

from xlc_core.models import catalog
from xlc_core.models.quantize import quantize_model

_TOKENIZER = "smollm2-135m-instruct"  # its tokens come first in all of them; the others are never used


@dataclass(frozen=True)
class Shape:
    """Sizes from the config.json of a published model, and the factors of Granite's."""

    architecture: str
    n_layers: int
    n_embd: int
    n_ff: int
    n_heads: int
    n_key_heads: int
    head_dim: int
    n_vocab: int
    rope_base: float
    norms_heads: bool = False
    n_experts: int = 0
    n_experts_used: int = 0
    norms_queries: bool = False  # of all heads together
    has_output: bool = False  # weights of its own
    scales: tuple[float, ...] = ()  # of logits, residuals, embeddings, attention
    pooling: gguf.PoolingType | None = None
    sliding_window: int | None = None
    context_length: int = 40960


SHAPES = {
    "qwen3-0.6b": Shape("qwen3", 28, 1024, 3072, 16, 8, 128, 151936, 1e6, norms_heads=True),
    "llama-3.2-1b": Shape("llama", 16, 2048, 8192, 32, 8, 64, 128256, 5e5),
    "granite-3.1-1b-a400m": Shape(
        "granitemoe",
        24,
        1024,
        512,
        16,
        8,
        64,
        49155,
        5e6,
        n_experts=32,
        n_experts_used=8,
        scales=(6.0, 0.22, 12.0, 0.015625),
    ),
    # OLMoE-1B-7B with 4 of its 16 layers
    "olmoe-1b-7b-4-layers": Shape(
        "olmoe",
        4,
        2048,
        1024,
        16,
        16,
        128,
        50304,
        1e4,
        n_experts=64,
        n_experts_used=8,
        norms_queries=True,
        has_output=True,
    ),
}
EMBEDDERS = {
    "embeddinggemma-300m": Shape(
        "gemma-embedding", 24, 768, 1152, 3, 1, 256, 262144, 1e6, norms_heads=True, pooling=gguf.PoolingType.MEAN,
        sliding_window=512, context_length=2048,
    ),
    "qwen3-embedding-0.6b": Shape(
        "qwen3", 28, 1024, 3072, 16, 8, 128, 151669, 1e6, norms_heads=True, pooling=gguf.PoolingType.LAST
    ),
}  # fmt: skip


def random_model(name: str, type_: str) -> Path:
    """Return the file of a shape with weights of a type such as ``"Q8_0"``, which is written once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    whole = CACHE / f"{name}-F16.gguf"
    if not whole.exists():
        partial = whole.with_suffix(".partial")
        _write(partial, {**SHAPES, **EMBEDDERS}[name])
        partial.rename(whole)
    path = CACHE / f"{name}-{type_}.gguf"
    if not path.exists():
        quantize_model(whole, path, type_)
    return path


def _write(path: Path, shape: Shape) -> None:
    writer = gguf.GGUFWriter(str(path), shape.architecture)
    _add_settings(writer, shape)
    _add_tokenizer(writer, shape.n_vocab)
    draw = np.random.default_rng(0)

    def add(tensor: str, *sizes: int) -> None:
        weights: npt.NDArray[Any] = draw.standard_normal(sizes, dtype=np.float32) * np.float32(0.02)
        writer.add_tensor(f"{tensor}.weight", weights.astype(np.float16))

    def add_norm(tensor: str, size: int) -> None:
        writer.add_tensor(f"{tensor}.weight", np.ones(size, dtype=np.float32))

    add("token_embd", shape.n_vocab, shape.n_embd)
    add_norm("output_norm", shape.n_embd)
    if shape.has_output:
        add("output", shape.n_vocab, shape.n_embd)
    experts = (shape.n_experts,) if shape.n_experts else ()
    ending = "_exps" if experts else ""
    for layer in range(shape.n_layers):
        block = f"blk.{layer}"
        add_norm(f"{block}.attn_norm", shape.n_embd)
        add_norm(f"{block}.ffn_norm", shape.n_embd)
        if shape.architecture == "gemma-embedding":
            add_norm(f"{block}.post_attention_norm", shape.n_embd)
            add_norm(f"{block}.post_ffw_norm", shape.n_embd)
        add(f"{block}.attn_q", shape.n_heads * shape.head_dim, shape.n_embd)
        add(f"{block}.attn_k", shape.n_key_heads * shape.head_dim, shape.n_embd)
        add(f"{block}.attn_v", shape.n_key_heads * shape.head_dim, shape.n_embd)
        add(f"{block}.attn_output", shape.n_embd, shape.n_heads * shape.head_dim)
        if shape.norms_heads or shape.norms_queries:
            n_normed = shape.head_dim if shape.norms_heads else shape.n_embd
            add_norm(f"{block}.attn_q_norm", n_normed)
            add_norm(f"{block}.attn_k_norm", n_normed)
        if experts:
            add(f"{block}.ffn_gate_inp", shape.n_experts, shape.n_embd)
        add(f"{block}.ffn_gate{ending}", *experts, shape.n_ff, shape.n_embd)
        add(f"{block}.ffn_up{ending}", *experts, shape.n_ff, shape.n_embd)
        add(f"{block}.ffn_down{ending}", *experts, shape.n_embd, shape.n_ff)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_settings(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_block_count(shape.n_layers)
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.n_embd)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_key_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_base)
    if shape.pooling is not None:
        writer.add_pooling_type(shape.pooling)
    if shape.sliding_window is not None:
        writer.add_sliding_window(shape.sliding_window)
    writer.add_vocab_size(shape.n_vocab)
    if shape.n_experts:
        writer.add_expert_count(shape.n_experts)
        writer.add_expert_used_count(shape.n_experts_used)
    if shape.scales:
        logits, residuals, embeddings, attention = shape.scales
        writer.add_logit_scale(logits)
        writer.add_residual_scale(residuals)
        writer.add_embedding_scale(embeddings)
        writer.add_attention_scale(attention)


def _add_tokenizer(writer: gguf.GGUFWriter, n_vocab: int) -> None:
    known = gguf.GGUFReader(catalog.resolve(_TOKENIZER).path)

    def read(key: str) -> Any:
        field = known.get_field(f"tokenizer.ggml.{key}")
        assert field is not None
        return field.contents()

    tokens = read("tokens")
    types = read("token_type")
    n_more = n_vocab - len(tokens)
    writer.add_tokenizer_model(read("model"))
    writer.add_tokenizer_pre(read("pre"))
    writer.add_token_list([*tokens, *(f"<unused-{number}>" for number in range(n_more))])
    writer.add_token_types([*types, *([gguf.TokenType.UNUSED] * n_more)])
    writer.add_token_merges(read("merges"))
    writer.add_bos_token_id(read("bos_token_id"))
    writer.add_eos_token_id(read("eos_token_id"))
    writer.add_add_bos_token(False)
