"""Make tiny encoders with random weights, and references from transformers. README.md says how to run it."""

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
    set_class,
    unigram,
    word_piece,
    write_embedder_reference,
    write_reranker_reference,
)
from tokenizers import processors

SIZES = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128,
    "max_position_embeddings": 192,
}  # fmt: skip


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
        model.classifier.weight *= 4  # spreads the scores
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


def modern_bert_tokenizer(folder: Path) -> Any:
    return byte_bpe(
        folder, cuts=None, specials=("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"),
        post=lambda _: processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        ),
        unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", mask_token="[MASK]",
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def modern_bert_config(tokenizer: Any, **more: Any) -> Any:
    # As in ModernBERT-base, every third layer attends to the whole text, the others to eight tokens on each side.
    sizes = {
        **SIZES,
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "intermediate_size": 64,
        "max_position_embeddings": 512,
    }
    return transformers.ModernBertConfig(
        vocab_size=len(tokenizer), local_attention=16, global_attn_every_n_layers=3, pad_token_id=3, bos_token_id=1,
        eos_token_id=2, cls_token_id=1, sep_token_id=2, **sizes, **more,
    )  # fmt: skip


def modern_bert_embedder(folder: Path) -> None:
    tokenizer = modern_bert_tokenizer(folder)
    model = transformers.ModernBertModel(modern_bert_config(tokenizer))
    randomize(model, seed=5)
    model.save_pretrained(folder)
    sentence_transformer(folder, pooling="cls")
    write_embedder_reference("modern-bert-embedder", model, tokenizer, "cls", "mean")
    convert(folder, "modern-bert-embedder.gguf", pre_tokenizer="modern-bert")


def modern_bert_reranker(folder: Path) -> None:
    tokenizer = modern_bert_tokenizer(folder)
    config = modern_bert_config(tokenizer, num_labels=1, classifier_pooling="mean")
    model = transformers.ModernBertForSequenceClassification(config)
    randomize(model, seed=6, scale=0.7)
    model.save_pretrained(folder)
    write_reranker_reference("modern-bert-reranker", model, tokenizer)
    convert(folder, "modern-bert-reranker.gguf", pre_tokenizer="modern-bert")


def nomic_bert_embedder(folder: Path) -> None:
    tokenizer = word_piece(folder)
    sizes = {**SIZES, "max_position_embeddings": 2048}
    model = transformers.NomicBertModel(transformers.NomicBertConfig(vocab_size=len(tokenizer), **sizes))
    randomize(model, seed=7)
    model.save_pretrained(folder)
    # The fields of nomic-embed-text-v1.5's config.json that the converter reads.
    published = {
        "activation_function": "swiglu", "causal": False, "max_trained_positions": 2048, "mlp_fc1_bias": False,
        "mlp_fc2_bias": False, "n_embd": SIZES["hidden_size"], "n_head": SIZES["num_attention_heads"],
        "n_inner": SIZES["intermediate_size"], "n_layer": SIZES["num_hidden_layers"], "n_positions": 8192,
        "prenorm": False, "qkv_proj_bias": False, "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": False, "rotary_emb_scale_base": None, "layer_norm_epsilon": 1e-12,
    }  # fmt: skip
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **published}), "utf-8")
    sentence_transformer(folder, pooling="mean")
    write_embedder_reference("nomic-bert-embedder", model, tokenizer, "mean")
    convert(folder, "nomic-bert-embedder.gguf", pre_tokenizer="jina-v2-en")


class JinaBertLayer(torch.nn.Module):
    """BERT's layer with a bias by distance (ALiBi) in place of positions, and a gated feed-forward network."""

    def __init__(self, n_embd: int, n_head: int, n_ff: int, eps: float) -> None:
        super().__init__()
        linear, norm = torch.nn.Linear, torch.nn.LayerNorm
        self.n_head = n_head
        parts = {
            "attention.self.query": linear(n_embd, n_embd), "attention.self.key": linear(n_embd, n_embd),
            "attention.self.value": linear(n_embd, n_embd), "attention.output.dense": linear(n_embd, n_embd),
            "attention.output.LayerNorm": norm(n_embd, eps=eps),
            "mlp.gated_layers": linear(n_embd, 2 * n_ff, bias=False), "mlp.wo": linear(n_ff, n_embd),
            "mlp.layernorm": norm(n_embd, eps=eps),
        }  # fmt: skip
        self.parts = torch.nn.ModuleDict({name.replace(".", "/"): part for name, part in parts.items()})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n_tokens, n_embd = x.shape

        def apply(name: str, to: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.parts[name.replace(".", "/")](to)
            return result

        def heads(name: str) -> torch.Tensor:
            return apply(f"attention.self.{name}", x).view(n_tokens, self.n_head, -1).transpose(0, 1)

        at = torch.arange(n_tokens)
        slopes = 2.0 ** (-8.0 / self.n_head * torch.arange(1, self.n_head + 1))
        bias = -slopes[:, None, None] * (at[:, None] - at[None, :]).abs()
        scores = heads("query") @ heads("key").transpose(1, 2) / (n_embd // self.n_head) ** 0.5 + bias
        attended = (scores.softmax(-1) @ heads("value")).transpose(0, 1).reshape(n_tokens, n_embd)
        x = apply("attention.output.LayerNorm", apply("attention.output.dense", attended) + x)
        gate, up = apply("mlp.gated_layers", x).chunk(2, dim=-1)
        return apply("mlp.layernorm", x + apply("mlp.wo", torch.nn.functional.gelu(gate) * up))


class JinaBert(torch.nn.Module):
    """Jina's second embedder, written from its publication: no package contains its code."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        n_embd, eps = config.hidden_size, config.layer_norm_eps
        self.word_embeddings = torch.nn.Embedding(config.vocab_size, n_embd)
        self.token_type_embeddings = torch.nn.Embedding(2, n_embd)
        self.LayerNorm = torch.nn.LayerNorm(n_embd, eps=eps)
        self.layers = torch.nn.ModuleList(
            JinaBertLayer(n_embd, config.num_attention_heads, config.intermediate_size, eps)
            for _ in range(config.num_hidden_layers)
        )

    def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
        x = self.LayerNorm(self.word_embeddings(input_ids[0]) + self.token_type_embeddings.weight[0])
        for layer in self.layers:
            x = layer(x)
        return transformers.modeling_outputs.BaseModelOutput(last_hidden_state=x[None])

    def published_tensors(self) -> dict[str, torch.Tensor]:
        tensors = {}
        for name, tensor in self.state_dict().items():
            if name.startswith("layers."):
                renamed = f"encoder.layer.{name.removeprefix('layers.')}".replace(".parts.", ".").replace("/", ".")
            else:
                renamed = f"embeddings.{name}"
            tensors[renamed] = tensor.contiguous()
        return tensors


class JinaBertReranker(torch.nn.Module):
    """JinaBert with BERT's pooler and a classifier, like Jina's first rerankers, which do not use sentence types."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.bert = JinaBert(config)
        self.pooler = torch.nn.Linear(config.hidden_size, config.hidden_size)
        self.classifier = torch.nn.Linear(config.hidden_size, 1)

    def forward(self, **inputs: torch.Tensor) -> Any:
        first = self.bert(**inputs).last_hidden_state[:, 0]
        logits = self.classifier(self.pooler(first).tanh())
        return transformers.modeling_outputs.SequenceClassifierOutput(logits=logits)

    def published_tensors(self) -> dict[str, torch.Tensor]:
        named = {f"bert.{name}": tensor for name, tensor in self.bert.published_tensors().items()}
        named.update((f"bert.pooler.dense.{name}", tensor) for name, tensor in self.pooler.state_dict().items())
        named.update((f"classifier.{name}", tensor) for name, tensor in self.classifier.state_dict().items())
        return named


def jina_bert_config(tokenizer: Any, architecture: str, **more: Any) -> Any:
    return transformers.BertConfig(
        vocab_size=len(tokenizer), position_embedding_type="alibi", feed_forward_type="geglu",
        architectures=[architecture], **{**SIZES, "max_position_embeddings": 8192}, **more,
    )  # fmt: skip


def jina_bert_embedder(folder: Path) -> None:
    tokenizer = word_piece(folder)
    config = jina_bert_config(tokenizer, "JinaBertModel")
    model = JinaBert(config)
    randomize(model, seed=8)
    config.save_pretrained(folder)
    safetensors.torch.save_file(model.published_tensors(), folder / "model.safetensors", {"format": "pt"})
    sentence_transformer(folder, pooling="mean")
    write_embedder_reference("jina-bert-v2-embedder", model, tokenizer, "mean")
    convert(folder, "jina-bert-v2-embedder.gguf", pre_tokenizer="jina-v2-en")


def roberta_tokenizer(folder: Path) -> Any:
    tokenizer = byte_bpe(
        folder, cuts=None, specials=("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
        post=lambda _: processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        ),
        bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>", unk_token="<unk>", pad_token="<pad>",
        mask_token="<mask>", model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    set_class(folder, "RobertaTokenizer")
    return tokenizer


def jina_bert_reranker(folder: Path) -> None:
    tokenizer = roberta_tokenizer(folder)
    config = jina_bert_config(tokenizer, "JinaBertForMaskedLM", num_labels=1)  # some rerankers have this name
    model = JinaBertReranker(config)
    randomize(model, seed=9, scale=0.6)
    with torch.no_grad():
        model.classifier.weight *= 4  # spreads the scores
    config.save_pretrained(folder)
    safetensors.torch.save_file(model.published_tensors(), folder / "model.safetensors", {"format": "pt"})
    write_reranker_reference("jina-bert-v2-reranker", model, tokenizer)
    convert(folder, "jina-bert-v2-reranker.gguf", pre_tokenizer="jina-v1-en")


if __name__ == "__main__":
    run({
        "bert-embedder": bert_embedder,
        "bert-reranker": bert_reranker,
        "xlm-roberta-embedder": xlm_roberta_embedder,
        "xlm-roberta-reranker": xlm_roberta_reranker,
        "modern-bert-embedder": modern_bert_embedder,
        "modern-bert-reranker": modern_bert_reranker,
        "nomic-bert-embedder": nomic_bert_embedder,
        "jina-bert-v2-embedder": jina_bert_embedder,
        "jina-bert-v2-reranker": jina_bert_reranker,
    })  # fmt: skip
