"""Every command shows how it is called, and is in the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from xlc_core.cli import app

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield from commands(command, (*words, name)) if hasattr(command, "commands") else [(*words, name)]


COMMANDS = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_has_an_example(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"], terminal_width=200)
    assert result.exit_code == 0, result.output
    lines = [line.strip() for line in result.stdout.splitlines() if not line.lstrip().startswith("Usage")]
    assert any(f"xllama {' '.join(words)}" in line for line in lines), result.stdout


def test_documentation_has_all_commands() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert ("models", "rm") in COMMANDS
    missing = [words for words in COMMANDS if words[-1] not in text]
    assert not missing
