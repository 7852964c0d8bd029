"""Label every row of a CSV file, several at a time, with a progress bar.

    python examples/batch_csv.py reviews.csv labelled.csv --column review --labels praise,complaint,question

Rows are decoded together in the engine's slots. A row that fails gets the error instead of a label and does not affect
other rows. Ctrl+C keeps the finished rows; with --resume the rows that are already in the output are skipped.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from rich.console import Console
from rich.progress import track

import xlc_core as xlc
from xlc_langchain import ChatXLlama

PROMPT = ChatPromptTemplate.from_messages(
    [("user", "{text}\n\nWhich of these is it: {labels}? Answer with one of them.")]
)


def labelled(rows: list[dict[str, str]], column: str, labels: list[str], llm: ChatXLlama) -> Iterator[tuple[int, str]]:
    """Yield each row's place and its label, or the error, as soon as it is done."""
    chain = PROMPT | llm.bind(constraint=xlc.Choice(*labels)) | StrOutputParser()
    asked: list[dict[str, Any]] = [{"text": row[column], "labels": ", ".join(labels)} for row in rows]
    config = {"max_concurrency": llm.engine_options["n_parallel"]}
    for place, label in chain.batch_as_completed(asked, config, return_exceptions=True):
        yield place, f"error: {label}" if isinstance(label, Exception) else label


def main(
    source: Annotated[Path, typer.Argument(help="The CSV file to read.", exists=True, dir_okay=False)],
    target: Annotated[Path, typer.Argument(help="The CSV file to write.")],
    column: Annotated[str, typer.Option(help="The column to label.")] = "text",
    labels: Annotated[str, typer.Option(help="The labels, separated by commas.")] = "good,bad",
    model: Annotated[str, typer.Option(help="A path, a name or hf:owner/repo.")] = "smollm2-135m-instruct",
    parallel: Annotated[int, typer.Option(help="Rows at a time.")] = 8,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an existing target.")] = False,
) -> None:
    """Label the rows of a CSV file."""
    with source.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or column not in rows[0]:
        raise typer.BadParameter(f"{source} has no rows with a column {column!r}")
    numbered = [{"row": str(number), **row} for number, row in enumerate(rows, start=1)]
    if resume and target.exists():
        with target.open(newline="", encoding="utf-8") as file:
            done = {row["row"] for row in csv.DictReader(file)}
        numbered = [row for row in numbered if row["row"] not in done]
    mode = "a" if resume and target.exists() else "w"
    options = {"n_parallel": parallel}
    with (
        target.open(mode, newline="", encoding="utf-8") as file,
        ChatXLlama(model=model, n_ctx=1024, temperature=0, max_tokens=16, engine_options=options) as llm,
    ):
        writer = csv.DictWriter(file, fieldnames=["row", *rows[0], "label"])
        if mode == "w":
            writer.writeheader()
        found = labelled(numbered, column, labels.split(","), llm)
        for place, label in track(found, "Labelling", total=len(numbered), console=Console(stderr=True)):
            writer.writerow({**numbered[place], "label": label})
            file.flush()


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except xlc.XllamaError as error:
        sys.exit(f"error: {error}")
