"""Make tiny heads that draft for other models, and a model with a layer that does so. README.md says how to run it.

Heads are trained for a few seconds on their model's text, so that some of their drafts are right and some are not. Each
is implemented twice: here with PyTorch, for training, and in llama.cpp (eagle3.cpp, dflash.cpp and glm4-moe.cpp in its
src/models).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import transformers
from make_generators import PROMPTS, QWEN, greedy, is_no_text, llama_checkpoint, write_greedy_reference
from making import TEXTS, byte_bpe, convert, randomize, run
from torch import Tensor
from torch.nn import functional

N_WRITTEN = 64  # tokens after each prompt
BLOCK = 5
EPS = 1e-6
Weights = dict[str, Tensor]


@dataclass
class Text:
    """A text that a model has read and written: tokens, the next token after each, and the input of each layer."""

    ids: Tensor
    teacher: Tensor
    inputs: tuple[Tensor, ...]  # the last one is the output layer's input


def texts_of(model: Any, tokenizer: Any) -> list[Text]:
    banned = [i for i in range(len(tokenizer)) if is_no_text(tokenizer.decode([i]))]
    texts = []
    for prompt in [*PROMPTS, *TEXTS]:
        ids = [int(i) for i in tokenizer(prompt)["input_ids"]]
        ids += greedy(model, ids, banned, N_WRITTEN)[0]
        with torch.no_grad():
            out = model(input_ids=torch.tensor([ids]), use_cache=False, output_hidden_states=True)
        out.logits[..., banned] = -torch.inf
        texts.append(Text(torch.tensor(ids), out.logits[0].argmax(-1), tuple(state[0] for state in out.hidden_states)))
    return texts


class Maker:
    """Creates weights, by their names in the checkpoint."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self.made: Weights = {}

    def matrix(self, name: str, n_out: int, n_in: int, scale: float = 1.0) -> None:
        made = scale * torch.randn((n_out, n_in), generator=self._generator) / n_in**0.5
        self.made[f"{name}.weight"] = made.requires_grad_()

    def norm(self, name: str, n: int) -> None:
        self.made[f"{name}.weight"] = torch.ones(n).requires_grad_()

    def layer(self, prefix: str, shape: Shape, *, n_in: int, norms: tuple[str, ...]) -> None:
        n_heads, n_kv, dim = shape.n_heads, shape.n_kv_heads, shape.head_dim
        for part, n_out in (("q", n_heads * dim), ("k", n_kv * dim), ("v", n_kv * dim)):
            self.matrix(f"{prefix}.self_attn.{part}_proj", n_out, n_in)
        self.matrix(f"{prefix}.self_attn.o_proj", shape.hidden, n_heads * dim)
        for part in ("gate", "up"):
            self.matrix(f"{prefix}.mlp.{part}_proj", shape.feed_forward, shape.hidden)
        self.matrix(f"{prefix}.mlp.down_proj", shape.hidden, shape.feed_forward)
        for name in norms:
            self.norm(f"{prefix}.{name}", dim if name.startswith("self_attn") else shape.hidden)


@dataclass
class Shape:
    hidden: int = 48
    feed_forward: int = 96
    n_heads: int = 4
    n_kv_heads: int = 2
    head_dim: int = 12

    def config(self, **more: Any) -> dict[str, Any]:
        return {
            "hidden_size": self.hidden, "intermediate_size": self.feed_forward, "num_attention_heads": self.n_heads,
            "num_key_value_heads": self.n_kv_heads, "head_dim": self.head_dim, "num_hidden_layers": 1,
            "max_position_embeddings": 1024, "rms_norm_eps": EPS, "rope_theta": 10000.0, "hidden_act": "silu", **more,
        }  # fmt: skip


def rms(x: Tensor, weight: Tensor) -> Tensor:
    return functional.rms_norm(x, x.shape[-1:], weight, EPS)


def rope(x: Tensor, positions: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    angles = positions[..., None, None] / 10000.0 ** (torch.arange(half) / half)
    first, second = x[..., :half], x[..., half:]
    return torch.cat(
        [first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], dim=-1
    )


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """All are (…, tokens, heads, dim)."""
    n_shared = q.shape[-2] // k.shape[-2]
    k, v = (x.repeat_interleave(n_shared, dim=-2).transpose(-2, -3) for x in (k, v))
    mixed = functional.scaled_dot_product_attention(q.transpose(-2, -3), k, v, attn_mask=mask)
    return mixed.transpose(-2, -3).flatten(-2)


def feed_forward(x: Tensor, w: Weights, prefix: str) -> Tensor:
    gate, up, down = (w[f"{prefix}.mlp.{part}_proj.weight"].T for part in ("gate", "up", "down"))
    return functional.silu(x @ gate) * (x @ up) @ down


def train(weights: Weights, texts: list[Text], loss: Callable[[Text], Tensor], n_steps: int = 700) -> None:
    chosen = random.Random(7)
    optimizer = torch.optim.Adam(weights.values(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, n_steps)
    for step in range(n_steps):
        optimizer.zero_grad()
        value = loss(chosen.choice(texts))
        value.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"  step {step + 1}: loss {value.item():.3f}")


def save_head(folder: Path, name: str, config: dict[str, Any], tensors: Weights) -> None:
    """Write the checkpoint beside its model's, and convert it."""
    head = folder / name
    head.mkdir()
    (head / "config.json").write_text(json.dumps(config), "utf-8")
    tensors = {key: value.detach().contiguous() for key, value in tensors.items()}
    safetensors.torch.save_file(tensors, head / "model.safetensors", {"format": "pt"})
    convert(head, f"{name}.gguf", base=folder)


def eagle3(folder: Path) -> None:
    """Make an EAGLE-3 head for `llama`: one layer, and an output for the tokens that the model writes most often."""
    model, tokenizer = llama_checkpoint(folder)
    texts = texts_of(model, tokenizer)
    shape, n_draft, layers = Shape(), 256, [0, 1, 1]
    counts = torch.cat([text.teacher for text in texts]).bincount(minlength=len(tokenizer))
    known = counts.argsort(descending=True, stable=True)[:n_draft].sort().values
    number = torch.full((len(tokenizer),), -100).scatter(0, known, torch.arange(n_draft))
    words, output = model.model.embed_tokens.weight.detach(), model.lm_head.weight.detach()

    new = Maker(31)
    new.layer(
        "midlayer", shape, n_in=2 * shape.hidden, norms=("input_layernorm", "hidden_norm", "post_attention_layernorm")
    )
    new.matrix("fc", shape.hidden, 3 * shape.hidden)
    new.norm("norm", shape.hidden)
    new.made["lm_head.weight"] = output[known].clone().requires_grad_()
    w = new.made

    def logits(text: Text) -> Tensor:
        features = torch.cat([text.inputs[layer] for layer in layers], dim=-1)[:-1] @ w["fc.weight"].T
        both = [
            rms(words[text.ids[1:]], w["midlayer.input_layernorm.weight"]),
            rms(features, w["midlayer.hidden_norm.weight"]),
        ]
        x = torch.cat(both, dim=-1)
        positions = torch.arange(len(x))
        q, k, v = (
            (x @ w[f"midlayer.self_attn.{part}_proj.weight"].T).unflatten(-1, (-1, shape.head_dim)) for part in "qkv"
        )
        mask = positions[:, None] >= positions[None]
        mixed = attention(rope(q, positions), rope(k, positions), v, mask)
        x = features + mixed @ w["midlayer.self_attn.o_proj.weight"].T
        x = x + feed_forward(rms(x, w["midlayer.post_attention_layernorm.weight"]), w, "midlayer")
        return rms(x, w["norm.weight"]) @ w["lm_head.weight"].T

    train(w, texts, lambda text: functional.cross_entropy(logits(text), number[text.teacher[1:]]))
    config = shape.config(
        architectures=["LlamaForCausalLMEagle3"], model_type="llama", vocab_size=len(tokenizer),
        draft_vocab_size=n_draft, eagle_aux_hidden_state_layer_ids=layers,
    )  # fmt: skip
    save_head(folder, "llama-eagle3", config, {**w, "d2t": known - torch.arange(n_draft)})


def block_logits(
    w: Weights, shape: Shape, words: Tensor, layers: list[int], text: Text, n_block: int
) -> tuple[Tensor, Tensor]:
    """Return hidden states (blocks, n_block, hidden) and first tokens of a block after each token but the last few."""
    starts = torch.arange(1, len(text.ids) - n_block)
    context = torch.cat([text.inputs[layer] for layer in layers], dim=-1)
    context = rms(context @ w["fc.weight"].T, w["hidden_norm.weight"])
    tokens = torch.zeros((len(starts), n_block), dtype=torch.long)  # 0 is the mask
    tokens[:, 0] = text.ids[starts]
    x = words[tokens]

    def project(x: Tensor, part: str, positions: Tensor) -> Tensor:
        y = (x @ w[f"layers.0.self_attn.{part}_proj.weight"].T).unflatten(-1, (-1, shape.head_dim))
        return y if part == "v" else rope(rms(y, w[f"layers.0.self_attn.{part}_norm.weight"]), positions)

    old, new = torch.arange(len(context)), starts[:, None] + torch.arange(n_block)
    normed = rms(x, w["layers.0.input_layernorm.weight"])
    k, v = (
        torch.cat([project(context, part, old).expand(len(starts), -1, -1, -1), project(normed, part, new)], dim=1)
        for part in "kv"
    )
    seen = torch.cat([old < starts[:, None], torch.ones((len(starts), n_block), dtype=torch.bool)], dim=1)
    mixed = attention(project(normed, "q", new), k, v, seen[:, None, None])
    x = x + mixed @ w["layers.0.self_attn.o_proj.weight"].T
    x = x + feed_forward(rms(x, w["layers.0.post_attention_layernorm.weight"]), w, "layers.0")
    return rms(x, w["norm.weight"]), starts


def block_head(seed: int, shape: Shape, n_layers: int) -> Maker:
    new = Maker(seed)
    norms = ("input_layernorm", "post_attention_layernorm", "self_attn.q_norm", "self_attn.k_norm")
    new.layer("layers.0", shape, n_in=shape.hidden, norms=norms)
    new.matrix("fc", shape.hidden, n_layers * shape.hidden)
    new.norm("hidden_norm", shape.hidden)
    new.norm("norm", shape.hidden)
    return new


def block_config(shape: Shape, architecture: str, n_vocab: int) -> dict[str, Any]:
    # A layer's number names its output; -1 is the input of the first layer.
    chosen = {"mask_token_id": 0, "target_layer_ids": [-1, 0], "block_size": BLOCK}
    return shape.config(
        architectures=[architecture], model_type="qwen3", vocab_size=n_vocab, block_size=BLOCK, dflash_config=chosen
    )


def dflash(folder: Path) -> None:
    """Make a DFlash head for `llama`: it fills a block of masks at once, with the model's own words and output."""
    model, tokenizer = llama_checkpoint(folder)
    texts = texts_of(model, tokenizer)
    words, output = model.model.embed_tokens.weight.detach(), model.lm_head.weight.detach()
    shape = Shape()
    new = block_head(32, shape, 2)

    def loss(text: Text) -> Tensor:
        states, starts = block_logits(new.made, shape, words, [0, 1], text, BLOCK)
        wanted = text.teacher[starts[:, None] + torch.arange(BLOCK - 1)]
        return functional.cross_entropy((states[:, 1:] @ output.T).flatten(0, 1), wanted.flatten())

    train(new.made, texts, loss, n_steps=2000)
    save_head(folder, "llama-dflash", block_config(shape, "DFlashDraftModel", len(tokenizer)), new.made)


def dspark(folder: Path) -> None:
    """Make a DSpark head for `llama`: DFlash's block with dependent tokens, and a confidence for each token."""
    model, tokenizer = llama_checkpoint(folder)
    texts = texts_of(model, tokenizer)
    words, output = model.model.embed_tokens.weight.detach(), model.lm_head.weight.detach()
    shape, rank = Shape(), 16
    new = block_head(33, shape, 2)
    new.matrix("markov_head.markov_w1", len(tokenizer), rank)
    new.matrix("markov_head.markov_w2", len(tokenizer), rank)
    new.matrix("confidence_head.proj", 1, shape.hidden + rank)
    new.made["confidence_head.proj.bias"] = torch.zeros(1).requires_grad_()
    w = new.made

    def loss(text: Text) -> Tensor:
        states, starts = block_logits(w, shape, words, [0, 1], text, BLOCK)
        at = starts[:, None] + torch.arange(BLOCK)
        before, wanted = w["markov_head.markov_w1.weight"][text.ids[at]], text.teacher[at]
        logits = states @ output.T + before @ w["markov_head.markov_w2.weight"].T
        sure = torch.cat([states, before], dim=-1).detach() @ w["confidence_head.proj.weight"].T
        right = (logits.argmax(-1) == wanted).float()
        judged = (sure + w["confidence_head.proj.bias"]).squeeze(-1)
        return functional.cross_entropy(
            logits.flatten(0, 1), wanted.flatten()
        ) + functional.binary_cross_entropy_with_logits(judged, right)

    train(w, texts, loss, n_steps=2000)
    save_head(folder, "llama-dspark", block_config(shape, "Qwen3DSparkModel", len(tokenizer)), w)


@dataclass
class Predictor:
    """A layer with its input and output, which predicts a second token from a model's state and the first token."""

    model: Any
    layer: Any
    made: Weights

    @classmethod
    def take(cls, model: Any, seed: int) -> Predictor:
        """Create one from a model's last layer."""
        inner, hidden = model.model, model.config.hidden_size
        layer, inner.layers = inner.layers[-1], inner.layers[:-1]
        model.config.num_hidden_layers -= 1
        new = Maker(seed)
        new.matrix("eh_proj", hidden, 2 * hidden)
        for name in ("enorm", "hnorm", "shared_head.norm"):
            new.norm(name, hidden)
        return cls(model, layer, new.made)

    def train(self, texts: list[Text]) -> None:
        inner, w = self.model.model, self.made
        words, output = inner.embed_tokens.weight.detach(), self.model.lm_head.weight.detach()

        def loss(text: Text) -> Tensor:
            both = [rms(words[text.ids[1:]], w["enorm.weight"]), rms(text.inputs[-1][:-1], w["hnorm.weight"])]
            x = (torch.cat(both, dim=-1) @ w["eh_proj.weight"].T)[None]
            positions = torch.arange(1, len(text.ids))[None]
            mask = torch.full((x.shape[1], x.shape[1]), -torch.inf).triu(1)[None, None]
            turned = inner.rotary_emb(x, positions)
            x = self.layer(x, attention_mask=mask, position_ids=positions, position_embeddings=turned)[0]
            logits = rms(x, w["shared_head.norm.weight"]) @ output.T
            return functional.cross_entropy(logits, text.teacher[1:])

        train({**w, **dict(self.layer.named_parameters())}, texts, loss)

    def save(self, folder: Path, rename: Callable[[str], str], config: dict[str, Any], *, norm_is: float = 0) -> None:
        """Write the model with all its layers; `rename` returns the published names of the last layer's weights."""
        inner, n_layers = self.model.model, len(self.model.model.layers)
        inner.layers.append(self.layer)
        self.model.save_pretrained(folder)
        prefix = f"model.layers.{n_layers}."
        saved = safetensors.torch.load_file(folder / "model.safetensors")
        for name, value in self.made.items():
            saved[prefix + name] = value.detach() - (norm_is if "norm" in name else 0)
        for name in [name for name in saved if name.startswith(prefix)]:
            saved[rename(name.removeprefix(prefix))] = saved.pop(name).contiguous()
        safetensors.torch.save_file(saved, folder / "model.safetensors", {"format": "pt"})
        described = json.loads((folder / "config.json").read_text("utf-8"))
        (folder / "config.json").write_text(json.dumps({**described, **config}), "utf-8")


def multi_token(folder: Path) -> None:
    """Make a GLM-4.5 with two layers and one that predicts a second token."""
    specials = ("<|endoftext|>", "[MASK]", "[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|observation|>")
    tokenizer = byte_bpe(folder, specials=specials, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    config = transformers.Glm4MoeConfig(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=64, moe_intermediate_size=32, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, head_dim=12, max_position_embeddings=1024, n_routed_experts=4,
        num_experts_per_tok=2, n_shared_experts=1, first_k_dense_replace=1, attention_bias=True, eos_token_id=0,
        pad_token_id=0, bos_token_id=None,
    )  # fmt: skip
    model = transformers.Glm4MoeForCausalLM(config)
    randomize(model, seed=34)
    with torch.no_grad():
        model.lm_head.weight *= 3  # clear choices
    predictor = Predictor.take(model, 35)
    predictor.train(texts_of(model, tokenizer))
    write_greedy_reference("multi-token", model, tokenizer)
    numbers = {"num_hidden_layers": 2, "num_nextn_predict_layers": 1}
    predictor.save(folder, lambda name: f"model.layers.2.{name}", numbers)
    convert(folder, "multi-token.gguf", pre_tokenizer="glm4")


def multi_token_hybrid(folder: Path) -> None:
    """Make a Qwen 3.5 with a gated delta net, a layer of attention, and one that predicts a second token."""
    tokenizer = byte_bpe(folder, specials=QWEN, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    kinds = ["linear_attention", "full_attention", "full_attention"]
    config = transformers.Qwen3_5TextConfig(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=1024, layer_types=kinds, linear_key_head_dim=16,
        linear_value_head_dim=16, linear_num_key_heads=2, linear_num_value_heads=4, eos_token_id=2, pad_token_id=0,
        rope_parameters={
            "rope_theta": 10000.0, "rope_type": "default", "partial_rotary_factor": 0.5, "mrope_section": [2, 1, 1],
        },
    )  # fmt: skip
    model = transformers.Qwen3_5ForCausalLM(config)
    randomize(model, seed=36)
    with torch.no_grad():
        model.lm_head.weight *= 3
    model.config.layer_types = kinds[:2]
    predictor = Predictor.take(model, 37)
    predictor.train(texts_of(model, tokenizer))
    write_greedy_reference("multi-token-hybrid", model, tokenizer)
    outer = {
        "eh_proj": "fc",
        "enorm": "pre_fc_norm_embedding",
        "hnorm": "pre_fc_norm_hidden",
        "shared_head.norm": "norm",
    }

    def rename(name: str) -> str:
        part = name.removesuffix(".weight")
        return f"mtp.{outer[part]}.weight" if part in outer else f"mtp.layers.0.{name}"

    numbers = {"num_hidden_layers": 2, "layer_types": kinds[:2]}
    predictor.save(folder, rename, numbers, norm_is=1)  # the checkpoint stores the norms minus one
    convert(folder, "multi-token-hybrid.gguf", pre_tokenizer="qwen35")


if __name__ == "__main__":
    run(
        {
            "llama-eagle3": eagle3, "llama-dflash": dflash, "llama-dspark": dspark, "multi-token": multi_token,
            "multi-token-hybrid": multi_token_hybrid,
        }
    )  # fmt: skip
