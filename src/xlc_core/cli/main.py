"""The ``xllama`` command: its groups, its version, and the form of its errors.

Each group of commands is a Typer app in its own module. An XllamaError in a command becomes one red line on stderr and
exit code 1. Only results go to stdout.

Modules of the command import llama.cpp, numpy and huggingface_hub inside the commands that use them, so
that ``--help`` and shell completion answer at once.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from xlc_core.cli.bench import bench_app
from xlc_core.cli.constraint import constraint_app
from xlc_core.cli.doctor import doctor
from xlc_core.cli.generate import chat, complete
from xlc_core.cli.jobs import jobs_app
from xlc_core.cli.models import models_app
from xlc_core.cli.output import allow_any_output
from xlc_core.cli.serve import serve
from xlc_core.cli.vectors import embed, rerank
from xlc_core.errors import XllamaError

__all__ = ["app"]


class _Group(TyperGroup):
    def invoke(self, ctx: Any) -> Any:  # click's Context, or the one of newer typers
        allow_any_output()
        try:
            return super().invoke(ctx)
        except XllamaError as error:
            from rich.console import Console
            from rich.text import Text

            Console(stderr=True).print(Text(f"error: {error}", "red"), soft_wrap=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Group,
    help="llama.cpp inside the Python process: models from the command line.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("chat")(chat)
app.command("complete")(complete)
app.command("embed")(embed)
app.command("rerank")(rerank)
app.add_typer(models_app, name="models")
app.add_typer(bench_app, name="bench")
app.add_typer(jobs_app, name="jobs")
app.add_typer(constraint_app, name="constraint")
app.command("doctor")(doctor)
app.command("serve")(serve)


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
