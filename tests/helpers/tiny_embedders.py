"""Embedders of a few hundred kilobytes with random weights, written when a test asks for one."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

ARCHITECTURE = "gemma-embedding2"
N_EMBD, N_LAYER, N_HEAD, N_FF, N_PER_LAYER = 64, 2, 4, 128, 16


def write_gemma_embedding2(path: Path, *, n_out: int, seed: int = 0) -> Path:
    """Write a model of EmbeddingGemma 2's architecture, whose vectors are of another width than its states.

    Args:
        path: where to.
        n_out: dimensions of its vectors.
        seed: of the weights.
    """
    pieces = [chr(code) for code in range(ord("a"), ord("z") + 1)] + ["▁", "▁a", "▁the", "th", "he"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    n_head_dims = N_EMBD // N_HEAD
    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    writer.add_context_length(512)
    writer.add_embedding_length(N_EMBD)
    writer.add_uint32(f"{ARCHITECTURE}.embedding_length_out", n_out)
    writer.add_uint32(f"{ARCHITECTURE}.embedding_length_per_layer_input", N_PER_LAYER)
    writer.add_block_count(N_LAYER)
    writer.add_feed_forward_length(N_FF)
    writer.add_head_count(N_HEAD)
    writer.add_head_count_kv(N_HEAD)
    for name in ("key_length", "value_length", "key_length_swa", "value_length_swa"):
        writer.add_uint32(f"{ARCHITECTURE}.attention.{name}", n_head_dims)
    writer.add_rope_dimension_count(n_head_dims)
    writer.add_sliding_window(64)
    # One layer of each kind: llama.cpp aborts on a model of this architecture that has windows only.
    writer.add_sliding_window_pattern([True, False])
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-float(i) for i in range(len(pieces))])
    kinds = [gguf.TokenType.UNKNOWN, *([gguf.TokenType.CONTROL] * 2), *([gguf.TokenType.BYTE] * 256)]
    writer.add_token_types([*kinds, *([gguf.TokenType.NORMAL] * len(pieces))])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)

    rng = np.random.default_rng(seed)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(f"{name}.weight", rng.normal(0, 0.3, shape).astype(np.float32))

    def add_ones(name: str, n: int) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(n, np.float32))

    add("token_embd", len(tokens), N_EMBD)
    add("per_layer_model_proj", N_PER_LAYER * N_LAYER, N_EMBD)
    add_ones("per_layer_proj_norm", N_PER_LAYER)
    add_ones("output_norm", N_EMBD)
    add("output", n_out, N_EMBD)
    for layer in range(N_LAYER):
        block = f"blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"{block}.{name}", N_EMBD, N_EMBD)
        for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm", "post_norm"):
            add_ones(f"{block}.{name}", N_EMBD)
        for name in ("attn_q_norm", "attn_k_norm"):
            add_ones(f"{block}.{name}", n_head_dims)
        add(f"{block}.ffn_gate", N_FF, N_EMBD)
        add(f"{block}.ffn_up", N_FF, N_EMBD)
        add(f"{block}.ffn_down", N_EMBD, N_FF)
        add(f"{block}.inp_gate", N_PER_LAYER, N_EMBD)
        add(f"{block}.proj", N_EMBD, N_PER_LAYER)
        add_ones(f"{block}.layer_output_scale", 1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
