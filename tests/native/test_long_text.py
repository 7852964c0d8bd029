"""Long texts are tokenised in parts, and only as far as tokens are kept: the tokens must be those of the whole."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers import tiny_models
from xlc_core import _native

PIECES = [
    *("alpha", "Beta", "don't", "x", "3.14", "日本語", "naïve", "[SEP]", "</s>", "<|im_end|>", "foo_bar", "a\nb", "\t"),
    *("🦙", "-", "“quoted”", "ÅNGSTRÖM", "𐍈", "\u200b", "e\u0301", "1234567", "nul\0", "\ufffd"),
]
SEPARATORS = [" ", " ", " ", "  ", "\n", "", " . "]
ALL = 1 << 40


@contextmanager
def counted_meanwhile(work: Callable[[], object]) -> Iterator[Callable[[], int]]:
    """Do some work again and again on another thread, and count how often it was done since.

    What takes longer than it should lets the other thread do more, however busy the machine is.
    """
    n_done = 0
    stop = threading.Event()

    def repeat() -> None:
        nonlocal n_done
        while not stop.is_set():
            work()
            n_done += 1

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield lambda: n_done
    finally:
        stop.set()
        thread.join()


def some_text(seed: int) -> str:
    draw = random.Random(seed)
    n_pieces = draw.choice([0, 50, 6000, 12_000])
    return "".join(draw.choice(PIECES) + draw.choice(SEPARATORS) for _ in range(n_pieces))


@pytest.fixture(scope="module", params=["WordPiece", "SentencePiece", "BPE", "Unigram"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The file of a model with this kind of vocabulary."""
    if request.param == "WordPiece":
        return request.getfixturevalue("embedder_path")
    if request.param == "BPE":
        return request.getfixturevalue("smollm2_path")
    if request.param == "Unigram":
        return Path(__file__).parents[1] / "model_files" / "xlm-roberta-embedder.gguf"
    return tiny_models.write_byte_llama(tmp_path_factory.mktemp("models") / "byte.gguf")


def test_parts_have_the_tokens_of_the_whole(model: Path) -> None:
    retriever = _native.Retriever.open(str(model), 1)
    with xlc.Engine(model, n_ctx=64, warmup=False) as engine:
        for seed in range(8):
            text = some_text(seed)
            whole = engine.tokenize(text)
            for n_first, n_last in [(ALL, 0), (0, ALL), (100, 0), (0, 100), (7, 503), (508, 2), (3000, 3000), (0, 0)]:
                expected = whole if len(whole) <= n_first + n_last else whole[:n_first] + whole[len(whole) - n_last :]
                assert retriever.text_ends(text, n_first, n_last) == expected, (seed, n_first, n_last)


def test_truncated_text_costs_as_much_as_its_tokens(embedder_path: Path) -> None:
    retriever = _native.Retriever.open(str(embedder_path), 1)
    text = "lorem ipsum dolor sit amet " * 40_000
    block = bytes(100_000_000)
    # The other thread hashes, which needs no GIL and takes about as long as to tokenize the whole text.
    with counted_meanwhile(lambda: hashlib.sha256(block)) as n_hashes:
        for _ in range(30):
            retriever.text_ends(text, 510, 0)
            retriever.text_ends(text, 0, 510)
        # A hundredth of the whole's time each; at the whole's time the 60 would leave time for some 20 to 100.
        assert n_hashes() < 10


def test_job_that_is_cancelled_stops_within_a_text(embedder_path: Path) -> None:
    retriever = _native.Retriever.open(str(embedder_path), 1)
    text = "lorem ipsum dolor sit amet " * 1_000_000  # 27 MB
    part = text[: len(text) // 100]
    job = retriever.embed([text])
    with counted_meanwhile(lambda: retriever.text_ends(part, ALL, 0)) as n_hundredths:
        job.cancel()
        assert retriever.embed(["next"]).wait(60)
        assert n_hundredths() < 50
    retriever.close()
