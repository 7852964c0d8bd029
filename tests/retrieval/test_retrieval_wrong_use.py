"""Requests that a model cannot serve are refused with an alternative."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from xlc_core.reranking.rerank import arerank_documents, rerank_documents

MODELS = Path(__file__).parents[1] / "model_files"
CHAT = [{"role": "user", "content": "Hi"}]


def opened(name: str, **options: Any) -> xlc.Engine:
    return xlc.Engine(MODELS / f"{name}.gguf", n_threads=1, **options)


@pytest.fixture(scope="module")
def bert() -> Iterator[xlc.Engine]:
    with opened("bert-embedder") as engine:
        yield engine


@pytest.fixture(scope="module")
def ranker() -> Iterator[xlc.Engine]:
    with opened("bert-reranker") as engine:
        yield engine


NO_HEAD = r"no ranking head; use rerank_documents\(\).*late-interaction.*bge-reranker"
RERANKER = r"is a reranker and gives no embeddings; use rerank\(\), or open an embedding model"
ENCODER = r"is an encoder \(bert\) and cannot generate text; use embed\(\) or rerank\(\) with it, or open a chat model"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda engine: engine.rerank("q", ["d"]), NO_HEAD),
        (lambda engine: engine.rerank("q", ["d"], truncate="split"), NO_HEAD),
        (lambda engine: engine.arerank("q", ["d"]), NO_HEAD),
        (lambda engine: rerank_documents(engine, "q", ["d"], method="cross-encoder"), NO_HEAD),
        (lambda engine: arerank_documents(engine, "q", ["d"], method="cross-encoder"), NO_HEAD),
        (lambda engine: engine.chat(CHAT), ENCODER),
        (lambda engine: engine.achat(CHAT), ENCODER),
        (lambda engine: engine.stream_chat(CHAT).result(), ENCODER),
        (lambda engine: engine.complete("Once"), ENCODER),
        (lambda engine: rerank_documents(engine, "q", ["d"], method="generative"), ENCODER),
        (lambda engine: arerank_documents(engine, "q", ["d"], method="generative"), ENCODER),
    ],
)
async def test_embedder(bert: xlc.Engine, call: Callable[[xlc.Engine], Any], message: str) -> None:
    await refused(bert, call, message)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda engine: engine.embed(["a"]), RERANKER),
        (lambda engine: engine.aembed(["a"]), RERANKER),
        (lambda engine: engine.embed_tokens(["a"]), RERANKER),
        (lambda engine: engine.aembed_tokens(["a"]), RERANKER),
        (lambda engine: list(engine.embed_stream(["a"])), RERANKER),
        (lambda engine: anext(engine.aembed_stream(["a"])), RERANKER),
        (lambda engine: rerank_documents(engine, "q", ["d"], method="late-interaction"), RERANKER),
        (lambda engine: engine.chat(CHAT), ENCODER),
    ],
)
async def test_reranker(ranker: xlc.Engine, call: Callable[[xlc.Engine], Any], message: str) -> None:
    await refused(ranker, call, message)


@pytest.mark.parametrize(
    ("model", "pooling", "call", "message"),
    [
        ("bert-embedder", "none", lambda engine: engine.embed(["a"]), r"pooling=\"none\".*use embed_tokens\(\)"),
        (
            "bert-embedder",
            "rank",
            lambda engine: engine.embed(["a"]),
            r"pooling=\"rank\", but .* no ranking head; open it",
        ),
        ("bert-embedder", "rank", lambda engine: engine.rerank("q", ["a"]), NO_HEAD),
        ("bert-reranker", "mean", lambda engine: engine.rerank("q", ["a"]), "open it without `pooling`"),
        ("llama", None, lambda engine: engine.rerank("q", ["a"]), r"no ranking head.*\"generative\" for a chat model"),
    ],
)
async def test_wrong_pooling(model: str, pooling: Any, call: Callable[[xlc.Engine], Any], message: str) -> None:
    with opened(model, pooling=pooling, n_ctx=256) as engine:
        await refused(engine, call, message)


def test_token_vectors_need_no_pooling() -> None:
    with opened("bert-embedder", pooling="none") as engine:
        assert len(engine.embed_tokens(["a"])) == 1


async def refused(engine: xlc.Engine, call: Callable[[xlc.Engine], Any], message: str) -> None:
    with pytest.raises(xlc.UnsupportedFeatureError, match=message):
        await awaited(call(engine))


async def awaited(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value
