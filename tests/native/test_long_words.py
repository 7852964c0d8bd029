"""Words of any length: llama.cpp splits by std::regex, which overflows a stack at 30,000 letters without a space."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import xlc_core as xlc
from helpers import tiny_models

MODELS = Path(__file__).parents[1] / "model_files"


@pytest.fixture(scope="module", params=["gpt-4o", "deepseek-llm", "falcon"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> xlc.Engine:
    """A model whose tokenizer has expressions that llama.cpp leaves to std::regex."""
    path = tmp_path_factory.mktemp("models") / "model.gguf"
    tiny_models.with_metadata(MODELS / "qwen3-embedder.gguf", path, tokenizer__ggml__pre=request.param)
    return xlc.Engine(path, n_threads=1, n_ctx=128)


@pytest.mark.parametrize("text", ["a", "1", ".", " ", "é", "这", "a1"])
def test_long_word_is_embedded_and_tokenised(engine: xlc.Engine, text: str) -> None:
    long = "x" + text * (100_000 // len(text))
    assert engine.embed([long], truncate="end").shape[0] == 1
    assert engine.detokenize(engine.tokenize(long)) == long


def test_megabyte_of_one_word(engine: xlc.Engine) -> None:
    assert engine.detokenize(engine.tokenize("ab" * 500_000)) == "ab" * 500_000


def test_threads_with_small_stacks_tokenise_it_too(engine: xlc.Engine) -> None:
    counted: list[int] = []
    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=lambda: counted.append(len(engine.tokenize("a" * 5000))))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert counted == [len(engine.tokenize("a" * 5000))]


def test_long_and_short_words_have_the_same_tokens(engine: xlc.Engine) -> None:
    short = engine.tokenize("the llama grazes ")
    assert engine.tokenize("the llama grazes " + "a" * 2000)[: len(short) - 1] == short[:-1]
