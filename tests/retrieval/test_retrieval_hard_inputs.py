"""Empty, huge, odd and wrong texts, through every way in and every kind of tokenizer."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xlc_core as xlc

MODELS = Path(__file__).parents[1] / "model_files"
EMBEDDERS = ["bert-embedder", "xlm-roberta-embedder", "qwen3-embedder", "llama-embedder"]
RERANKERS = ["bert-reranker", "xlm-roberta-reranker", "qwen3-reranker"]
CONTROL = ["[SEP]", "[CLS]", "[MASK]", "</s>", "<s>", "<|im_end|>", "<|endoftext|>", "<unk>"]


@pytest.fixture(scope="module", params=EMBEDDERS)
def embedder(request: pytest.FixtureRequest) -> Iterator[xlc.Engine]:
    with xlc.Engine(MODELS / f"{request.param}.gguf", n_threads=1, n_ctx=128) as engine:
        yield engine


@pytest.fixture(scope="module", params=RERANKERS)
def reranker(request: pytest.FixtureRequest) -> Iterator[xlc.Engine]:
    with xlc.Engine(MODELS / f"{request.param}.gguf", n_threads=1, n_ctx=512) as engine:
        yield engine


def ways(engine: xlc.Engine) -> list[Callable[..., Any]]:
    """The ways in, each giving one thing for each text."""
    return [
        engine.embed,
        engine.embed_tokens,
        lambda texts, **options: list(engine.embed_stream(texts, **options)),
        lambda texts, **options: list(engine.embed_stream(iter(texts), chunk_size=1, **options)),
    ]


@pytest.mark.parametrize(
    "text", ["nul\0inside", "\0", "emoji 🦙 \U0010ffff", "\u200b", "\ufffe", "a\u0301" * 9, "\r\n\t"]
)
def test_odd_texts_are_embedded(embedder: xlc.Engine, text: str) -> None:
    for way in ways(embedder):
        first, second = way(["x " + text, text + " y"])
        assert np.isfinite(first).all()
        assert np.isfinite(second).all()


def test_empty_text_is_embedded_or_refused(embedder: xlc.Engine) -> None:
    has_specials = len(embedder.tokenize("", add_special=True)) > 0
    for way in ways(embedder):
        if has_specials:
            assert np.isfinite(way(["", "a"])[0]).all()
        else:
            with pytest.raises(xlc.InvalidRequestError, match="text 1 is empty"):
                way(["a", ""])
        assert len(way([])) == 0


def test_very_many_empty_texts() -> None:
    with xlc.Engine(MODELS / "bert-embedder.gguf", n_threads=1) as engine:
        vectors = engine.embed([""] * 20_000)
        assert vectors.shape[0] == 20_000
        assert np.abs(vectors - vectors[0]).max() < 1e-4


def test_names_of_control_tokens_stay_text(embedder: xlc.Engine) -> None:
    n_special = len(embedder.tokenize("", add_special=True))
    known = [name for name in CONTROL if len(embedder.tokenize(name, parse_special=True)) == 1]
    assert known
    for name in known:
        text = f"a {name} b"
        n_tokens = len(embedder.tokenize(text)) + n_special
        assert n_tokens > len(embedder.tokenize(text, parse_special=True)) + n_special
        assert len(embedder.embed_tokens([text])[0]) == n_tokens
        assert (
            len(embedder.embed_tokens(["a"], prompt=f"{name} ")[0]) == len(embedder.tokenize(f"{name} a")) + n_special
        )


def test_names_of_control_tokens_stay_text_in_pairs(reranker: xlc.Engine) -> None:
    room = reranker._native.retriever().document_room
    for name in CONTROL:
        if len(reranker.tokenize(name, parse_special=True)) == 1:
            assert room("a") - room(f"a {name}") > 1
    assert len(reranker.rerank(" ".join(CONTROL), [" ".join(CONTROL), ""])) == 2


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one text", "not one str"),
        (b"bytes", "not one bytes|must be a str|iterable of str"),
        (["fine", None], "text 1 must be a str, not NoneType"),
        (["fine", 3.5], "text 1 must be a str, not float"),
        ([b"bytes"], "text 0 must be a str, not bytes"),
        ([["nested"]], "text 0 must be a str, not list"),
        (["fine", "fine", "a\ud800b"], "text 2 holds a lone surrogate"),
        ({"a": 1}, "not dict|"),
    ],
)
def test_non_text_is_refused(embedder: xlc.Engine, texts: Any, message: str) -> None:
    for way in (embedder.embed, embedder.embed_tokens, lambda texts: list(embedder.embed_stream(texts))):
        if isinstance(texts, dict) and way not in (embedder.embed, embedder.embed_tokens):
            continue  # its keys are an iterable of texts
        with pytest.raises(xlc.InvalidRequestError, match=message):
            way(texts)


def test_ordered_containers_are_accepted(embedder: xlc.Engine) -> None:
    expected = embedder.embed(["one", "two"])
    for texts in (("one", "two"), np.array(["one", "two"]), np.array(["one", "two"], dtype=object)):
        np.testing.assert_allclose(embedder.embed(texts), expected, atol=1e-3)
    with pytest.raises(xlc.InvalidRequestError, match="convert it to a list"):
        embedder.embed({"one"})  # type: ignore[arg-type]


@pytest.mark.parametrize("truncate", ["end", "start"])
def test_megabyte_is_cut(embedder: xlc.Engine, truncate: Any) -> None:
    text = "".join(f"the llama number {number} grazes, and " for number in range(30_000))
    kept = text[:2000] if truncate == "end" else text[-2000:]
    for way in ways(embedder):
        (cut,) = way([text], truncate=truncate)
        np.testing.assert_allclose(cut, way([kept], truncate=truncate)[0], atol=1e-3)


def test_megabyte_that_may_not_be_cut_is_counted(embedder: xlc.Engine) -> None:
    text = "the llama grazes and " * 50_000
    n_tokens = len(embedder.tokenize(text)) + len(embedder.tokenize("", add_special=True))
    with pytest.raises(xlc.InputTooLongError, match=f"text 1 has {n_tokens} tokens") as caught:
        embedder.embed(["short", text])
    assert (caught.value.index, caught.value.n_tokens) == (1, n_tokens)


@pytest.mark.parametrize("kind", ["letters", "base64", "Chinese", "spaces"])
def test_megabyte_without_words(embedder: xlc.Engine, kind: str) -> None:
    text = {
        "letters": "a" * 1_000_000,
        "base64": base64.b64encode(random.Random(0).randbytes(750_000)).decode(),
        "Chinese": "这是一个很长的句子没有空格" * 26_000,
        "spaces": " " * 1_000_000,
    }[kind]
    assert np.isfinite(embedder.embed(["x" + text], truncate="end")).all()


def test_hard_documents(reranker: xlc.Engine) -> None:
    documents = ["", "nul\0inside", "🦙", "[SEP] </s> <|im_end|>", "\u200b", "fine"]
    scores = reranker.rerank("", documents)
    assert sorted(score.index for score in scores) == list(range(6))
    assert np.isfinite([score.score for score in scores]).all()
    assert reranker.rerank("q", []) == []
    for bad, message in (([None], "document 0 must be a str"), (["a", "\ud800"], "document 1 holds a lone surrogate")):
        with pytest.raises(xlc.InvalidRequestError, match=message):
            reranker.rerank("q", bad)  # type: ignore[arg-type]
    for query in (None, 3, "\ud800"):
        with pytest.raises((xlc.InvalidRequestError, TypeError)):
            reranker.rerank(query, ["d"])  # type: ignore[arg-type]


@pytest.mark.parametrize("truncate", ["end", "start"])
def test_document_of_megabyte_is_cut(reranker: xlc.Engine, truncate: Any) -> None:
    text = "".join(f"the llama number {number} grazes, and " for number in range(30_000))
    kept = text[:4000] if truncate == "end" else text[-4000:]
    ranking = reranker.rerank("what does the llama do", [text, kept], truncate=truncate)
    assert ranking[0].score == pytest.approx(ranking[1].score, abs=1e-3)
