from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from helpers.tiny_models import write_byte_llama
from xlc_core.cli import main
from xlc_core.models import catalog

MODELS = Path(__file__).parents[2] / "models"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main.app, list(arguments))


@pytest.fixture(autouse=True)
def models_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(MODELS)


def test_list_shows_columns() -> None:
    result = run("models", "list")
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    assert rows["name"] == ["kind", "size", "licence", "cached"]
    assert rows["all-minilm-l6-v2"] == ["embedding", "46", "MB", "Apache-2.0", "yes"]
    assert rows["smollm2-135m-instruct"] == ["chat", "98", "MB", "Apache-2.0", "no"]
    assert rows["gemma-3-4b-it"] == ["chat", "–", "Gemma", "terms", "no"]


def test_list_as_json_has_the_same_models() -> None:
    rows = json.loads(run("models", "list", "--json").stdout)
    assert {row["name"]: row["cached"] for row in rows}["all-minilm-l6-v2"] is True
    assert {row["name"] for row in rows} == set(catalog.entries())


def test_info_tells_what_the_file_has() -> None:
    found = json.loads(run("models", "info", "all-minilm-l6-v2", "--json").stdout)
    assert (found["architecture"], found["context"], found["license"]) == ("bert", 512, "Apache-2.0")
    assert found["size"] == 46226496 < found["memory_needed"]
    lines = run("models", "info", "all-minilm-l6-v2").stdout.splitlines()
    assert "size           46 MB" in lines


def test_info_of_a_model_that_is_not_here() -> None:
    found = json.loads(run("models", "info", "qwen3-4b", "--json").stdout)
    assert found["source"].startswith("hf:")
    assert found["path"] is found["memory_needed"] is found["fits"] is None
    assert "did you mean 'qwen3-4b'" in run("models", "info", "qwen3-4").stderr


def test_info_of_a_file(tmp_path: Path) -> None:
    path = write_byte_llama(tmp_path / "own.gguf")
    found = json.loads(run("models", "info", str(path), "--json").stdout)
    assert (found["kind"], found["license"], found["size"]) == ("chat", None, path.stat().st_size)


def test_rm_refuses_what_was_not_fetched() -> None:
    result = run("models", "rm", "xllama-rerank-mini")
    assert result.exit_code == 1
    assert "pip uninstall xllama-models" in result.stderr


def test_path_prints_path_and_nothing_else() -> None:
    result = run("models", "path", "xllama-rerank-mini")
    path = MODELS / "xllama_models" / "xllama-rerank-mini-q8_0.gguf"
    assert [Path(line).name for line in result.stdout.splitlines()] == [Path(path).name]
    assert result.stderr == ""


def test_pull_says_where_model_is() -> None:
    result = run("models", "pull", "xllama-rerank-mini")
    assert result.exit_code == 0
    assert result.stdout.startswith("xllama-rerank-mini (25 MB) is at ")


@pytest.mark.parametrize("command", ["pull", "path"])
def test_error_is_one_line_on_stderr(command: str) -> None:
    result = run("models", command, "all-minilm-l6")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "error: model 'all-minilm-l6' is not in the catalog and is not a file; did you mean "
        "'all-minilm-l6-v2'? `xllama models list` shows all\n"
    )


def test_faulty_catalog_is_one_line_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XLLAMA_CATALOG", str(tmp_path / "[none].toml"))
    result = run("models", "list")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "[none].toml cannot be read" in result.stderr


def test_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "version", lambda name: f"9.8.7 of {name}")
    assert run("--version").stdout == "xllama 9.8.7 of xllama\n"
