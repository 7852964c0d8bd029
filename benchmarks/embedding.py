"""Embedding with all-MiniLM-L6-v2: sentence-transformers, Engine and xllamacpp."""

from __future__ import annotations

import gzip
import json
import random
import sys
from pathlib import Path
from typing import Any

from measure import Peer, run_rounds
from settings import Settings
from tables import comparison, disturbance

from xlc_core import catalog

MODEL = "all-minilm-l6-v2"
N_TEXTS = 256
WORDS = (20, 100)  # of a text
QUERY = "which package shows the free space on my disks?"

VOCABULARY = """
    the a of and to in is for with on that by from as at it an be this are or not can which other all when into only
    library program file data network server user system version tool language command image text value message time
    simple fast small large common local remote open free different several available current standard graphical
    provides contains supports uses reads writes converts shows creates manages includes allows requires displays
"""


def read_texts(data: Path | None) -> list[str]:
    """256 texts of 20 to 100 words: the first such documents of the data, or words drawn at random, always the same.

    Raises:
        SystemExit: the data has too few.
    """
    if data is None:
        draw, words = random.Random(20), VOCABULARY.split()
        return [" ".join(draw.choices(words, k=draw.randint(*WORDS))) + "." for _ in range(N_TEXTS)]
    texts = []
    with gzip.open(data, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["kind"] == "document" and WORDS[0] <= len(row["text"].split()) <= WORDS[1]:
                texts.append(row["text"])
    if len(texts) < N_TEXTS:
        raise SystemExit(f"--data: {data.name} has {len(texts)} texts of 20 to 100 words, {N_TEXTS} are wanted")
    return texts[:N_TEXTS]


def run(settings: Settings) -> str:
    """Measure, and write the section of the document."""
    path = catalog.resolve(MODEL).path
    texts = read_texts(settings.data)
    work: dict[str, Any] = {
        "model": str(path),
        "n_threads": settings.n_threads,
        "texts": texts,
        "query": QUERY,
    }
    embedders = [
        (Peer("sentence-transformers", "sentence_transformers_embedding", work, settings), ", float32"),
        (Peer("", "xllama_embedding", work, settings), "`Engine.embed`, F16"),
        (Peer("xllamacpp", "xllamacpp_embedding", work, settings), ", F16"),
    ]
    throughput = [peer.row(name, "throughput") for peer, name in embedders]
    latency = [peer.row(name, "latency") for peer, name in embedders]
    try:
        print("embedding, texts", file=sys.stderr)
        run_rounds(throughput, settings.n_rounds, settings.others_limit, settings.retries)
        print("embedding, queries", file=sys.stderr)
        run_rounds(latency, settings.n_rounds, settings.others_limit, settings.retries)
    finally:
        for peer, _ in embedders:
            peer.close()
    n_words = sum(len(text.split()) for text in texts) / len(texts)
    source = "generated words" if settings.data is None else settings.data.name
    lengths = f"{WORDS[0]} to {WORDS[1]} words ({n_words:.0f} on average, {source})"
    return f"""## Embedding

all-MiniLM-L6-v2, {settings.n_threads} threads; {len(texts)} texts of {lengths} in one call, which
sentence-transformers splits into batches of 32; then one short query at a time.
{settings.machine}

    {settings.command}

Figures are medians over {settings.n_rounds} rounds (least–greatest); ratios are taken round by round.

{comparison(throughput, "texts/s", 1)}

{disturbance(throughput)}

{comparison(latency, "queries/s, one at a time", 1)}

{disturbance(latency)}
"""
