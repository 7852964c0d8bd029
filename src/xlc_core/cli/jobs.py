"""``xllama jobs``: work on all rows of Parquet files, here or on a cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xlc_core.cli.output import note
from xlc_core.cli.vectors import Dimensions, Kind
from xlc_core.errors import XllamaError

if TYPE_CHECKING:
    from xlc_jobs import JobReport, Worker

__all__ = ["jobs_app"]

jobs_app = typer.Typer(
    help="Work on all rows of Parquet files, here or on a Ray cluster; needs the extra `jobs` or `ray`.",
    no_args_is_help=True,
)

Source = Annotated[Path, typer.Argument(metavar="INPUT", help="A Parquet file, or a folder of them.", exists=True)]
Output = Annotated[
    Path, typer.Argument(help="Folder of the results. A job that was interrupted goes on in it.", file_okay=False)
]
Model = Annotated[str, typer.Option(help="A name of the catalog, hf:owner/repo[:quant-or-file], or a path.")]
Results = Annotated[str | None, typer.Option("--output-column", help="The column of results.", show_default=False)]
Keep = Annotated[
    list[str] | None, typer.Option(help="Column of the input to keep; may be repeated. Default: all of them.")
]
Rows = Annotated[
    int | None,
    typer.Option(min=1, help="Rows of each file of the output [4096 for vectors, else 256].", show_default=False),
]
Ray = Annotated[
    str | None, typer.Option(help="Address of a Ray cluster; auto: this machine's. Default: this process alone.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Engines of a cluster. Default: as many as have room.")]
Cores = Annotated[int | None, typer.Option(min=1, help="Cores of each engine.")]
Context = Annotated[int | None, typer.Option(min=2, help="Tokens that one request may hold.")]
Json = Annotated[bool, typer.Option("--json", help="Print the final state as JSON.")]


@jobs_app.command()
def embed(
    source: Source,
    output: Output,
    model: Model,
    column: Annotated[str, typer.Option(help="The column of texts.")] = "text",
    output_column: Results = "vector",
    kind: Kind = None,
    dimensions: Dimensions = None,
    truncate: Annotated[
        Literal["error", "end", "start"],
        typer.Option(help="A text that is too long gets an error in its row, or loses its end or start."),
    ] = "error",
    keep: Keep = None,
    rows: Rows = None,
    ray: Ray = None,
    workers: Workers = None,
    cores: Cores = None,
    as_json: Json = False,
) -> None:
    """Add a vector to each row.

    Try:

        xllama jobs embed passages.parquet vectors/ --model all-minilm-l6-v2

        xllama jobs embed /shared/passages /shared/vectors --model all-minilm-l6-v2 --ray auto
    """
    with _package() as jobs:
        worker = jobs.Embed(
            model,
            column=column,
            output=output_column,
            prompt_name=kind,
            dimensions=dimensions,
            truncate=truncate,
        )
        _run(jobs, worker, source, output, as_json, keep, rows, ray, workers, cores)


@jobs_app.command()
def generate(
    source: Source,
    output: Output,
    model: Model,
    column: Annotated[str, typer.Option(help="The column of prompts: texts, or lists of messages.")] = "prompt",
    output_column: Results = "answer",
    mode: Annotated[Literal["chat", "completion"], typer.Option(help="Answer, or continue the text.")] = "chat",
    system: Annotated[str | None, typer.Option(help="The system message of chats.")] = None,
    schema: Annotated[
        Path | None, typer.Option(help="A JSON schema's file, which answers must match.", exists=True, dir_okay=False)
    ] = None,
    constraint_column: Annotated[
        str | None, typer.Option(help="A column of JSON schemas, or of JSON lists of texts to choose from.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of an answer at most.")] = None,
    temperature: Annotated[float, typer.Option(min=0, help="Randomness; 0 takes the likeliest token.")] = 0.0,
    seed: Annotated[int | None, typer.Option(min=0, help="Start of the random numbers.")] = None,
    n_ctx: Context = None,
    keep: Keep = None,
    rows: Rows = None,
    ray: Ray = None,
    workers: Workers = None,
    cores: Cores = None,
    as_json: Json = False,
) -> None:
    """Add an answer to each row.

    Try:

        xllama jobs generate prompts.parquet answers/ --model qwen3-4b --schema person.json --max-tokens 200
    """
    from xlc_core.constraints.json_constraints import JsonSchema

    with _package() as jobs:
        worker = jobs.Generate(
            model,
            column=column,
            output=output_column,
            mode=mode,
            system=system,
            constraint_column=constraint_column,
            engine_options={"n_ctx": n_ctx},
            constraint=None if schema is None else JsonSchema(schema.read_text("utf-8")),
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
        )
        _run(jobs, worker, source, output, as_json, keep, rows, ray, workers, cores)


@jobs_app.command()
def classify(
    source: Source,
    output: Output,
    model: Model,
    label: Annotated[list[str], typer.Option(help="A label; repeat it for each.")],
    column: Annotated[str, typer.Option(help="The column of texts.")] = "text",
    output_column: Results = "label",
    instruction: Annotated[
        str | None, typer.Option(help="What the model is told before the labels.", show_default=False)
    ] = None,
    n_ctx: Context = None,
    keep: Keep = None,
    rows: Rows = None,
    ray: Ray = None,
    workers: Workers = None,
    cores: Cores = None,
    as_json: Json = False,
) -> None:
    """Add one of the labels to each row.

    Try:

        xllama jobs classify mails.parquet labels/ --model qwen3-4b --label question --label complaint
    """
    with _package() as jobs:
        told = {} if instruction is None else {"instruction": instruction}
        options = {"n_ctx": n_ctx}
        worker = jobs.Classify(model, label, column=column, output=output_column, engine_options=options, **told)
        _run(jobs, worker, source, output, as_json, keep, rows, ray, workers, cores)


@jobs_app.command()
def rerank(
    source: Source,
    output: Output,
    model: Model,
    query_column: Annotated[str, typer.Option(help="The column of queries.")] = "query",
    documents_column: Annotated[str, typer.Option(help="The column of documents: lists of texts.")] = "documents",
    output_column: Results = "scores",
    keep: Keep = None,
    rows: Rows = None,
    ray: Ray = None,
    workers: Workers = None,
    cores: Cores = None,
    as_json: Json = False,
) -> None:
    """Add the scores of each row's documents for its query.

    Try:

        xllama jobs rerank candidates.parquet scores/ --model xllama-rerank-mini
    """
    with _package() as jobs:
        worker = jobs.Rerank(model, query_column=query_column, documents_column=documents_column, output=output_column)
        _run(jobs, worker, source, output, as_json, keep, rows, ray, workers, cores)


@jobs_app.command()
def status(output: Output, as_json: Json = False) -> None:
    """Show how far a job is, also while it runs.

    Try:

        xllama jobs status vectors/
    """
    with _package():
        from xlc_jobs.folder import JobFolder

        _show(JobFolder(output).report(), as_json)


@contextlib.contextmanager
def _package() -> Iterator[Any]:
    try:
        import xlc_jobs
    except ImportError as error:
        raise XllamaError(
            f"jobs need a package that is not installed ({error.name or error}); run `pip install 'xllama[jobs]'`"
        ) from None
    yield xlc_jobs


def _run(
    jobs: Any,
    worker: Worker,
    source: Path,
    output: Path,
    as_json: bool,
    keep: list[str] | None,
    rows: int | None,
    ray: str | None,
    workers: int | None,
    cores: int | None,
) -> None:
    with _progress() as progress:
        report = jobs.run_job(
            worker,
            source,
            output,
            rows_per_part=rows,
            keep=keep,
            ray=ray,
            n_workers=workers,
            n_cores=cores,
            progress=progress,
        )
    _show(report, as_json)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[JobReport], object]]:
    from xlc_core.terminal import new_bar

    with new_bar(desc="parts", unit="part", leave=False, disable=None) as bar:

        def show(state: JobReport) -> None:
            bar.total = state.n_parts
            bar.set_postfix_str(f"{state.n_rows} rows, {state.n_errors} errors", refresh=False)
            bar.update(state.n_done - bar.n)

        yield show


def _show(report: JobReport, as_json: bool) -> None:
    if as_json:
        print(json.dumps(dataclasses.asdict(report)))
        return
    rate = f", {report.n_rows / report.seconds:.1f} rows per second of an engine" if report.seconds else ""
    note(
        f"{report.n_done} of {report.n_parts} parts, {report.n_rows} rows, {report.n_errors} of them with errors{rate}"
    )
