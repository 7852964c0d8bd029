"""Make tiny encoders with random weights, and what transformers computes with them. README.md says how to run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from making import (
    QUERY_DOCUMENTS,
    TEXTS,
    convert,
    randomize,
    run,
    sentence_transformer,
    unigram,
    word_piece,
    write_reference,
)

SIZES = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128,
    "max_position_embeddings": 192,
}  # fmt: skip


def pooled(model: Any, tokenizer: Any, pooling: str, texts: list[str] = TEXTS) -> np.ndarray:
    """Embed each text alone, so that nothing depends on padding."""
    vectors = []
    with torch.inference_mode():
        for text in texts:
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            vector = {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pooling]
            vectors.append(torch.nn.functional.normalize(vector, dim=0).numpy())
    return np.stack(vectors).astype(np.float32)


def write_embedder_reference(name: str, model: Any, tokenizer: Any, *poolings: str) -> None:
    tokens = [tokenizer(text)["input_ids"] for text in TEXTS]
    write_reference(
        f"{name}.npz",
        texts=TEXTS,
        n_tokens=[len(ids) for ids in tokens],
        tokens=np.concatenate(tokens),
        **{pooling: pooled(model, tokenizer, pooling) for pooling in poolings},
    )


def write_reranker_reference(name: str, model: Any, tokenizer: Any) -> None:
    rows = []
    with torch.inference_mode():
        for query, documents in QUERY_DOCUMENTS.items():
            for document in documents:
                score = model(**tokenizer(query, document, return_tensors="pt")).logits[0, 0]
                rows.append((query, document, float(score)))
    queries, documents, scores = zip(*rows, strict=True)
    print(f"  scores: {min(scores):.3f} … {max(scores):.3f}")
    write_reference(f"{name}.npz", queries=queries, documents=documents, scores=np.array(scores, np.float32))


def bert_embedder(folder: Path) -> None:
    tokenizer = word_piece(folder)
    model = transformers.BertModel(transformers.BertConfig(vocab_size=len(tokenizer), **SIZES))
    randomize(model, seed=1)
    model.save_pretrained(folder)
    sentence_transformer(folder, pooling="mean")
    write_embedder_reference("bert-embedder", model, tokenizer, "mean", "cls")
    convert(folder, "bert-embedder.gguf", pre_tokenizer="jina-v2-en")


def bert_reranker(folder: Path) -> None:
    tokenizer = word_piece(folder)
    config = transformers.BertConfig(vocab_size=len(tokenizer), num_labels=1, **SIZES)
    model = transformers.BertForSequenceClassification(config)
    randomize(model, seed=2, scale=0.6)
    with torch.no_grad():
        model.classifier.weight *= 4  # scores that lie apart
    model.save_pretrained(folder)
    write_reranker_reference("bert-reranker", model, tokenizer)
    convert(folder, "bert-reranker.gguf", pre_tokenizer="jina-v2-en")


def xlm_roberta_config(tokenizer: Any, **more: Any) -> Any:
    positions = SIZES["max_position_embeddings"] + 2
    sizes = {**SIZES, "max_position_embeddings": positions, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    return transformers.XLMRobertaConfig(vocab_size=len(tokenizer), **sizes, **more)


def xlm_roberta_embedder(folder: Path) -> None:
    tokenizer = unigram(folder)
    model = transformers.XLMRobertaModel(xlm_roberta_config(tokenizer))
    randomize(model, seed=3)
    model.save_pretrained(folder)
    sentence_transformer(folder, pooling="cls")
    write_embedder_reference("xlm-roberta-embedder", model, tokenizer, "cls", "mean")
    convert(folder, "xlm-roberta-embedder.gguf")


def xlm_roberta_reranker(folder: Path) -> None:
    tokenizer = unigram(folder)
    model = transformers.XLMRobertaForSequenceClassification(xlm_roberta_config(tokenizer, num_labels=1))
    randomize(model, seed=4, scale=0.6)
    with torch.no_grad():
        model.classifier.out_proj.weight *= 4
    model.save_pretrained(folder)
    write_reranker_reference("xlm-roberta-reranker", model, tokenizer)
    convert(folder, "xlm-roberta-reranker.gguf")


if __name__ == "__main__":
    run({
        "bert-embedder": bert_embedder,
        "bert-reranker": bert_reranker,
        "xlm-roberta-embedder": xlm_roberta_embedder,
        "xlm-roberta-reranker": xlm_roberta_reranker,
    })  # fmt: skip
