"""Reranking as in the examples finds the right passage earlier than embeddings alone, on their own corpus."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from helpers.module_files import load_file
from xlc_langchain import XLlamaEmbeddings, XLlamaReranker

ROOT = Path(__file__).parents[2]
N_QUESTIONS = 24  # of 216, with which benchmarks/retrieval_quality.py measures

pytestmark = pytest.mark.usefixtures("embedder_path", "reranker_path")


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return load_file(ROOT / "examples" / "rag_langchain.py")


def test_right_passage_comes_earlier(example: ModuleType) -> None:
    passages = example.read_passages(ROOT / "examples" / "corpus")
    places = {(passage.metadata["file"], passage.metadata["heading"]): i for i, passage in enumerate(passages)}
    rows = [json.loads(line) for line in (ROOT / "benchmarks" / "questions.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == len(places) == len(passages)
    chosen = random.Random(7).sample(rows, N_QUESTIONS)
    embeddings = XLlamaEmbeddings(model="all-minilm-l6-v2", truncate="end")
    reranker = XLlamaReranker(model="xllama-rerank-mini", truncate="end", order_weight=example.ORDER_WEIGHT)
    with embeddings, reranker:
        vectors = np.array(embeddings.embed_documents([passage.page_content for passage in passages]))
        before, after = [], []
        for row in chosen:
            right = passages[places[row["file"], row["heading"]]]
            order = np.argsort(-(vectors @ np.array(embeddings.embed_query(row["question"]))), kind="stable")
            found = [passages[index] for index in order[: example.N_RETRIEVED]]
            best = reranker.compress_documents(found, row["question"])
            for reciprocals, ranked in ((before, found), (after, best)):
                texts = [passage.page_content for passage in ranked]
                text = right.page_content
                reciprocals.append(1 / (texts.index(text) + 1) if text in texts else 0.0)
    assert np.mean(after) > np.mean(before) + 0.01
