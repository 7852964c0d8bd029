"""``xllama embed`` and ``xllama rerank``: vectors of lines, and lines in the order in which they answer a query."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from xlc_core.cli.output import progress_bar
from xlc_core.terminal import is_terminal

__all__ = ["Dimensions", "Kind", "embed", "rerank"]

Model = Annotated[str, typer.Argument(help="A name of the catalog, hf:owner/repo[:quant-or-file], or a path.")]
Input = Annotated[
    Path | None,
    typer.Option(
        "--input", "-i", help="A file with a text in each line; default: piped input.", exists=True, dir_okay=False
    ),
]
Kind = Annotated[
    Literal["query", "document"] | None, typer.Option(help="Put the model's prompt for these before each text.")
]
Dimensions = Annotated[
    int | None, typer.Option(min=1, help="Keep so many numbers, for models that were trained for it.")
]
Method = Literal["auto", "cross-encoder", "late-interaction", "generative"]


def embed(
    model: Model,
    source: Input = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A .npy, .jsonl or .parquet file; default: JSON lines to stdout.", dir_okay=False
        ),
    ] = None,
    kind: Kind = None,
    dimensions: Dimensions = None,
    truncate: Annotated[
        Literal["error", "end", "start"], typer.Option(help="Refuse a text that is too long, or drop its end or start.")
    ] = "error",
) -> None:
    """Embed each line of a file or of piped input.

    Memory does not grow with the number of lines. A .npy file is a float32 array (lines, dimensions); .jsonl and
    .parquet have the texts too.

    Try:

        xllama embed all-minilm-l6-v2 -i questions.txt -o questions.npy --kind query

        cat notes.txt | xllama embed all-minilm-l6-v2 > notes.jsonl
    """
    from xlc_core.cli.vector_files import Lines, open_writer
    from xlc_core.engine.engine import Engine  # loads llama.cpp

    options: dict[str, Any] = {"prompt_name": kind, "truncate": truncate, "dimensions": dimensions}
    with Lines(source) as lines, open_writer(output, lines.n_lines) as writer, Engine(model) as engine:
        embedded, texts = itertools.tee(lines)  # the engine reads a few chunks ahead
        n_done = 0
        with progress_bar("embedding") as progress, engine.embed_stream(embedded, **options) as vectors:
            for chunk in vectors.chunks():
                writer.write([next(texts) for _ in chunk], chunk)
                n_done += len(chunk)
                progress(n_done / lines.n_lines)


def rerank(
    model: Model,
    query: Annotated[str, typer.Argument(help="The question.")],
    source: Input = None,
    top_n: Annotated[int | None, typer.Option(min=1, help="Print only the best.")] = None,
    method: Annotated[Method, typer.Option(help="How documents are scored; auto: as the model can.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each line.")] = False,
) -> None:
    """Order the lines of a file or of piped input by how well they answer a query.

    Prints the score, the number of the line from 1, and the line, with tabs between them, the best first.

    Try:

        xllama rerank xllama-rerank-mini "How do I reset it?" -i manual.txt --top-n 3
    """
    from xlc_core.cli.vector_files import Lines
    from xlc_core.engine.engine import Engine  # loads llama.cpp
    from xlc_core.reranking.rerank import rerank_documents

    with Lines(source) as lines, Engine(model) as engine:
        documents = list(lines)
        scores = rerank_documents(
            engine, query, documents, method=method, top_n=top_n, progress=is_terminal(sys.stderr)
        )
        for score in scores:
            found = {"score": round(score.score, 6), "line": score.index + 1, "text": documents[score.index]}
            print(json.dumps(found, ensure_ascii=False) if as_json else "\t".join(map(str, found.values())))
