"""Writes a checkpoint for sentence-transformers from a GGUF file of random_models.py.

export_decoder.py MODEL.gguf FOLDER
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # all files are local

import gguf
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import Gemma3TextConfig, Gemma3TextModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

# Names in the file and in the checkpoint; {} is the number of a block.
NAMES = {"token_embd": "embed_tokens", "output_norm": "norm"}
BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# The second norm of a block comes before the feed-forward layer, but is not called so where there are four.
NORMS = {
    "qwen3": {"ffn_norm": "post_attention_layernorm"},
    "gemma-embedding": {
        "ffn_norm": "pre_feedforward_layernorm",
        "post_attention_norm": "post_attention_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
}


def name_in_checkpoint(tensor: str, architecture: str) -> str:
    stem, _, kind = tensor.rpartition(".")
    if not stem.startswith("blk."):
        return f"{NAMES[stem]}.{kind}"
    _, block, part = stem.split(".", 2)
    return f"layers.{block}.{({**BLOCK_NAMES, **NORMS[architecture]})[part]}.{kind}"


def read_model(reader: gguf.GGUFReader, architecture: str) -> Any:
    """Return the model in a GGUF file, as float32."""

    def fact(name: str) -> Any:
        return reader.fields[f"{architecture}.{name}"].contents()

    weights = {
        name_in_checkpoint(tensor.name, architecture): torch.from_numpy(
            gguf.dequantize(tensor.data, tensor.tensor_type).copy()
        )
        for tensor in reader.tensors
    }
    sizes = {
        "vocab_size": weights["embed_tokens.weight"].shape[0],
        "hidden_size": fact("embedding_length"),
        "num_hidden_layers": fact("block_count"),
        "num_attention_heads": fact("attention.head_count"),
        "num_key_value_heads": fact("attention.head_count_kv"),
        "head_dim": fact("attention.key_length"),
        "intermediate_size": fact("feed_forward_length"),
        "max_position_embeddings": fact("context_length"),
        "rms_norm_eps": fact("attention.layer_norm_rms_epsilon"),
    }
    if architecture == "qwen3":
        model: Any = Qwen3Model(Qwen3Config(**sizes, rope_theta=fact("rope.freq_base")))
    else:
        model = Gemma3TextModel(
            Gemma3TextConfig(
                **sizes, rope_theta=fact("rope.freq_base"), query_pre_attn_scalar=fact("attention.key_length"),
                sliding_window=fact("attention.sliding_window"), use_bidirectional_attention=True,
            )
        )  # fmt: skip
        # Gemma's checkpoints hold the norms' distance from 1.
        weights = {name: tensor - 1 if "norm" in name else tensor for name, tensor in weights.items()}
    model.load_state_dict(weights)
    return model.eval()


def read_tokenizer(reader: gguf.GGUFReader) -> PreTrainedTokenizerFast:
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(BPE({token: number for number, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=tokens[0])


def main() -> None:
    folder = Path(sys.argv[2])
    reader = gguf.GGUFReader(sys.argv[1])
    architecture = reader.fields["general.architecture"].contents()
    mode = "lasttoken" if architecture == "qwen3" else "mean"
    with tempfile.TemporaryDirectory() as decoder:
        read_model(reader, architecture).save_pretrained(decoder)
        read_tokenizer(reader).save_pretrained(decoder)
        transformer = Transformer(decoder)
        pooling = Pooling(transformer.get_embedding_dimension(), mode)
        SentenceTransformer(modules=[transformer, pooling, Normalize()]).save(str(folder))


main()
