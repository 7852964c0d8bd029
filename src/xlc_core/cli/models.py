"""``xllama models``: list, fetch, describe, remove, quantise and convert models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xlc_core.cli.output import new_table, progress_bar, readable_size, result_console

if TYPE_CHECKING:
    from xlc_core.models.catalog import CatalogEntry

__all__ = ["models_app"]

models_app = typer.Typer(help="List, fetch, describe and remove models.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A name of the catalog, hf:owner/repo[:quant-or-file], or a path.")]


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


Kind = Annotated[
    Literal["chat", "embedding", "reranker"] | None, typer.Option(help="Show only the models for this purpose.")
]

_MARKS = {True: "yes", False: "no", None: "–"}


@models_app.command("list")
def list_models(kind: Kind = None, as_json: AsJson = False) -> None:
    """Show the catalog: each model's kind, size and licence, whether it fits into memory, and is on this disk.

    Try:

        xllama models list

        xllama models list --kind embedding
    """
    from xlc_core import hardware
    from xlc_core.models import catalog

    free = hardware.available_memory()
    shown = [_row(entry, free) for entry in catalog.entries().values() if kind in (None, entry.kind)]
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    table = new_table()
    for title in ("name", "kind", "size", "fits", "licence", "cached"):
        table.add_column(title, no_wrap=True, justify="right" if title == "size" else "left")
    for row in shown:
        size = "–" if row["size"] is None else readable_size(row["size"])
        table.add_row(row["name"], row["kind"], size, _MARKS[row["fits"]], row["license"], _MARKS[row["cached"]])
    result_console().print(table)


def _row(entry: CatalogEntry, free: int | None) -> dict[str, Any]:
    from xlc_core.models.catalog import present_path
    from xlc_core.models.fitting import fits_memory, model_size

    size = model_size(entry)
    return {
        **entry.model_dump(include={"name", "kind", "description", "license", "source", "n_ctx"}),
        "size": size,
        "fits": fits_memory(size, free),
        "cached": present_path(entry) is not None,
    }


@models_app.command()
def pull(name: Name) -> None:
    """Fetch a model and check its sha256, so that it can be used offline.

    Try:

        xllama models pull qwen3-4b

        xllama models pull hf:Qwen/Qwen3-8B-GGUF:Q4_K_M
    """
    from xlc_core.models import catalog

    resolved = catalog.pull(name)
    size = readable_size(resolved.path.stat().st_size)
    typer.echo(f"{resolved.name} ({size}) is at {resolved.path}")


@models_app.command()
def path(name: Name) -> None:
    """Print only the path of a model's file; fetch the file first if it is missing.

    Try:

        xllama models path qwen3-4b
    """
    from xlc_core.models import catalog

    print(catalog.resolve(name).path)  # not typer.echo, which replaces the bytes of names that are not ASCII


@models_app.command()
def info(name: Name, as_json: AsJson = False) -> None:
    """Describe a model: its licence, source, size and context, and whether it fits into memory.

    If the model is not on this disk, the figures are estimates from the catalog.

    Try:

        xllama models info qwen3-4b
    """
    from xlc_core.engine.model_report import describe_model  # loads llama.cpp

    found = describe_model(name)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    about = "about " if found.pop("approximate") else ""
    width = max(map(len, found))
    prefixes = {"size": about, "memory_needed": about, "memory_free": ""}
    for key, value in found.items():
        sized = key in prefixes and value is not None
        shown = prefixes[key] + readable_size(value) if sized else value
        typer.echo(f"{key.replace('_', ' '):{width}}  {'–' if value is None else shown}")


@models_app.command("rm")
def remove(name: Name) -> None:
    """Remove a fetched model from this disk. Files that xllama did not fetch are refused.

    Try:

        xllama models rm qwen3-4b
    """
    from xlc_core.models.removal import remove_model

    n_bytes = remove_model(name)
    typer.echo(f"{name} was removed: {readable_size(n_bytes)} are free again")


@models_app.command()
def quantize(
    source: Name,
    target: Annotated[Path, typer.Argument(help="The file to write.", dir_okay=False)],
    weights: Annotated[str, typer.Argument(metavar="TYPE", help="Type of the weights, such as Q8_0 or Q4_K_M.")],
    threads: Annotated[int | None, typer.Option(min=1, help="Threads to compute with; default: all cores.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a copy of a model with smaller weights.

    Try:

        xllama models quantize model-f16.gguf model-q4.gguf Q4_K_M
    """
    from xlc_core.models.quantize import quantize_model  # loads llama.cpp

    with progress_bar(f"quantising to {weights}") as progress:
        made = quantize_model(source, target, weights, n_threads=threads, overwrite=overwrite, progress=progress)
    typer.echo(f"{made} ({readable_size(made.stat().st_size)})")


@models_app.command()
def convert(
    source: Annotated[
        str, typer.Argument(help="A folder that transformers loads, or hf:owner/repo; or a LoRA adapter's folder.")
    ],
    target: Annotated[Path, typer.Argument(help="The GGUF file to write.", dir_okay=False)],
    weights: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="Type of the weights: f32, f16, bf16, q8_0, Q4_K_M…")
    ] = "auto",
    projector: Annotated[
        bool, typer.Option("--projector", help="Write the part for images and sound (mmproj) instead.")
    ] = False,
    base: Annotated[str | None, typer.Option(help="For a LoRA adapter or a head: the folder of its model.")] = None,
    pre_tokenizer: Annotated[
        str | None,
        typer.Option(help="llama.cpp's name for the tokenizer's way to split text, if it is not recognised."),
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let Python code that the model brings run, with your rights.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a GGUF file from a published model; needs the extra `convert`.

    Try:

        xllama models convert ./my-model my-model.gguf --type Q8_0
    """
    from xlc_core.models.convert import convert_model  # loads llama.cpp

    with progress_bar(f"converting to {weights}") as progress:
        made = convert_model(
            source, target, weights,
            projector=projector, base=base, pre_tokenizer=pre_tokenizer, trust_remote_code=trust_remote_code,
            overwrite=overwrite, progress=progress,
        )  # fmt: skip
    typer.echo(f"{made} ({readable_size(made.stat().st_size)})")
