"""Reranking in all its ways: long documents, instructions, scales, and what each kind of model takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from helpers import tiny_models
from xlc_core.reranking.rerank import arerank_documents, rerank_documents
from xlc_core.retrieval.splitting import Pieces, split_documents, split_text
from xlc_core.testing import ScriptedEngine

MODELS = Path(__file__).parents[1] / "model_files"
QUERY = "What is the capital of France?"
ANSWER = "Paris is the capital and largest city of France."
FILLER = "Interest rates rose by half a point and the bank was closed for a day. "


def count_words(text: str) -> int:
    return len(text.split())


def scores_of(ranking: list[xlc.RerankScore]) -> list[float]:
    return [score.score for score in sorted(ranking, key=lambda score: score.index)]


# Splitting


@pytest.mark.parametrize("overlap", [0, 1, 3, 100])
@pytest.mark.parametrize("room", [1, 2, 7, 50])
def test_pieces_fit_and_cover_the_text(room: int, overlap: int) -> None:
    text = " ".join(f"word{number}" for number in range(120)) + "\n the end "
    pieces = split_text(text, count_words, room, overlap)
    assert max(count_words(piece) for piece in pieces) <= room
    position = 0
    for piece in pieces:
        begin = text.index(piece)
        assert begin <= position < begin + len(piece)  # nothing is left out, and each goes on further
        assert count_words(text[begin:position]) <= min(overlap, room // 2)
        position = begin + len(piece)
    assert position == len(text)
    if overlap == 0:
        assert "".join(pieces) == text


def test_fitting_text_is_not_split() -> None:
    assert split_text("one two", count_words, 2, 1) == ["one two"]
    assert split_text("", count_words, 2, 1) == [""]


def test_too_long_word_is_split() -> None:
    pieces = split_text("ab " + "x" * 25 + " cd", len, 10, 0)
    assert "".join(pieces) == "ab " + "x" * 25 + " cd"
    assert max(len(piece) for piece in pieces) <= 10
    assert "".join(split_text("🦙" * 30, len, 10, 4)[:1]) == "🦙" * 10


def test_splitting_counts_few_tokens() -> None:
    n_counted = 0

    def count(text: str) -> int:
        nonlocal n_counted
        n_counted += len(text)
        return count_words(text)

    text = "word " * 20_000
    assert len(split_text(text, count, 500, 50)) == 45
    assert n_counted < 30 * len(text)


def test_best_piece_counts() -> None:
    pieces = split_documents(["a b c d", "e", ""], count_words, 2, 0)
    assert pieces.documents == [0, 0, 1, 2]
    np.testing.assert_array_equal(pieces.best(np.array([1, 3, -2, -9], np.float32)), [3, -2, -9])
    assert Pieces([], [], 0).best(np.array([], np.float32)).shape == (0,)


# A ranking head


async def test_answer_at_end_of_long_document_is_found(reranker: xlc.Engine) -> None:
    documents = [FILLER * 90 + ANSWER, FILLER * 90, ANSWER]
    with pytest.raises(xlc.InputTooLongError, match="split"):
        reranker.rerank(QUERY, documents)
    cut = scores_of(reranker.rerank(QUERY, documents, truncate="end"))
    split = scores_of(reranker.rerank(QUERY, documents, truncate="split"))
    assert cut[0] + 0.5 < split[0]
    assert split[2] == pytest.approx(cut[2], abs=0.1)
    assert scores_of(await reranker.arerank(QUERY, documents, truncate="split")) == pytest.approx(split, abs=0.1)
    pieces = reranker._pieces(QUERY, documents, xlc.RerankOptions(truncate="split"))
    assert pieces is not None
    assert len(pieces.texts) == len(pieces.documents) > 5
    by_hand = [score.score for score in reranker.rerank(QUERY, pieces.texts) if pieces.documents[score.index] == 0]
    assert split[0] == pytest.approx(max(by_hand), abs=0.1)
    calls: list[Any] = []
    reranker.rerank(QUERY, documents, truncate="split", progress=lambda *call: calls.append(call))
    assert calls[-1] == (len(pieces.texts), len(pieces.texts))


@pytest.mark.parametrize("truncate", ["end", "start"])
def test_only_document_is_truncated(reranker: xlc.Engine, truncate: Any) -> None:
    query = "What is the capital of France? " * 10
    room = reranker._native.retriever().document_room(query)
    words = ["paris", *["world"] * (room - 2), "france"]
    whole = scores_of(reranker.rerank(query, [" ".join(words)]))  # fits exactly
    padded = [*words, *["city"] * 40] if truncate == "end" else [*["city"] * 40, *words]
    assert scores_of(reranker.rerank(query, [" ".join(padded)], truncate=truncate)) == pytest.approx(whole, abs=0.05)
    with pytest.raises(xlc.InputTooLongError) as caught:
        reranker.rerank(query, ["fits", " ".join(["world", *words])])
    assert (caught.value.index, caught.value.n_tokens, caught.value.limit) == (1, 513, 512)


@pytest.mark.parametrize("truncate", ["error", "end", "start", "split"])
async def test_query_without_room_for_document_is_refused(reranker: xlc.Engine, truncate: Any) -> None:
    for query in ("word " * 600, "word " * 510):
        with pytest.raises(xlc.InputTooLongError, match="query") as caught:
            reranker.rerank(query, ["short"], truncate=truncate)
        assert caught.value.index == -1
        with pytest.raises(xlc.InputTooLongError, match="query"):
            await reranker.arerank(query, ["short"], truncate=truncate)


def test_sigmoid_scores_are_between_0_and_1(reranker: xlc.Engine) -> None:
    documents = [ANSWER, FILLER]
    raw = np.array(scores_of(reranker.rerank(QUERY, documents)))
    between = scores_of(reranker.rerank(QUERY, documents, scores="sigmoid"))
    assert between == pytest.approx(1 / (1 + np.exp(-raw)), abs=0.02)
    assert ScriptedEngine(scores=lambda *_: [-1e6, 0, 1e6]).rerank("q", ["a"] * 3, scores="sigmoid") == [
        xlc.RerankScore(2, 1.0),
        xlc.RerankScore(1, 0.5),
        xlc.RerankScore(0, 0.0),
    ]


TEMPLATE = "[CLS]<Instruct>: {0}\n<Query>: {{query}}\n<Document>: {{document}}[SEP]"


def templated(path: Path, folder: Path, template: str) -> xlc.Engine:
    name = f"{len(list(folder.iterdir()))}.gguf"
    return xlc.Engine(tiny_models.with_metadata(path, folder / name, tokenizer__chat_template__rerank=template))


def test_instruction_replaces_templates_default(reranker_path: Path, tmp_path: Path) -> None:
    documents = [ANSWER, FILLER]
    with templated(reranker_path, tmp_path, TEMPLATE.format("Find facts")) as engine:
        default = scores_of(engine.rerank(QUERY, documents))
        asked = scores_of(engine.rerank(QUERY, documents, instruction="Find animals"))
        assert scores_of(engine.rerank(QUERY, documents, instruction="Find facts")) == pytest.approx(default, abs=0.02)
        assert np.abs(np.subtract(asked, default)).max() > 0.05
        room = engine._native.retriever().document_room
        # Neither fields nor control tokens are looked for in what a user gives.
        assert room(QUERY, "") - room(QUERY, "[SEP]") == 3
        assert room("[SEP]", "") == room("", "[SEP]")
        assert room(QUERY, "") - room(QUERY, "{document}") == 3
        assert room(QUERY, "{query}") == room("{query}", QUERY)
    with templated(reranker_path, tmp_path, TEMPLATE.format("Find animals")) as engine:
        assert scores_of(engine.rerank(QUERY, documents)) == pytest.approx(asked, abs=0.02)
    with templated(reranker_path, tmp_path, TEMPLATE.format("{instruction}")) as engine:
        assert scores_of(engine.rerank(QUERY, documents, instruction="Find animals")) == pytest.approx(asked, abs=0.02)


def test_model_without_place_refuses_instruction(
    reranker: xlc.Engine, embedder: xlc.Engine, reranker_path: Path, tmp_path: Path
) -> None:
    for truncate in ("end", "split"):
        with pytest.raises(xlc.UnsupportedFeatureError, match=r"takes no instruction.*Qwen3-Reranker"):
            reranker.rerank(QUERY, [ANSWER], instruction="Find animals", truncate=truncate)  # type: ignore[arg-type]
    with pytest.raises(xlc.UnsupportedFeatureError, match=r"takes no instruction.*Qwen3-Embedding"):
        rerank_documents(embedder, QUERY, [ANSWER], instruction="Find animals")
    with (
        templated(reranker_path, tmp_path, "[CLS]{query} {document}[SEP]") as engine,
        pytest.raises(xlc.UnsupportedFeatureError, match="takes no instruction"),
    ):
        engine.rerank(QUERY, [ANSWER], instruction="Find animals")


def test_qwen3_takes_instructions_and_returns_probabilities() -> None:
    default = "Given a web search query, retrieve relevant passages that answer the query"
    documents = ["the llama grazes", "rates rose", ""]
    with xlc.Engine(MODELS / "qwen3-reranker.gguf", n_threads=1, n_ctx=512) as engine:
        raw = scores_of(engine.rerank("llama", documents))
        assert all(0 <= score <= 1 for score in raw)
        assert scores_of(engine.rerank("llama", documents, scores="sigmoid")) == pytest.approx(raw, abs=1e-6)
        assert scores_of(engine.rerank("llama", documents, instruction=default)) == pytest.approx(raw, abs=1e-4)
        asked = scores_of(engine.rerank("llama", documents, instruction="find the opposite <|im_end|>"))
        assert np.abs(np.subtract(asked, raw)).max() > 1e-3
        long = scores_of(engine.rerank("llama", ["the llama grazes " * 300], truncate="split"))
        assert 0 <= long[0] <= 1


# Late interaction


async def test_late_interaction_splits_and_names_documents(embedder: xlc.Engine) -> None:
    documents = [FILLER * 90 + ANSWER, FILLER * 90, ANSWER]
    with pytest.raises(xlc.InputTooLongError, match="document 1 has") as caught:
        rerank_documents(embedder, QUERY, ["short", documents[0]])
    assert caught.value.index == 1
    with pytest.raises(xlc.InputTooLongError, match="the query has") as caught:
        await arerank_documents(embedder, "word " * 600, ["short"], truncate="split")
    assert caught.value.index == -1
    cut = scores_of(rerank_documents(embedder, QUERY, documents, truncate="end"))
    calls: list[Any] = []
    split = scores_of(
        rerank_documents(embedder, QUERY, documents, truncate="split", progress=lambda *call: calls.append(call))
    )
    assert split[0] > cut[0] + 0.1
    assert split[2] == pytest.approx(cut[2], abs=0.02)
    assert calls[-1][0] == calls[-1][1] > 4
    twin = scores_of(await arerank_documents(embedder, QUERY, documents, truncate="split"))
    assert twin == pytest.approx(split, abs=0.01)


def test_more_documents_than_one_batch(embedder: xlc.Engine) -> None:
    documents = [FILLER if number != 70 else ANSWER for number in range(75)]
    assert rerank_documents(embedder, QUERY, documents, top_n=1)[0].index == 70
    with pytest.raises(xlc.InputTooLongError, match="document 74 has"):
        rerank_documents(embedder, QUERY, [*documents[:74], FILLER * 100])


async def test_late_interaction_refuses_sigmoid(embedder: xlc.Engine) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="mean cosines"):
        rerank_documents(embedder, QUERY, [ANSWER], scores="sigmoid")
    with pytest.raises(xlc.InvalidRequestError, match="mean cosines"):
        await arerank_documents(embedder, QUERY, [ANSWER], scores="sigmoid")


# A chat model


def judged(yes: float, no: float) -> xlc.Completion:
    top = (xlc.TokenLogprob("Yes", 1, yes), xlc.TokenLogprob("no", 2, no))
    choice = xlc.CompletionChoice(text="", logprobs=(xlc.TokenLogprob("", 0, 0.0, top),))
    return xlc.Completion((choice,), xlc.Usage(1, 1), "scripted")


async def test_judge_reads_pieces_and_instruction() -> None:
    info = xlc.ModelInfo(**{**vars(ScriptedEngine().info), "n_ctx": 500})
    replies = [judged(-3, -1), judged(-1, -2), judged(-2, -2)]
    document = "word " * 60

    def engine() -> ScriptedEngine:
        return ScriptedEngine(replies, info=info)

    calls: list[Any] = []
    first = engine()
    scores = rerank_documents(
        first, "q", [document, "short"],
        method="generative", truncate="split", overlap=0, instruction="Count words",
        progress=lambda *call: calls.append(call),
    )  # fmt: skip
    n_pieces = len(first.requests)
    assert n_pieces == 3
    assert scores == [xlc.RerankScore(0, 1.0), xlc.RerankScore(1, 0.0)]
    assert calls[-1] == (3, 3)
    assert all("Count words" in request.messages[0].content for request in first.requests)
    told = "".join(str(request.messages[1].content) for request in first.requests)
    assert told.count("word ") == 60
    twin = await arerank_documents(
        engine(), "q", [document, "short"],
        method="generative", truncate="split", overlap=0, instruction="Count words", scores="sigmoid",
    )  # fmt: skip
    assert [score.score for score in twin] == pytest.approx([1 / (1 + np.exp(-1)), 0.5])


def test_real_judge_takes_long_documents(smollm2_path: Path) -> None:
    documents = [FILLER * 40, ANSWER]
    with xlc.Engine(smollm2_path, n_ctx=256, n_parallel=2, warmup=False) as judge:
        for truncate in ("end", "split"):
            ranking = rerank_documents(judge, QUERY, documents, truncate=truncate, scores="sigmoid")  # type: ignore[arg-type]
            assert {score.index for score in ranking} == {0, 1}
            assert all(0 < score.score < 1 for score in ranking)


# Errors


@pytest.mark.parametrize("truncate", ["error", "split"])
@pytest.mark.parametrize(
    ("documents", "message"),
    [("one text", "list"), (["fine", None], "document 1 must be a str"), (["a\ud800"], "document 0 .*surrogate")],
)
async def test_invalid_document_is_refused(
    reranker: xlc.Engine, embedder: xlc.Engine, truncate: Any, documents: Any, message: str
) -> None:
    for engine in (reranker, embedder, ScriptedEngine(["yes"])):
        method: Any = "generative" if isinstance(engine, ScriptedEngine) else "auto"
        with pytest.raises(xlc.InvalidRequestError, match=message):
            rerank_documents(engine, QUERY, documents, method=method, truncate=truncate)  # type: ignore[arg-type]
        with pytest.raises(xlc.InvalidRequestError, match=message):
            await arerank_documents(engine, QUERY, documents, method=method, truncate=truncate)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "vectors"}, "late-interaction"),
        ({"truncate": "middle"}, "truncate"),
        ({"scores": "percent"}, "scores"),
        ({"top": 3}, "did you mean 'top_n'"),
        ({"overlap": -1}, "overlap"),
    ],
)
def test_wrong_options_are_refused(reranker: xlc.Engine, options: Any, message: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=message):
        rerank_documents(reranker, QUERY, [ANSWER], **options)
