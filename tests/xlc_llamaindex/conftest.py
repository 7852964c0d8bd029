"""The LlamaIndex adapters over real models, loaded once."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path

import llama_index.core
import pytest
from llama_index.core import Settings

from xlc_llamaindex import XLlama, XLlamaEmbedding, XLlamaRerank


@pytest.fixture(autouse=True)
def own_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """A loop for what LlamaIndex's sync methods run inside; they would make one and leave it open."""
    if inspect.iscoroutinefunction(request.function):
        yield
        return
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(scope="session")
def llm(smollm2_path: Path) -> Iterator[XLlama]:
    """SmolLM2; tests may change neither it nor its engine."""
    with XLlama(model="smollm2-135m-instruct", n_ctx=2048, temperature=0, max_tokens=32) as model:
        yield model


@pytest.fixture(scope="session")
def embed_model(embedder_path: Path) -> Iterator[XLlamaEmbedding]:
    with XLlamaEmbedding(model="all-minilm-l6-v2") as model:
        yield model


@pytest.fixture(scope="session")
def rerank(reranker_path: Path) -> Iterator[XLlamaRerank]:
    with XLlamaRerank(model="xllama-rerank-mini", top_n=2) as model:
        yield model


@pytest.fixture
def settings(llm: XLlama, embed_model: XLlamaEmbedding) -> Iterator[None]:
    """Settings as a user would set them, and as they were afterwards."""
    before = dict(vars(Settings))
    tokenizer = llama_index.core.global_tokenizer
    Settings.llm = llm
    Settings.embed_model = embed_model
    Settings.tokenizer = llm.tokenizer
    yield
    vars(Settings).clear()
    vars(Settings).update(before)
    llama_index.core.global_tokenizer = tokenizer
