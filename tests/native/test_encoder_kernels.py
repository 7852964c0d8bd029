"""Our own kernels for BERT-like encoders: the same numbers as llama.cpp's graph, for every shape of work."""

from __future__ import annotations

import random
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import xlc_core as xlc
from helpers.retrieval_jobs import assert_abandoned
from helpers.waiting import wait_until
from native.test_retrieval_native import EMBEDDER, RERANKER, finished
from xlc_core import _native
from xlc_core.errors import RequestCancelledError

if TYPE_CHECKING:
    from collections.abc import Iterator

# float16's precision: that of the kernels' integers, of the file, and of llama.cpp's own products.
MIN_COSINE = 0.99998


@pytest.fixture(scope="module", params=[1, 2, 5], ids=lambda n: f"{n}-threads")
def ours(request: pytest.FixtureRequest) -> Iterator[Any]:
    retriever = _native.Retriever.open(EMBEDDER, request.param)
    if not retriever.has_own_kernels:
        pytest.skip("this processor has neither AVX2 nor AVX-512")
    yield retriever
    retriever.close()


@pytest.fixture(scope="module")
def theirs() -> Iterator[Any]:
    retriever = _native.Retriever.open(EMBEDDER, 2, own_kernels=False)
    assert not retriever.has_own_kernels
    yield retriever
    retriever.close()


def texts_of(*lengths: int) -> list[str]:
    draw = random.Random(1)
    words = Path(__file__).read_text(encoding="utf-8").split()
    return [" ".join(draw.choices(words, k=length)) for length in lengths]


@contextmanager
def both(path: str = EMBEDDER, **options: Any) -> Iterator[tuple[Any, Any]]:
    """A retriever with our kernels and one with llama.cpp's graph."""
    pair = tuple(_native.Retriever.open(path, 2, own_kernels=own, **options) for own in (True, False))
    if not pair[0].has_own_kernels:
        pytest.skip("this processor has neither AVX2 nor AVX-512")
    yield pair
    for one in pair:
        one.close()


# One token alone; rows that fill no tile; several texts; more than a micro-batch; longer than a head's block of queries
# and than a block of the feed-forward layer.
@pytest.mark.parametrize(
    "lengths", [(0,), (1,), (3, 9), (40,) * 9, (30, 1, 90, 0, 7) * 5, (160,), (95, 170, 20)], ids=str
)
def test_vectors_are_those_of_llama_cpp(ours: Any, theirs: Any, lengths: tuple[int, ...]) -> None:
    texts = texts_of(*lengths)
    got, expected = (finished(one.embed(texts, truncate="end")) for one in (ours, theirs))
    assert np.einsum("ij,ij->i", got, expected).min() > MIN_COSINE
    tokens, expected_tokens = (finished(one.embed_tokens(texts, truncate="end")) for one in (ours, theirs))
    for mine, other in zip(tokens, expected_tokens, strict=True):
        assert mine.shape == other.shape
        assert np.einsum("ij,ij->i", mine, other).min() > MIN_COSINE


def test_text_gives_the_same_numbers_in_any_company(ours: Any) -> None:
    texts = texts_of(*range(1, 60, 2))
    together = finished(ours.embed(texts))
    alone = np.concatenate([finished(ours.embed([text])) for text in texts])
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_poolings(pooling: str) -> None:
    texts = texts_of(5, 50)
    with both(pooling=pooling) as pair:
        got, expected = (finished(one.embed(texts)) for one in pair)
    assert np.einsum("ij,ij->i", got, expected).min() > MIN_COSINE


TINY_MODELS = Path(__file__).parents[1] / "model_files"
KINDS = ("bert", "xlm-roberta", "modern-bert", "jina-bert-v2")


@pytest.mark.parametrize("name", [f"{kind}-embedder" for kind in (*KINDS, "nomic-bert")])
def test_embedders_of_other_architectures(name: str) -> None:
    texts = texts_of(0, 3, 40, 11)  # longer than the window in which some layers of ModernBERT look
    with both(str(TINY_MODELS / f"{name}.gguf")) as pair:
        got, expected = (finished(one.embed(texts, truncate="end")) for one in pair)
    assert np.einsum("ij,ij->i", got, expected).min() > 0.9999  # random weights make more of a difference


@pytest.mark.parametrize("name", [f"{kind}-reranker" for kind in KINDS])
def test_rerankers_of_other_architectures(name: str) -> None:
    documents = texts_of(0, 3, 40, 11)
    with both(str(TINY_MODELS / f"{name}.gguf")) as pair:
        got, expected = (finished(one.rerank("a query", documents, truncate="end")) for one in pair)
    assert np.abs(got - expected).max() < 2e-3  # llama.cpp's GELU is a table


@pytest.mark.parametrize("sentence_types", [False, True])
def test_scores_are_those_of_llama_cpp(sentence_types: bool) -> None:
    documents = texts_of(1, 20, 70, 110)
    with both(RERANKER) as pair:
        got, expected = (finished(one.rerank("a query", documents, sentence_types=sentence_types)) for one in pair)
    # llama.cpp multiplies this Q8_0 file by activations of 8 bits, we by 13.
    assert np.abs(got - expected).max() < 0.25


def test_smaller_weights_than_float16_are_read(tmp_path: Path) -> None:
    small = tmp_path / "q4_0.gguf"
    xlc.quantize_model(EMBEDDER, small, "q4_0")
    texts = texts_of(20, 40)
    with both(str(small)) as pair:
        got, expected = (finished(one.embed(texts)) for one in pair)
    assert np.einsum("ij,ij->i", got, expected).min() > 0.995  # they round the activations to 8 bits


def test_cancelling_ends_the_work_between_two_layers() -> None:
    retriever = _native.Retriever.open(EMBEDDER, 2)
    job = retriever.embed(texts_of(*([200] * 300)), truncate="end")
    assert wait_until(lambda: job.n_done)
    job.cancel()
    assert np.isfinite(finished(retriever.embed(["next"]))).all()
    assert_abandoned([job], lambda: finished(retriever.embed(["next"])))
    with pytest.raises(RequestCancelledError):
        finished(job)


def test_option_chooses_the_graph() -> None:
    with xlc.Engine("all-minilm-l6-v2", encoder="llama.cpp") as theirs, xlc.Engine("all-minilm-l6-v2") as ours:
        assert not theirs._native.retriever().has_own_kernels
        assert ours._native.retriever().has_own_kernels == (_native.best_kernels() != "")
        texts = texts_of(9, 30)
        assert np.einsum("ij,ij->i", ours.embed(texts), theirs.embed(texts)).min() > MIN_COSINE


def test_other_architectures_keep_the_graph(smollm2_path: Path) -> None:
    retriever = _native.Retriever.open(str(smollm2_path), 1, pooling="mean")
    assert not retriever.has_own_kernels
    assert finished(retriever.embed(["a text"])).shape == (1, 576)
