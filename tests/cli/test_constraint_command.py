"""`xllama constraint check`, as a user calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from xlc_core.cli.main import app

SCHEMA = '{"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}'


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "schema.json"
    path.write_text(SCHEMA)
    return path


def test_accepted_files_are_told_and_exit_0(schema: Path, tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text('{ "age" : 7 }\n')
    result = CliRunner().invoke(app, ["constraint", "check", str(schema), str(tmp_path / "good.json")])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [f"{schema}: can be enforced", f"{tmp_path / 'good.json'}: accepted"]


def test_refused_file_names_place_and_expected_tokens(schema: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{\n  "age": "seven"\n}')
    result = CliRunner().invoke(app, ["constraint", "check", str(schema), str(tmp_path / "bad.json")])
    assert result.exit_code == 1
    assert f"{tmp_path / 'bad.json'}:2:10: refused" in result.stdout
    assert "'7'" in result.stdout


def test_schema_that_cannot_be_enforced_says_why(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text('{"type": "array", "uniqueItems": true}')
    result = CliRunner().invoke(app, ["constraint", "check", str(path)])
    assert result.exit_code == 1
    assert "uniqueItems" in result.stderr
