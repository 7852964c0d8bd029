"""Texts and questions to measure retrieval with: the examples' corpus, or a file of documents and queries."""

from __future__ import annotations

import gzip
import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, cycle, islice
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples" / "corpus"
QUESTIONS = Path(__file__).with_name("questions.jsonl")
"""A question to each passage of the examples, written from reading it."""


@dataclass(frozen=True)
class Query:
    """A question, and the one document that answers it."""

    text: str
    relevant: str


@dataclass(frozen=True)
class Corpus:
    """Documents by id, and questions to them.

    Attributes:
        name: for the tables.
        documents: text by id.
        queries: in the order of the source.
    """

    name: str
    documents: dict[str, str]
    queries: list[Query]

    def part(self, n_queries: int, n_documents: int | None = None) -> Corpus:
        """The first queries, and as many documents, theirs among them; None: all documents."""
        queries = self.queries[:n_queries]
        wanted = {query.relevant for query in queries}
        order = sorted(self.documents, key=lambda name: name not in wanted)[:n_documents]
        kept = wanted.union(order)
        return Corpus(self.name, {name: text for name, text in self.documents.items() if name in kept}, queries)


def read_corpus(data: Path | None) -> Corpus:
    """Read the corpus.

    Args:
        data: lines of JSON, gzipped, of ``kind`` ``document`` (``id``, ``text``) or ``query`` (``text``, ``relevant``);
            None takes the passages of the examples, cut as they cut them, and a question to each.

    Raises:
        SystemExit: the file does not hold that.
    """
    if data is None:
        return _examples()
    documents, queries = {}, []
    try:
        with gzip.open(data, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                if row["kind"] == "document":
                    documents[row["id"]] = row["text"]
                else:
                    queries.append(Query(row["text"], row["relevant"]))
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"--data: {data.name}: {type(error).__name__}: {error}") from None
    return Corpus(data.name, documents, queries)


def _examples() -> Corpus:
    documents = {}
    for path in sorted(EXAMPLES.glob("*.md")):
        title, *sections = path.read_text("utf-8").split("\n## ")
        topic = title.partition("\n")[0].removeprefix("# ").strip()
        for section in sections:
            heading, _, text = section.partition("\n")
            documents[f"{path.name}#{heading.strip()}"] = f"{topic}, {heading.strip()}: {' '.join(text.split())}"
    queries = [
        Query(row["question"], f"{row['file']}#{row['heading']}")
        for row in map(json.loads, QUESTIONS.read_text("utf-8").splitlines())
    ]
    # Neighbours in a file are about the same: a part of the queries should be of all files.
    random.Random(7).shuffle(queries)
    return Corpus("examples/corpus", documents, queries)


def mixed_texts(
    corpus: Corpus, n_texts: int, n_words: tuple[int, int], fits: Callable[[str], bool] = lambda text: True
) -> list[str]:
    """Cut running text into texts of mixed length, the same each time.

    Args:
        corpus: whose documents are strung together, again and again.
        n_texts: how many.
        n_words: least and most words; every length between is as likely.
        fits: a text that does not is passed over.
    """
    draw = random.Random(20)
    words = cycle(list(chain.from_iterable(text.split() for text in corpus.documents.values())))

    def texts() -> Iterator[str]:
        while True:
            text = " ".join(islice(words, draw.randint(*n_words)))
            if fits(text):
                yield text

    return list(islice(texts(), n_texts))


def lexical_neighbours(corpus: Corpus, queries: list[Query], n_passages: int) -> list[list[str]]:
    """For each query the passages that share the rarest words with it: what a first search hands to a reranker.

    Args:
        corpus: has the passages.
        queries: the questions.
        n_passages: passages to each; texts are used again when there are fewer.
    """
    bags = {name: set(re.findall(r"\w+", text.lower())) for name, text in corpus.documents.items()}
    frequency = Counter(chain.from_iterable(bags.values()))
    weight = {word: math.log(len(bags) / count) for word, count in frequency.items()}

    def passages(query: Query) -> list[str]:
        words = set(re.findall(r"\w+", query.text.lower()))
        score = {name: sum(weight[word] for word in words & bag) for name, bag in bags.items()}
        best = sorted(bags, key=lambda name: (-score[name], name))
        return [corpus.documents[name] for name in islice(cycle(best), n_passages)]

    return [passages(query) for query in queries]
