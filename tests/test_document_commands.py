"""The commands of xllama in the documents have names and options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xlc_core.cli import app

ROOT = Path(__file__).parents[1]
_INDENTED = re.compile(r"^ {4}\$ (.*)$", re.MULTILINE)
_FENCED = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(xllama [^`]+)`")


def commands_in(text: str) -> list[list[str]]:
    """Return the arguments of each call of xllama, without pipes and what stands before it, such as a container."""
    shown = [block.replace("\\\n", " ") for block in _FENCED.findall(text)] + _INDENTED.findall(text)
    lines = [line for block in shown for line in block.splitlines()]
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    lines += [found.replace("\n", " ") for found in _INLINE.findall(prose)]
    calls = [part for line in lines for part in re.split(r" \| ", re.sub(r"\s#.*", "", line))]
    words = [shlex.split(call.removeprefix("$ ")) for call in calls if "xllama " in call and "'" not in call]
    return [call[len(call) - call[::-1].index("xllama") :] for call in words if "xllama" in call]


PAGES = [
    page
    for page in (ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if commands_in(page.read_text("utf-8"))
]


def complaint(arguments: list[str]) -> str:
    """Return what is wrong with a call; nothing is run, as `--help` is obeyed once all names are known."""
    result = CliRunner().invoke(app, [*arguments, "--help"])
    return "" if result.exit_code == 0 else f"xllama {shlex.join(arguments)}: {result.output}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    assert list(filter(None, map(complaint, commands_in(page.read_text("utf-8"))))) == []


def test_calls_are_found_and_wrong_ones_refused() -> None:
    shown = '$ git diff | xllama chat m "Two words." --json   # why\n$ docker run xllama xllama models\n'
    text = f"```console\n{shown}```\nOr `xllama nonsense`."
    found = commands_in(text)
    assert found == [["chat", "m", "Two words.", "--json"], ["models"], ["nonsense"]]
    assert [bool(complaint(call)) for call in found] == [False, False, True]
    assert complaint(["chat", "m", "--no-such"])
    assert complaint(["models", "nonsense"])
