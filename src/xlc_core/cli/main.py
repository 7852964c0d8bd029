"""The ``xllama`` command.

Each group of commands is a Typer app of its own that ``app`` takes in with ``add_typer``. What a
command raises as an XllamaError is one red line on stderr and exit code 1. Only results go to
stdout.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from xlc_core.cli.bench import bench_app
from xlc_core.constraints.constraint import JsonSchema
from xlc_core.errors import XllamaError
from xlc_core.models import catalog

__all__ = ["app", "constraint_app", "models_app"]

_WIDTH_IN_PIPES = 120  # a table must not be cut to a terminal's width where there is none


class _Group(TyperGroup):
    def invoke(self, ctx: Any) -> Any:  # click's Context, or the one that newer typers bring along
        try:
            return super().invoke(ctx)
        except XllamaError as error:
            Console(stderr=True).print(Text(f"error: {error}", "red"), soft_wrap=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Group,
    help="llama.cpp inside the Python process: models from the command line.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="List, fetch and find models.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(bench_app, name="bench")
constraint_app = typer.Typer(help="Find out what a constraint allows.", no_args_is_help=True)
app.add_typer(constraint_app, name="constraint")

Name = Annotated[str, typer.Argument(help="A name of the catalog, hf:owner/repo[:quant-or-file], or a path.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"xllama {version('xllama')}")
        raise typer.Exit


@app.callback()
def main(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Run llama.cpp inside the Python process."""


@models_app.command("list")
def list_models() -> None:
    """Show the catalog: each model's kind, size and licence, and whether it is on this disk."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    table.add_column("size", no_wrap=True, justify="right")
    table.add_column("licence", no_wrap=True)
    table.add_column("cached", no_wrap=True)
    for name, entry in catalog.entries().items():
        size = _readable(entry.size_bytes) if entry.size_bytes else "–"
        cached = "yes" if catalog.is_cached(name) else "no"
        table.add_row(name, entry.kind, size, entry.license, cached)
    Console(width=None if sys.stdout.isatty() else _WIDTH_IN_PIPES).print(table)


@models_app.command()
def pull(name: Name) -> None:
    """Fetch a model and check its sha256, so that it can be used offline."""
    resolved = catalog.pull(name)
    size = _readable(resolved.path.stat().st_size)
    typer.echo(f"{resolved.name} ({size}) is at {resolved.path}")


@models_app.command()
def path(name: Name) -> None:
    """Print the path of a model's file and nothing else; fetch it first where it is not there."""
    typer.echo(catalog.resolve(name).path)


@models_app.command()
def quantize(
    source: Name,
    target: Annotated[Path, typer.Argument(help="The file to write.", dir_okay=False)],
    weights: Annotated[str, typer.Argument(metavar="TYPE", help="Type of the weights, such as Q8_0 or Q4_K_M.")],
    threads: Annotated[int | None, typer.Option(min=1, help="Threads to compute with; default: all cores.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a model again with smaller weights."""
    from xlc_core.models.quantize import quantize_model  # loads llama.cpp, which the other commands do without

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(f"quantising to {weights}", total=1.0)
        made = quantize_model(
            source, target, weights, n_threads=threads, overwrite=overwrite,
            progress=lambda done: bars.update(bar, completed=done),
        )  # fmt: skip
    typer.echo(f"{made} ({_readable(made.stat().st_size)})")


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
        typer.Option(help="llama.cpp's name of how the tokenizer cuts text, where it is not recognised."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a GGUF file from a model as it is published; needs the extra `convert`."""
    from xlc_core.models.convert import convert_model  # loads llama.cpp, which the other commands do without

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(f"converting to {weights}", total=1.0)
        made = convert_model(
            source, target, weights, projector=projector, base=base, pre_tokenizer=pre_tokenizer, overwrite=overwrite,
            progress=lambda done: bars.update(bar, completed=done),
        )  # fmt: skip
    typer.echo(f"{made} ({_readable(made.stat().st_size)})")


def _readable(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


@constraint_app.command("check")
def check_constraint(
    schema: Annotated[Path, typer.Argument(help="A file with a JSON schema.", exists=True, dir_okay=False)],
    texts: Annotated[list[Path] | None, typer.Argument(help="Files with answers.", exists=True, dir_okay=False)] = None,
) -> None:
    """Compile a JSON schema, and say of each file whether it would be accepted, and if not, where it goes wrong."""
    constraint = JsonSchema(schema.read_text("utf-8"))
    constraint.check()
    typer.echo(f"{schema}: can be enforced")
    refused = 0
    for path in texts or []:
        text = path.read_text("utf-8").strip()
        explanation = constraint.explain(text)
        if explanation.accepted:
            typer.echo(f"{path}: accepted")
            continue
        refused += 1
        allowed = text.encode()[: explanation.n_bytes].decode("utf-8", "ignore")
        line, column = allowed.count("\n") + 1, len(allowed) - (allowed.rfind("\n") + 1) + 1
        expected = " ".join(sorted(repr(token.decode("utf-8", "replace")) for token in explanation.expected)[:20])
        typer.echo(f"{path}:{line}:{column}: refused after {allowed[-30:]!r}; allowed there: {expected or 'nothing'}")
    if refused:
        raise typer.Exit(1)
