"""Make tiny models that write text, and references from transformers. README.md says how to run it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import transformers
from making import HERE, byte_bpe, convert, randomize, run, sentencepiece_bpe

PROMPTS = [
    "The cache holds", "A slot is freed when", "Grüße aus München,", "def add(a, b):\n    return", "slots " * 30,
    "yes", "Retrieval finds", "1, 2, 3,", "Привет", "Each request has its own", "What is a token?", "The answer is",
]  # fmt: skip
N_TOKENS = 12
MIN_MARGIN = 0.04  # between the likeliest token and the next, so that rounding does not choose another
QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (  # ChatML
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def greedy(model: Any, ids: list[int], banned: list[int], n_tokens: int = N_TOKENS) -> tuple[list[int], float]:
    """Continue a prompt with the likeliest tokens, without a cache. Return them and the smallest margin."""
    written: list[int] = []
    margins = []
    with torch.inference_mode():
        for _ in range(n_tokens):
            logits = model(input_ids=torch.tensor([ids + written]), use_cache=False).logits[0, -1]
            logits[banned] = -torch.inf
            best = logits.topk(2)
            margins.append(float(best.values[0] - best.values[1]))
            written.append(int(best.indices[0]))
    return written, min(margins)


def write_greedy_reference(name: str, model: Any, tokenizer: Any) -> None:
    rows: list[dict[str, Any]] = []
    # Parts of a character do not have their own log-probability in an answer, so a test could not see them.
    banned = [i for i in range(len(tokenizer)) if is_no_text(tokenizer.decode([i]))]
    for prompt in PROMPTS:
        ids = [int(i) for i in tokenizer(prompt)["input_ids"]]
        written, margin = greedy(model, ids, banned)
        print(f"  margin {margin:.3f}: {written}")
        if margin >= MIN_MARGIN:
            rows.append({"prompt": prompt, "prompt_tokens": ids, "tokens": written})
    if len(rows) < 3:
        raise SystemExit(f"{name}: too few prompts have a clear continuation; take another seed")
    text = json.dumps({"banned": banned, "continuations": rows}, ensure_ascii=False)
    (HERE / f"{name}.json").write_text(text + "\n", "utf-8")


def is_no_text(piece: str) -> bool:
    return not piece.strip() or "\ufffd" in piece or piece.startswith("<")


def mixture_of_experts(folder: Path) -> None:
    tokenizer = sentencepiece_bpe(folder, dummy_prefix=True, add_eos=False)
    config = transformers.MixtralConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=512, num_local_experts=4, num_experts_per_tok=2,
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = transformers.MixtralForCausalLM(config)
    randomize(model, seed=21)
    model.save_pretrained(folder)
    write_greedy_reference("mixture-of-experts", model, tokenizer)
    convert(folder, "mixture-of-experts.gguf")


def chat_tokenizer(folder: Path) -> Any:
    tokenizer = byte_bpe(folder, specials=QWEN, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    (folder / "chat_template.jinja").write_text(TEMPLATE, "utf-8")
    return tokenizer


def recurrent(folder: Path) -> None:
    tokenizer = chat_tokenizer(folder)
    config = transformers.MambaConfig(
        vocab_size=len(tokenizer), hidden_size=48, state_size=16, num_hidden_layers=2, time_step_rank=4,
        bos_token_id=0, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    model = transformers.MambaForCausalLM(config)
    own = {name: value.clone() for name, value in model.state_dict().items() if name.endswith(("A_log", ".D"))}
    randomize(model, seed=22, scale=1.5, word_scale=0.4)
    model.load_state_dict(own, strict=False)  # with random values the state would grow without bound
    model.save_pretrained(folder)
    write_greedy_reference("recurrent", model, tokenizer)
    convert(folder, "recurrent.gguf", pre_tokenizer="qwen2")


def hybrid(folder: Path) -> None:
    tokenizer = chat_tokenizer(folder)
    config = transformers.Lfm2Config(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, full_attn_idxs=[1], block_auto_adjust_ff_dim=False,
        bos_token_id=None, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    model = transformers.Lfm2ForCausalLM(config)
    randomize(model, seed=23, scale=1.5, word_scale=0.4)
    model.save_pretrained(folder)
    write_greedy_reference("hybrid", model, tokenizer)
    convert(folder, "hybrid.gguf", pre_tokenizer="qwen2")


def llama_checkpoint(folder: Path) -> tuple[Any, Any]:
    tokenizer = sentencepiece_bpe(folder, dummy_prefix=True, add_eos=False)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    randomize(model, seed=24)
    model.save_pretrained(folder)
    return model, tokenizer


def llama(folder: Path) -> None:
    """Make a Llama and a LoRA adapter for it; the adapter's reference has it merged into the weights."""
    model, tokenizer = llama_checkpoint(folder)
    write_greedy_reference("llama", model, tokenizer)
    convert(folder, "llama.gguf")

    rank, alpha = 4, 8
    adapter = folder / "adapter"
    adapter.mkdir()
    targets = {"q_proj": "self_attn", "v_proj": "self_attn", "down_proj": "mlp"}
    described = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": sorted(targets)}
    (adapter / "adapter_config.json").write_text(json.dumps(described), "utf-8")
    generator = torch.Generator().manual_seed(25)
    tensors = {}
    for i, layer in enumerate(model.model.layers):
        for name, part in targets.items():
            weight = getattr(getattr(layer, part), name).weight
            a = torch.randn((rank, weight.shape[1]), generator=generator) / weight.shape[1] ** 0.5
            b = torch.randn((weight.shape[0], rank), generator=generator) / rank**0.5
            prefix = f"base_model.model.model.layers.{i}.{part}.{name}"
            tensors[f"{prefix}.lora_A.weight"], tensors[f"{prefix}.lora_B.weight"] = a, b
            with torch.no_grad():
                weight += alpha / rank * b @ a
    safetensors.torch.save_file(tensors, adapter / "adapter_model.safetensors", {"format": "pt"})
    write_greedy_reference("llama-lora", model, tokenizer)
    convert(adapter, "llama-lora.gguf", base=folder)


if __name__ == "__main__":
    run({"mixture-of-experts": mixture_of_experts, "recurrent": recurrent, "hybrid": hybrid, "llama": llama})
