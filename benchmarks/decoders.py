"""Compares embedding with decoders, such as EmbeddingGemma and Qwen3-Embedding, with sentence-transformers.

The models have random weights in the shapes of published ones (random_models.py), for which speed is the same, or come
from a folder with a checkpoint.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agreement import cosines, read_rows
from corpora import mixed_texts, read_corpus
from measure import Contender, Peer, run_rounds, unavailable
from peers import CACHE, UnavailableError, decoder_checkpoint, interpreter
from random_models import EMBEDDERS, random_model
from settings import Settings, add_common_options, settings_of
from tables import cells, disturbance, ratios, spread, write_section

import xlc_core as xlc
from xlc_core.errors import XllamaError
from xlc_core.models.convert import convert_model
from xlc_core.models.quantize import quantize_model

TORCH = "sentence-transformers"
TYPES = ("Q8_0", "F16", "BF16")
N_CTX = 512
N_WORDS = (20, 300)  # fewest and most words of a text
QUERY = "which package shows the free space on my disks?"
TARGET = 2.0  # expected ratio of texts per second to sentence-transformers
QUERY_TARGET = 0.3  # expected ratio of a query's milliseconds
# Expected least cosine to the vectors of sentence-transformers, by type of weights; the last for the others.
COSINES = {"Q8_0": 0.9995}
COSINE = 0.99995


@dataclass
class Model:
    """A model to embed with.

    Attributes:
        name: its name in the table.
        checkpoint: folder for sentence-transformers; None: it could not be made.
        files: file by type of weights.
        error: why there is no checkpoint.
    """

    name: str
    checkpoint: Path | None
    files: dict[str, Path]
    error: str = ""


def parse(arguments: list[str]) -> tuple[argparse.Namespace, Settings]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, 3, peers=True)
    parser.add_argument(
        "--shapes", nargs="*", choices=sorted(EMBEDDERS), default=sorted(EMBEDDERS), help="default: all"
    )
    parser.add_argument("--checkpoint", type=Path, metavar="FOLDER", help="measure this model instead of the shapes")
    parser.add_argument("--types", nargs="*", default=TYPES, help="types of weights (default: %(default)s)")
    parser.add_argument("--texts", type=int, default=64, help="texts to embed (default: %(default)s)")
    parser.add_argument("--data", type=Path, help="documents and queries, .jsonl.gz (default: the examples' corpus)")
    options = parser.parse_args(arguments)
    if options.quick:
        options.texts = 4
    return options, settings_of(options, arguments, "decoders.py")


def models(options: argparse.Namespace, settings: Settings) -> list[Model]:
    """Return the models, written or converted where they are not yet."""
    if options.checkpoint is not None:
        folder: Path = options.checkpoint.resolve()
        whole = CACHE / f"{folder.name}-auto.gguf"
        if not whole.exists():
            convert_model(folder, whole)
        files = {type_: CACHE / f"{folder.name}-{type_}.gguf" for type_ in options.types}
        for type_, path in files.items():
            if not path.exists():
                quantize_model(whole, path, type_)
        return [Model(folder.name, folder, files)]
    found = []
    for name in options.shapes:
        model = Model(name, None, {type_: random_model(name, type_) for type_ in options.types})
        try:
            python = interpreter(TORCH, settings.ready_peers)
            model.checkpoint = decoder_checkpoint(python, random_model(name, "F16"))
        except UnavailableError as error:
            model.error = str(error)
        found.append(model)
    return found


def measure(model: Model, texts: list[str], settings: Settings) -> tuple[list[list[str]], list[Contender]]:
    """Return the rows of a model in the table, and what was measured."""
    with tempfile.TemporaryDirectory(prefix="xllama-bench-") as made, ExitStack() as stack:
        folder = Path(made)
        (folder / "catalog.toml").touch()
        common = {"n_threads": settings.n_threads, "n_ctx": N_CTX, "texts": texts, "query": QUERY}

        def open_peer(name: str, script: str, work: dict[str, Any]) -> Peer:
            opened = Peer(name, script, {**common, **work, "results": str(folder / f"{len(peers)}.f32")}, settings)
            stack.callback(opened.close)
            return opened

        peers: list[Peer] = []
        if model.checkpoint is not None:
            work = {"checkpoint": str(model.checkpoint)}
            peers.append(open_peer(TORCH, "sentence_transformers_decoder", work))
        names = ["sentence-transformers, float32"]
        for type_, path in model.files.items():
            work = {"model": str(path), "catalog": str(folder / "catalog.toml"), "engine_options": {"n_ctx": N_CTX}}
            peers.append(open_peer("", "xllama_retrieval", work))
            names.append(type_)
        throughput = [peer.row("", "throughput", warm_up="warm-up") for peer in peers]
        latency = [peer.row("", "latency") for peer in peers]
        if model.checkpoint is None:
            for rows in (throughput, latency):
                rows.insert(0, unavailable(TORCH, model.error))
        run_rounds(throughput, settings.n_rounds, settings.others_limit, settings.retries)
        vectors = [_vectors(peer, folder / f"{number}.f32") for number, peer in enumerate(peers)]
        if model.checkpoint is None:
            vectors.insert(0, None)
        run_rounds(latency, settings.n_rounds, settings.others_limit, settings.retries)
    table = []
    for number, name in enumerate(names):
        rows, own = vectors[0], vectors[number]
        least = "" if number == 0 or rows is None or own is None else f"{cosines(own, rows).min():.6f}"
        table.append(
            [
                *(model.name, name, *_figures(throughput, number, 1), *_figures(latency, number, 1), least),
                "" if number == 0 else f"≥ {COSINES.get(name, COSINE)}",
            ]
        )
    return table, [*throughput, *latency]


def _vectors(peer: Peer, path: Path) -> Any:
    if peer.worker is None:
        return None
    try:
        return read_rows(path, peer.worker("save")["rows"])
    except UnavailableError:
        return None


def _figures(rows: list[Contender], number: int, digits: int) -> list[str]:
    row = rows[number]
    if row.error:
        return [f"skipped: {row.error}", ""]
    text = spread(row.figures("wall"), digits)
    return [text, "" if number == 0 or rows[0].error else spread(ratios(row, rows[0]), 2)]


def run(options: argparse.Namespace, settings: Settings) -> str:
    """Measure, and return the section of the document."""
    corpus = read_corpus(settings.data)
    head = ["model", "weights", "texts/s", "ratio", "one query, ms", "ratio", "least cosine", "expected"]
    rows = [head]
    everything: list[Contender] = []
    n_tokens = 0.0
    for model in models(options, settings):
        print(model.name, file=sys.stderr)
        with xlc.Engine(next(iter(model.files.values())), progress=False, warmup=False) as tokenizer:
            n_most = N_CTX - 2
            texts = mixed_texts(corpus, options.texts, N_WORDS, lambda text: len(tokenizer.tokenize(text)) <= n_most)  # noqa: B023
            n_tokens = sum(len(tokenizer.tokenize(text)) for text in texts) / len(texts)
        table, contenders = measure(model, texts, settings)
        rows += table
        everything += contenders
    return f"""## Embedding with decoders

{options.texts} texts of {N_WORDS[0]} to {N_WORDS[1]} words in one call ({n_tokens:.0f} tokens on average, cut out of
{corpus.name}); then one short query at a time. {settings.n_threads} threads.
{settings.machine}

    {settings.command}

Figures are medians over {settings.n_rounds} rounds (least–greatest). Ratios are to sentence-transformers, round by
round: at least {TARGET} is expected for texts, at most {QUERY_TARGET} for a query. Cosines are to its vectors too.
The time of a query is mostly that of reading the weights. Those of 16 bits have half of float32's bytes, so
{QUERY_TARGET} is out of their reach.

{cells(rows)}

{disturbance(everything)}
"""


def main() -> None:
    options, settings = parse(sys.argv[1:])
    try:
        section = run(options, settings)
    except XllamaError as error:
        raise SystemExit(str(error)) from None
    print(section, flush=True)
    if options.write is not None:
        write_section(options.write, "decoders", section)


if __name__ == "__main__":
    main()
