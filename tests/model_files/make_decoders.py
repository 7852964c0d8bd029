"""Make tiny decoders that embed and rerank, and references from transformers. README.md says how to run it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import transformers
from making import (
    byte_bpe,
    convert,
    randomize,
    run,
    sentence_transformer,
    sentencepiece_bpe,
    write_embedder_reference,
    write_reranker_reference,
)
from tokenizers import AddedToken, processors

SIZES = {
    "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "intermediate_size": 96, "max_position_embeddings": 512,
}  # fmt: skip
QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", AddedToken("<think>"), AddedToken("</think>"))


def qwen3_embedder(folder: Path) -> None:
    def ends(tokenizer: Any) -> Any:
        end = ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))
        return processors.TemplateProcessing(
            single="$A <|endoftext|>", pair="$A <|endoftext|> $B <|endoftext|>", special_tokens=[end]
        )

    tokenizer = byte_bpe(folder, specials=QWEN, post=ends, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    model = transformers.Qwen3Model(transformers.Qwen3Config(vocab_size=len(tokenizer), eos_token_id=0, **SIZES))
    randomize(model, seed=11)
    # The published checkpoint is a Qwen3ForCausalLM.
    model.config.architectures = ["Qwen3ForCausalLM"]
    model.save_pretrained(folder)
    _as_causal_model(folder, "Qwen3ForCausalLM")
    sentence_transformer(folder, pooling="last")
    write_embedder_reference("qwen3-embedder", model, tokenizer, "last")
    convert(folder, "qwen3-embedder.gguf", pre_tokenizer="qwen2")


def _as_causal_model(folder: Path, architecture: str) -> None:
    path = folder / "config.json"
    config = {**json.loads(path.read_text("utf-8")), "architectures": [architecture]}
    path.write_text(json.dumps(config), "utf-8")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    renamed = {f"model.{name}": tensor for name, tensor in weights.items()}
    safetensors.torch.save_file(renamed, folder / "model.safetensors", {"format": "pt"})


# As published with Qwen3-Reranker.
RERANK_PROMPT = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n"
    "<Query>: {query}\n<Document>: {document}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


def qwen3_reranker(folder: Path) -> None:
    tokenizer = byte_bpe(folder, specials=QWEN, words=("yes", "no"), eos_token="<|im_end|>", pad_token="<|endoftext|>")
    yes, no = (tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no"))
    # The prompt is long in this vocabulary.
    sizes = {**SIZES, "max_position_embeddings": 1024}
    config = transformers.Qwen3Config(vocab_size=len(tokenizer), tie_word_embeddings=True, **sizes)
    model = transformers.Qwen3ForCausalLM(config)
    randomize(model, seed=12)
    with torch.no_grad():
        model.model.norm.weight *= 0.6  # probabilities that are neither 0 nor 1
    model.save_pretrained(folder)

    def probability(query: str, document: str) -> torch.Tensor:
        prompt = RERANK_PROMPT.replace("{query}", query).replace("{document}", document)
        logits = model(**tokenizer(prompt, return_tensors="pt")).logits[0, -1]
        return logits[[no, yes]].softmax(0)[1]

    write_reranker_reference("qwen3-reranker", model, tokenizer, probability)
    convert(folder, "qwen3-reranker.gguf", pre_tokenizer="qwen2")


def embedding_gemma(folder: Path) -> None:
    tokenizer = sentencepiece_bpe(folder, dummy_prefix=False, add_eos=True, bos="<bos>", eos="<eos>")
    # The sixth layer attends to the whole text, the others to eight tokens on each side.
    sizes = {**SIZES, "hidden_size": 32, "num_hidden_layers": 6, "intermediate_size": 48}
    config = transformers.Gemma3TextConfig(
        vocab_size=len(tokenizer), use_bidirectional_attention=True, sliding_window=16, query_pre_attn_scalar=16,
        bos_token_id=1, eos_token_id=2, pad_token_id=0, **sizes,
    )  # fmt: skip
    model = transformers.Gemma3TextModel(config)
    randomize(model, seed=13)
    model.save_pretrained(folder)
    sentence_transformer(folder, pooling="mean")
    dense = torch.nn.Sequential(torch.nn.Linear(32, 64, bias=False), torch.nn.Linear(64, 32, bias=False))
    generator = torch.Generator().manual_seed(14)
    modules = json.loads((folder / "modules.json").read_text("utf-8"))
    for i, layer in enumerate(dense):
        with torch.no_grad():
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) / layer.in_features**0.5)
        part = folder / f"{2 + i}_Dense"
        part.mkdir()
        safetensors.torch.save_file({"linear.weight": layer.weight.detach()}, part / "model.safetensors")
        sides = {"in_features": layer.in_features, "out_features": layer.out_features, "bias": False}
        (part / "config.json").write_text(json.dumps(sides), "utf-8")
        modules.append({"idx": 2 + i, "path": part.name, "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    write_embedder_reference("embedding-gemma", model, tokenizer, "mean", dense=dense)
    convert(folder, "embedding-gemma.gguf")


def llama_embedder(folder: Path) -> None:
    tokenizer = sentencepiece_bpe(folder, dummy_prefix=True, add_eos=True)
    sizes = {**SIZES, "head_dim": 12}
    config = transformers.LlamaConfig(vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=2, **sizes)
    model = transformers.LlamaModel(config)
    randomize(model, seed=15)
    model.save_pretrained(folder)
    sentence_transformer(folder, pooling="last")
    write_embedder_reference("llama-embedder", model, tokenizer, "last")
    convert(folder, "llama-embedder.gguf")


if __name__ == "__main__":
    run({
        "qwen3-embedder": qwen3_embedder,
        "qwen3-reranker": qwen3_reranker,
        "embedding-gemma": embedding_gemma,
        "llama-embedder": llama_embedder,
    })  # fmt: skip
