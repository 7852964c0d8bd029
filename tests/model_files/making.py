"""Common code of the scripts that make tiny models: tokenizers, weights that affect the results, and conversion."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import tokenizers
import torch
import transformers
from tokenizers import decoders, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "src"))

SCRIPTS = [
    "Grüße aus München, schöne Straße und süße Äpfel", "L'élève déçu naïf à Noël", "El niño comió piñas",
    "Привет, как дела? Это маленькая модель.", "Καλημέρα κόσμε", "你好，世界。東京は日本の首都です。",
    "“quoted” — and … dashed – text", "½ of 10 € is 5 €, ≈ 5.40 $", "emoji 🎉 🚀", "The answer is yes or no.",
]  # fmt: skip

TEXTS = [
    "A context window bounds how much text a language model can attend to.",
    "Retrieval finds the few passages that matter and leaves the rest on their shelf.",
    "the cache", "?", "don't can't won't", "UPPER lower MiXeD", "snake_case and kebab-case, 3.14 and 1,000",
    "Grüße aus München, schöne Straße", "L'élève déçu à Noël", "Привет, как дела?", "Καλημέρα κόσμε",
    "你好，世界", "“quoted” — and … dashed – text", "½ of 10 € is 5 €", "emoji 🎉 here",
    " ".join(["Slots are batched; each request has its own cache, and a cancelled one frees its slot."] * 4),
]  # fmt: skip

QUERY_DOCUMENTS = {
    "What frees a slot?": [
        "A cancelled request frees its slot within one decode step.",
        "Retrieval finds the few passages that matter.",
        "yes", "?", "Grüße aus München, schöne Straße", "你好，世界",
        " ".join(["Slots are batched; each request has its own cache."] * 8),
    ],
    "Wie heißt die Straße in München?": ["Die Straße heißt schön.", "The cache is full.", "Привет, как дела?"],
    "cache": ["cache", "The key-value cache holds what the model has read.", "½ of 10 € is 5 €"],
}  # fmt: skip


def corpus() -> list[str]:
    """Return lines of text: the example corpus, and other scripts so often that a vocabulary contains them."""
    files = sorted((ROOT / "examples" / "corpus").glob("*.md"))
    lines = [line for file in files for line in file.read_text("utf-8").splitlines() if line.strip()]
    return lines + SCRIPTS * 40


def randomize(model: Any, *, seed: int, scale: float = 1.0, word_scale: float = 1.0) -> None:
    """Set every parameter to values that change the result: the usual initialisation is nearly the identity.

    Where the output shares the words' vectors these must be small, or every token is followed by itself.
    """
    generator = torch.Generator().manual_seed(seed)
    config = getattr(model.config, "text_config", model.config)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() < 2:
                is_norm = "norm" in name.lower() and name.endswith("weight")
                parameter.copy_(0.1 * noise + (parameter if is_norm else 0))
            elif "embed" in name:
                is_word = parameter.shape[0] == config.vocab_size
                parameter.copy_((word_scale if is_word else 0.2) * noise)
            else:
                fan_in = int(np.prod(parameter.shape[1:]))
                parameter.copy_(scale * noise / fan_in**0.5)
    model.eval()


def word_piece(folder: Path, *, vocab_size: int = 400, name: str = "BertTokenizer") -> Any:
    """Train an uncased WordPiece tokenizer like BERT's."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=specials, show_progress=False, limit_alphabet=150
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=256, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip
    fast.save_pretrained(folder)
    set_class(folder, name)
    return fast


def unigram(folder: Path, *, vocab_size: int = 400) -> Any:
    """Train a SentencePiece unigram model and number its pieces like XLM-RoBERTa."""
    with tempfile.TemporaryDirectory() as work:
        # A normaliser with a few rules: full-width letters and a ligature become plain ones. The usual NFKC has 300 KB.
        rules = Path(work) / "rules.tsv"
        pairs = [(0xFF21 + i, 0x41 + i) for i in range(26)] + [(0xFF41 + i, 0x61 + i) for i in range(26)]
        rules.write_text(
            "".join(f"{a:X}\t{b:X}\n" for a, b in pairs) + "FB01\t66 69\n3000\t20\nA0\t20\n9\t20\n", "utf-8"
        )
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus()), model_prefix=f"{work}/m", vocab_size=vocab_size, model_type="unigram",
            normalization_rule_tsv=str(rules), character_coverage=0.9999, num_threads=1, minloglevel=2,
            hard_vocab_limit=False,
        )  # fmt: skip
        model = Path(f"{work}/m.model").read_bytes()
    (folder / "sentencepiece.bpe.model").write_bytes(model)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    pieces = [(processor.IdToPiece(i), processor.GetScore(i)) for i in range(3, processor.vocab_size())]
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces, ("<mask>", 0.0)]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram(vocab, unk_id=3))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap),
            normalizers.Replace(tokenizers.Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        cls_token="<s>", sep_token="</s>", mask_token="<mask>", model_max_length=256,
    )  # fmt: skip
    fast.save_pretrained(folder)
    return fast


class SentencePieceTokenizer:
    """A SentencePiece model, called like the original models call it: the text's pieces between two control tokens."""

    def __init__(self, model: bytes, *, add_eos: bool) -> None:
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._add_eos = add_eos

    def __len__(self) -> int:
        return int(self._processor.vocab_size())

    def number_of(self, piece: str) -> int:
        return int(self._processor.piece_to_id(piece))

    def decode(self, ids: list[int]) -> str:
        return str(self._processor.id_to_piece(ids[0]))

    def __call__(self, text: str, return_tensors: str = "") -> dict[str, Any]:
        pieces = self._processor
        ids = [pieces.bos_id(), *pieces.encode(text), *([pieces.eos_id()] if self._add_eos else [])]
        return {"input_ids": torch.tensor([ids]) if return_tensors else ids}


def sentencepiece_bpe(
    folder: Path,
    *,
    dummy_prefix: bool,
    add_eos: bool,
    bos: str = "<s>",
    eos: str = "</s>",
    vocab_size: int = 460,
    control: tuple[str, ...] = (),
) -> SentencePieceTokenizer:
    """Train a SentencePiece BPE that falls back to bytes, like Llama's and Gemma's."""
    with tempfile.TemporaryDirectory() as work:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus()), model_prefix=f"{work}/m", vocab_size=vocab_size, model_type="bpe",
            normalization_rule_name="identity", add_dummy_prefix=dummy_prefix, remove_extra_whitespaces=False,
            byte_fallback=True, character_coverage=0.99, num_threads=1, minloglevel=2, bos_piece=bos, eos_piece=eos,
            control_symbols=list(control),
        )  # fmt: skip
        model = Path(f"{work}/m.model").read_bytes()
    (folder / "tokenizer.model").write_bytes(model)
    config = {"bos_token": bos, "eos_token": eos, "add_bos_token": True, "add_eos_token": add_eos}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return SentencePieceTokenizer(model, add_eos=add_eos)


QWEN2_CUTS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_bpe(
    folder: Path,
    *,
    vocab_size: int = 400,
    cuts: str | None = QWEN2_CUTS,
    specials: tuple[Any, ...] = ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    words: tuple[str, ...] = (),
    post: Any = None,
    **named: Any,
) -> Any:
    """Train a BPE over bytes; without ``cuts`` it splits text like GPT-2. ``words`` always become tokens."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=cuts is None)
    tokenizer.pre_tokenizer = (
        by_bytes
        if cuts is None
        else pre_tokenizers.Sequence([pre_tokenizers.Split(tokenizers.Regex(cuts), "isolated"), by_bytes])
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(specials), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator([*corpus(), *(word for word in words for _ in range(3000))], trainer)
    if post is not None:
        tokenizer.post_processor = post(tokenizer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)
    fast.save_pretrained(folder)
    return fast


def set_class(folder: Path, name: str) -> None:
    """Write the tokenizer's class like published models; the converter reads it for some of them."""
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "tokenizer_class": name}), "utf-8")


def sentence_transformer(folder: Path, *, pooling: str) -> None:
    """Write the files that turn a transformers checkpoint into one for sentence-transformers."""
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    (folder / "1_Pooling").mkdir(exist_ok=True)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    modes = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "last": "pooling_mode_lasttoken"}
    written = {
        "word_embedding_dimension": config["hidden_size"],
        **{key: key == modes[pooling] for key in modes.values()},
    }
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(written), "utf-8")


def convert(folder: Path, name: str, *, weights: str = "f32", **options: Any) -> Path:
    """Convert a checkpoint to ``tests/model_files/name``, which must not exist: a committed file is never rewritten."""
    from xlc_core import convert_model

    made = convert_model(folder, HERE / name, weights, **options)
    print(f"{name}: {made.stat().st_size / 1000:.0f} kB")
    return made


def write_reference(name: str, **arrays: Any) -> None:
    """Write the reference that the tests compare with."""
    np.savez_compressed(HERE / name, **{key: np.asarray(value) for key, value in arrays.items()})


def pooled(model: Any, tokenizer: Any, pooling: str, dense: Any) -> np.ndarray:
    """Embed each text alone, so that nothing depends on padding."""
    vectors = []
    with torch.inference_mode():
        for text in TEXTS:
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            vector = {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pooling]
            if dense is not None:
                vector = dense(vector)
            vectors.append(torch.nn.functional.normalize(vector, dim=0).numpy())
    return np.stack(vectors).astype(np.float32)


def write_embedder_reference(name: str, model: Any, tokenizer: Any, *poolings: str, dense: Any = None) -> None:
    tokens = [tokenizer(text)["input_ids"] for text in TEXTS]
    write_reference(
        f"{name}.npz",
        texts=TEXTS,
        n_tokens=[len(ids) for ids in tokens],
        tokens=np.concatenate(tokens),
        **{pooling: pooled(model, tokenizer, pooling, dense) for pooling in poolings},
    )


def write_reranker_reference(
    name: str, model: Any, tokenizer: Any, score: Callable[[str, str], torch.Tensor] | None = None
) -> None:
    def logit(query: str, document: str) -> torch.Tensor:
        result: torch.Tensor = model(**tokenizer(query, document, return_tensors="pt")).logits[0, 0]
        return result

    rows: list[tuple[str, str, float]] = []
    with torch.inference_mode():
        for query, documents in QUERY_DOCUMENTS.items():
            rows += [(query, document, float((score or logit)(query, document))) for document in documents]
    queries, documents, scores = zip(*rows, strict=True)
    print(f"  scores: {min(scores):.3f} … {max(scores):.3f}")
    write_reference(f"{name}.npz", queries=queries, documents=documents, scores=np.array(scores, np.float32))


def run(makers: dict[str, Callable[[Path], None]]) -> None:
    """Make the models that are named on the command line, or those that do not exist yet."""
    wanted = sys.argv[1:] or [name for name in makers if not (HERE / f"{name}.gguf").exists()]
    for name in wanted:
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work) / name  # the model's name in the file
            folder.mkdir()
            makers[name](folder)
