"""Measures how well the right passage is found: by embeddings alone, and reranked like in the examples.

benchmarks/README.md explains the measurements and how to read them.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from corpora import Corpus, Query, read_corpus
from settings import Settings, written_command
from tables import cells, write_section

import xlc_core as xlc
from xlc_core.engine.retrieval import best_first
from xlc_core.models.prompts import retrieval_prompt
from xlc_core.options.retrieval import RerankOptions
from xlc_core.reranking.rerank import rerank_documents

CANDIDATES = (20, 50)  # numbers of passages that are reranked; the examples use the first
WEIGHTS = {"": 0.0, " and their order": 1.0}  # order_weight, by the end of the row's name; the examples use the last
Ranks = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ranking:
    """A way of searching, and the place of the right passage for each query, from 1.

    Attributes:
        name: name of the row.
        ranks: the places.
        seconds: time for all queries.
    """

    name: str
    ranks: Ranks
    seconds: float

    @property
    def gains(self) -> npt.NDArray[np.float64]:
        """Return nDCG@10 of each query. There is one right passage, so the ideal is 1."""
        return np.where(self.ranks <= 10, 1 / np.log2(self.ranks + 1), 0.0)

    @property
    def reciprocal_ranks(self) -> npt.NDArray[np.float64]:
        """Return 1 / place, whose mean is MRR."""
        return np.asarray(1 / self.ranks)


def reordered(order: Ranks, scores: npt.NDArray[np.float32], weight: float, relevant: int) -> int:
    """Return the place of the right passage after the first candidates, one for each score, were reranked."""
    head = order[[score.index for score in best_first(scores, RerankOptions(order_weight=weight))]]
    return int(np.flatnonzero(np.concatenate([head, order[len(scores) :]]) == relevant)[0]) + 1


def search(corpus: Corpus, options: argparse.Namespace) -> list[Ranking]:
    """Search for all queries, in each way."""
    queries = corpus.queries
    names, texts = list(corpus.documents), list(corpus.documents.values())
    relevant = [names.index(query.relevant) for query in queries]
    opened: dict[str, Any] = {"n_threads": options.threads, "progress": False}
    with xlc.Engine(options.embedder, **opened) as embedder:
        prompts = {kind: retrieval_prompt(options.embedder, kind) for kind in ("query", "document")}
        documents = embedder.embed(texts, truncate="end", prompt=prompts["document"], progress=True)
        start = time.perf_counter()
        asked = embedder.embed([query.text for query in queries], truncate="end", prompt=prompts["query"])
        orders = np.argsort(-(asked @ documents.T), axis=1, kind="stable")
        seconds = time.perf_counter() - start
        found = [int(np.flatnonzero(order == right)[0]) + 1 for order, right in zip(orders, relevant, strict=True)]
        rankings = [Ranking("embeddings alone", np.array(found), seconds)]
        print("late interaction", file=sys.stderr)
        rankings += rerank(embedder, "late interaction", "late-interaction", queries, texts, orders, relevant)
    with xlc.Engine(options.reranker, n_ctx=options.reranker_n_ctx, **opened) as reranker:
        print("cross-encoder", file=sys.stderr)
        rankings += rerank(reranker, "cross-encoder", "cross-encoder", queries, texts, orders, relevant)
    return rankings


def rerank(
    engine: xlc.Engine, name: str, method: Any, queries: list[Query], texts: list[str], orders: Any, relevant: list[int]
) -> list[Ranking]:
    """Score the largest number of candidates, and return the rankings for each number of candidates."""
    ranks: dict[tuple[int, str], list[int]] = {(n, addition): [] for n in CANDIDATES for addition in WEIGHTS}
    start = time.perf_counter()
    for query, order, right in zip(queries, orders, relevant, strict=True):
        candidates = [texts[index] for index in order[: max(CANDIDATES)]]
        scores = np.zeros(len(candidates), np.float32)
        for score in rerank_documents(engine, query.text, candidates, method=method, truncate="end"):
            scores[score.index] = score.score
        for n, addition in ranks:
            ranks[n, addition].append(reordered(order, scores[:n], WEIGHTS[addition], right))
    seconds = time.perf_counter() - start
    most = max(CANDIDATES)
    return [
        Ranking(f"{name}, top {n}{addition}", np.array(places), seconds * n / most)
        for (n, addition), places in ranks.items()
    ]


def interval(differences: npt.NDArray[np.float64]) -> str:
    """Return the mean of the differences, and the range of 95 % of the means of resampled queries."""
    draws = np.random.default_rng(3).integers(0, len(differences), (2000, len(differences)))
    low, high = np.quantile(differences[draws].mean(axis=1), [0.025, 0.975])
    return f"{differences.mean():+.3f} ({low:+.3f} to {high:+.3f})"


def report(corpus: Corpus, options: argparse.Namespace) -> str:
    """Search, and return the results as a table."""
    rankings = search(corpus, options)
    base = rankings[0]
    rows = [["", "nDCG@10", "MRR", "gain in MRR (95 %)", "ms a query"]]
    for ranking in rankings:
        gain = "" if ranking is base else interval(ranking.reciprocal_ranks - base.reciprocal_ranks)
        row = [f"{ranking.gains.mean():.3f}", f"{ranking.reciprocal_ranks.mean():.3f}", gain]
        rows.append([ranking.name, *row, f"{ranking.seconds / len(corpus.queries) * 1000:.0f}"])
    return f"{corpus.name}: {len(corpus.queries)} queries to {len(corpus.documents)} passages.\n\n{cells(rows)}\n"


def parse(arguments: list[str]) -> tuple[argparse.Namespace, str, str]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help="documents and queries, .jsonl.gz, in addition to the examples' corpus"
    )
    parser.add_argument("--queries", type=int, default=200, help="queries of each corpus (default: %(default)s)")
    parser.add_argument("--documents", type=int, metavar="N", help="search only so many (default: all)")
    parser.add_argument("--embedder", default="all-minilm-l6-v2", help="default: %(default)s")
    parser.add_argument("--reranker", default="xllama-rerank-mini", help="default: %(default)s")
    parser.add_argument(
        "--reranker-n-ctx", type=int, metavar="N", help="truncate pairs to so many tokens (default: the model's limit)",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, help="default: the physical cores")
    parser.add_argument("--write", type=Path, metavar="PATH", help="put the tables into this document")
    options = parser.parse_args(arguments)
    if options.data is not None and not options.data.is_file():
        print(f"--data: {options.data} does not exist; only the examples' corpus is measured", file=sys.stderr)
        options.data = None
    return options, written_command(arguments, "retrieval_quality.py"), Settings().machine


def main() -> None:
    options, command, machine = parse(sys.argv[1:])
    corpora = [read_corpus(data) for data in dict.fromkeys((None, options.data))]
    tables = [report(corpus.part(options.queries, options.documents), options) for corpus in corpora]
    window = "" if options.reranker_n_ctx is None else f", which reads {options.reranker_n_ctx} tokens of a pair"
    section = f"""## Retrieval quality

{options.embedder}, with {options.reranker} as the cross-encoder{window}; late interaction with
the embedder's own token vectors. "And their order" is `order_weight={max(WEIGHTS.values()):g}`. The examples retrieve
{CANDIDATES[0]} passages and rerank them with the cross-encoder and their order. Each query has one right passage. For
the examples' corpus, someone read each passage and wrote a question. {machine}

    {command}

{"".join(f"{table}{chr(10)}" for table in tables)}"""
    print(section, flush=True)
    if options.write is not None:
        write_section(options.write, "retrieval-quality", section)


if __name__ == "__main__":
    main()
