"""Make a tiny Gemma 3 with vision, and references from transformers for an image. README.md says how to run it."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
import transformers
from make_generators import N_TOKENS, is_no_text
from making import HERE, SentencePieceTokenizer, convert, randomize, run, sentencepiece_bpe

IMAGE_SIZE, PATCH_SIZE, IMAGE_TOKENS = 32, 8, 4
MARKS = ("<start_of_image>", "<end_of_image>", "<image_soft_token>")
TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}model:"
QUESTIONS = ["What is this?", "The cache holds", "Is it red or blue?", "yes", "Each slot", "1, 2, 3"]


def write_png(path: Path, pixels: np.ndarray) -> None:
    height, width, _ = pixels.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    made = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    path.write_bytes(made)


def image(seed: int) -> np.ndarray:
    """Draw a picture of the model's image size, so that it is not resized."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((IMAGE_SIZE // 8, IMAGE_SIZE // 8, 1), np.uint8))


def prompt_tokens(tokenizer: SentencePieceTokenizer, question: str) -> list[int]:
    """Return the chat's tokens with the image before the question, in the engine's layout."""
    start, end, soft = (tokenizer.number_of(mark) for mark in MARKS)
    before, after = tokenizer("user: ")["input_ids"], tokenizer(f"{question}\nmodel:")["input_ids"][1:]
    return [*before, start, *([soft] * IMAGE_TOKENS), end, *after]


def gemma3_vision(folder: Path) -> None:
    tokenizer = sentencepiece_bpe(
        folder, dummy_prefix=False, add_eos=False, bos="<bos>", eos="<eos>", vocab_size=440, control=MARKS
    )
    start, end, soft = (tokenizer.number_of(mark) for mark in MARKS)
    text = transformers.Gemma3TextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, query_pre_attn_scalar=16, max_position_embeddings=512, sliding_window=64,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    vision = transformers.SiglipVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE, vision_use_head=False,
    )  # fmt: skip
    config = transformers.Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=IMAGE_TOKENS, boi_token_index=start,
        eoi_token_index=end, image_token_index=soft, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    model = transformers.Gemma3ForConditionalGeneration(config)
    randomize(model, seed=31, scale=1.5, word_scale=0.07)
    with torch.no_grad():
        model.model.language_model.norm.weight += 8  # spreads the logits
    model.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE, "utf-8")
    preprocessor = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "image_seq_length": IMAGE_TOKENS}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor), "utf-8")

    banned = [i for i in range(len(tokenizer)) if is_no_text(tokenizer.decode([i]))]
    rows = []
    for number, seed in enumerate((1, 2)):
        pixels = image(seed)
        write_png(HERE / f"gemma3-vision-{number}.png", pixels)
        values = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
        for question in QUESTIONS:
            ids = prompt_tokens(tokenizer, question)
            written: list[int] = []
            margins = []
            for _ in range(N_TOKENS):
                batch = torch.tensor([ids + written])
                with torch.inference_mode():
                    logits = model(
                        input_ids=batch, pixel_values=values, token_type_ids=(batch == soft).long(), use_cache=False
                    ).logits[0, -1]
                    logits[banned] = -torch.inf
                best = logits.topk(2)
                margins.append(float(best.values[0] - best.values[1]))
                written.append(int(best.indices[0]))
            print(f"  image {number}, margin {min(margins):.3f}: {written}")
            if min(margins) >= 0.04:
                rows.append({"image": number, "question": question, "prompt_tokens": ids, "tokens": written})
    text_json = json.dumps({"banned": banned, "answers": rows}, ensure_ascii=False)
    (HERE / "gemma3-vision.json").write_text(text_json + "\n", "utf-8")
    convert(folder, "gemma3-vision.gguf")
    convert(folder, "gemma3-vision-mmproj.gguf", projector=True)


if __name__ == "__main__":
    run({"gemma3-vision": gemma3_vision})
