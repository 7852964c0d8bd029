"""``xllama constraint``: checks constraints and texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["constraint_app"]

constraint_app = typer.Typer(help="Check constraints and texts.", no_args_is_help=True)


@constraint_app.callback()
def _constraint() -> None:
    """Check constraints and texts."""


@constraint_app.command("check")
def check_constraint(
    schema: Annotated[Path, typer.Argument(help="A file with a JSON schema.", exists=True, dir_okay=False)],
    texts: Annotated[list[Path] | None, typer.Argument(help="Files with answers.", exists=True, dir_okay=False)] = None,
) -> None:
    """Compile a JSON schema, and report for each file whether it is accepted, and if not, where it is refused.

    Try:

        xllama constraint check schema.json answer.json
    """
    from xlc_core.constraints.json_constraints import JsonSchema

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
