"""The classes on batches of every form."""

from __future__ import annotations

import json
import pickle
import threading
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import xlc_core as xlc
import xlc_jobs

TEXTS = ["a cat", "ein Hund", "", "the dog runs " * 20]
SMALL = {"n_ctx": 512, "n_parallel": 4}


@pytest.fixture(scope="module")
def embed() -> Any:
    with xlc_jobs.Embed("all-minilm-l6-v2") as worker:
        yield worker


@pytest.fixture
def expected(embedder: xlc.Engine) -> Any:
    return embedder.embed(TEXTS)


def test_mapping_gets_an_array(embed: xlc_jobs.Embed, expected: Any) -> None:
    batch = {"id": np.arange(4), "text": np.array(TEXTS)}
    found = embed(batch)
    assert list(found) == ["id", "text", "vector", "vector_error"]
    np.testing.assert_allclose(found["vector"], expected, atol=1e-3)
    assert list(found["vector_error"]) == [None] * 4
    assert list(batch) == ["id", "text"]


def test_table_gets_lists_of_fixed_size(embed: xlc_jobs.Embed, expected: Any) -> None:
    found = embed(pa.table({"text": [TEXTS[0], None, *TEXTS[2:]]}))
    assert found.schema.field("vector").type == pa.list_(pa.float32(), 384)
    assert found["vector_error"].to_pylist() == [None, "the text is missing", None, None]
    rows = found["vector"].to_pylist()
    assert rows[1] is None
    np.testing.assert_allclose([rows[0], *rows[2:]], expected[[0, 2, 3]], atol=1e-3)


def test_frame_gets_arrays(embed: xlc_jobs.Embed, expected: Any) -> None:
    found = embed(pd.DataFrame({"text": [*TEXTS[:2], None, TEXTS[3]]}, index=[7, 8, 9, 10]))
    assert list(found.index) == [7, 8, 9, 10]
    np.testing.assert_allclose(found["vector"][8], expected[1], atol=1e-3)
    assert found["vector"][9] is None
    assert found["vector_error"][9] == "the text is missing"


def test_only_the_rows_at_fault_have_errors(embed: xlc_jobs.Embed) -> None:
    texts = ["fine"] * 11
    texts[3] = "word " * 2000
    texts[8] = "lone \ud800"
    found = embed({"text": texts})
    at_fault = [place for place, error in enumerate(found["vector_error"]) if error]
    assert at_fault == [3, 8]
    assert "truncate" in found["vector_error"][3]
    assert "surrogate" in found["vector_error"][8]
    assert np.isnan(found["vector"][[3, 8]]).all()
    assert np.isfinite(np.delete(found["vector"], [3, 8], axis=0)).all()


def test_batch_without_any_vector_has_the_same_type(embed: xlc_jobs.Embed) -> None:
    found = embed(pa.table({"text": pa.array([None, None], pa.string())}))
    assert found.schema.field("vector").type == pa.list_(pa.float32(), 384)
    assert embed(pa.table({"text": pa.array([], pa.string())})).num_rows == 0


def test_small_vectors_keep_their_type() -> None:
    with xlc_jobs.Embed("all-minilm-l6-v2", dtype="int8", output="v") as worker:
        found = worker(pa.table({"text": ["a", None]}))
    assert found.schema.field("v").type == pa.list_(pa.int8(), 384)
    assert found["v"].null_count == 1


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"other": ["a"]}, "no column 'text'; the columns are other"),
        ({"text": ["a"], "vector": [1]}, "has a column 'vector' already"),
        (5, "not int"),
    ],
)
def test_wrong_batches_are_refused(embed: xlc_jobs.Embed, batch: Any, message: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=message):
        embed(batch)


def test_pickled_worker_is_small_and_works(embed: xlc_jobs.Embed, expected: Any) -> None:
    data = pickle.dumps(embed)
    assert len(data) < 5000
    with pickle.loads(data) as copy:
        assert copy.engine is embed.engine, "one process opens a model once"
        np.testing.assert_allclose(copy({"text": TEXTS})["vector"], expected, atol=1e-3)


def test_option_that_the_model_cannot_follow_is_no_rows_error(embed: xlc_jobs.Embed) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="dimensions"):
        xlc_jobs.Embed("all-minilm-l6-v2", dimensions=5000)({"text": ["a"]})
    with pytest.raises(xlc.UnsupportedFeatureError, match="cannot generate"):
        xlc_jobs.Generate("all-minilm-l6-v2")({"prompt": ["a"]})


@pytest.mark.parametrize(
    "make",
    [
        lambda: xlc_jobs.Embed("a", dimension=3),
        lambda: xlc_jobs.Embed("a", engine_options={"n_cxt": 3}),
        lambda: xlc_jobs.Generate("a", max_tokens=-1),
        lambda: xlc_jobs.Generate("a", mode="talk"),  # type: ignore[arg-type]
        lambda: xlc_jobs.Generate("a", mode="completion", system="x"),
        lambda: xlc_jobs.Classify("a", ["one"]),
        lambda: xlc_jobs.Rerank("a", top_n=3),
    ],
)
def test_wrong_options_are_refused_before_anything_is_loaded(make: Any) -> None:
    with pytest.raises(xlc.InvalidRequestError):
        make()


def test_each_row_has_its_own_constraint() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"]}
    batch = pa.table(
        {
            "prompt": ["one", "two", "three", None, "five"],
            "rule": ['["left", "right"]', json.dumps(schema), "{no JSON", '["a"]', '{"type": "boolean"}'],
        }
    )
    with xlc_jobs.Generate(
        "smollm2-135m-instruct", constraint_column="rule", temperature=0, max_tokens=40, engine_options=SMALL
    ) as worker:
        rows = worker(batch).to_pylist()
    assert rows[0]["answer"] in ("left", "right")
    assert json.loads(rows[1]["answer"])["n"] <= 9
    assert "is not JSON" in rows[2]["answer_error"]
    assert rows[3]["answer_error"] == "the prompt is missing"
    assert rows[4]["answer"] in ("true", "false")
    assert [row["answer"] is None for row in rows] == [False, False, True, True, False]
    assert {rows[place]["answer_finish_reason"] for place in (0, 1, 4)} == {"stop"}
    assert rows[0]["answer_prompt_tokens"] > 0


def test_prompts_may_be_messages_of_a_table() -> None:
    chat = [{"role": "system", "content": "Be brief.", "name": None}, {"role": "user", "content": "Hi", "name": None}]
    with xlc_jobs.Generate(
        "smollm2-135m-instruct", constraint=xlc.Choice("yes", "no"), temperature=0, engine_options=SMALL
    ) as worker:
        found = worker(pa.table({"prompt": [chat]})).to_pylist()[0]
    assert found["answer"] in ("yes", "no"), found["answer_error"]


def test_completions_continue_texts() -> None:
    with xlc_jobs.Generate(
        "smollm2-135m-instruct", mode="completion", temperature=0, max_tokens=2, engine_options=SMALL
    ) as worker:
        found = worker({"prompt": ["Once upon a", "x " * 4000]})
    assert found["answer_completion_tokens"][0] == 2
    assert found["answer_error"][0] is None
    assert found["answer_error"][1], "it does not fit into the context"


def test_batches_of_two_threads_are_generated_together() -> None:
    """A thread may bring the next batch while the first one is not done, and every row gets its own answer."""
    with xlc_jobs.Generate(
        "smollm2-135m-instruct", constraint_column="rule", temperature=0, engine_options=SMALL
    ) as worker:
        found: dict[int, Any] = {}

        def work(number: int) -> None:
            words = [f"{number}-{row}" for row in range(20)]
            found[number] = worker({"prompt": words, "rule": [json.dumps([word]) for word in words]})

        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number in range(3):
        assert list(found[number]["answer"]) == [f"{number}-{row}" for row in range(20)]


def test_labels_are_one_of_those_given() -> None:
    with xlc_jobs.Classify("smollm2-135m-instruct", ["question", "complaint"], engine_options=SMALL) as worker:
        found = worker(pd.DataFrame({"text": ["Where is it?", "It is broken!", None]}))
    assert set(found["label"][:2]) <= {"question", "complaint"}
    assert found["label_error"][2] == "the prompt is missing"


def test_scores_are_in_the_order_of_the_documents(reranker: xlc.Engine) -> None:
    query, documents = "capital of France", ["Rome is in Italy.", "Paris is the capital of France.", "A cat."]
    with xlc_jobs.Rerank("xllama-rerank-mini") as worker:
        found = worker(pa.table({"query": [query, None, query], "documents": [documents, documents, [None]]}))
    scores = found["scores"].to_pylist()
    expected = {score.index: score.score for score in reranker.rerank(query, documents)}
    np.testing.assert_allclose(scores[0], [expected[place] for place in range(3)], atol=1e-2)
    assert scores[1:] == [None, None]
    assert found["scores_error"].to_pylist() == [None, "the query is missing", "document 0 is missing"]


def test_closed_worker_opens_again(expected: Any) -> None:
    worker = xlc_jobs.Embed("all-minilm-l6-v2", engine_options={"n_threads": 1})
    engine = worker.engine
    worker.close()
    assert engine.closed
    assert worker({"text": TEXTS})["vector"].shape == expected.shape
    worker.close()


def test_threads_of_the_plan_do_not_replace_those_of_the_user() -> None:
    worker = xlc_jobs.Embed("a")
    assert worker.with_threads(3).engine_options.n_threads == 3
    assert worker.engine_options.n_threads is None
    fixed = xlc_jobs.Embed("a", engine_options={"n_threads": 2})
    assert fixed.with_threads(3).engine_options.n_threads == 2
    assert worker.with_threads(3).settings() == worker.settings() == fixed.settings()
