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
"""One question for each passage of the examples, written by someone who read the passage."""


@dataclass(frozen=True)
class Query:
    """A question, and the only document that answers it."""

    text: str
    relevant: str


@dataclass(frozen=True)
class Corpus:
    """Documents, and questions about them.

    Attributes:
        name: for the tables.
        documents: texts by id.
        queries: questions, in the order of the source.
    """

    name: str
    documents: dict[str, str]
    queries: list[Query]

    def part(self, n_queries: int, n_documents: int | None = None) -> Corpus:
        """Return the first queries, and so many documents with theirs among them; None: all documents."""
        queries = self.queries[:n_queries]
        wanted = {query.relevant for query in queries}
        order = sorted(self.documents, key=lambda name: name not in wanted)[:n_documents]
        kept = wanted.union(order)
        return Corpus(self.name, {name: text for name, text in self.documents.items() if name in kept}, queries)


def read_corpus(data: Path | None) -> Corpus:
    """Read the corpus.

    Args:
        data: lines of JSON, gzipped, of ``kind`` ``document`` (``id``, ``text``) or ``query`` (``text``, ``relevant``);
            None: the examples' passages, cut as the examples cut them, and a question for each.

    Raises:
        SystemExit: the file has another content.
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
    # Neighbouring passages have the same topic, but a part of the queries should come from all files.
    random.Random(7).shuffle(queries)
    return Corpus("examples/corpus", documents, queries)


def mixed_texts(
    corpus: Corpus, n_texts: int, n_words: tuple[int, int], fits: Callable[[str], bool] = lambda text: True
) -> list[str]:
    """Cut running text into texts of mixed length. The result is always the same.

    Args:
        corpus: its documents are joined, repeatedly if needed.
        n_texts: number of texts.
        n_words: fewest and most words; all lengths between are equally likely.
        fits: texts for which this returns False are skipped.
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
    """Return for each query the passages that share the rarest words with it, as a first search would find them.

    Args:
        corpus: has the passages.
        queries: the questions.
        n_passages: passages for each query; if there are fewer texts, they are repeated.
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
