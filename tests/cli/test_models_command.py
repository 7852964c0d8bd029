from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from helpers.tiny_models import write_byte_llama
from xlc_core import hardware
from xlc_core.cli import main
from xlc_core.models import catalog

MODELS = Path(__file__).parents[2] / "models"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main.app, list(arguments))


@pytest.fixture(autouse=True)
def models_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(MODELS)


def listed(*arguments: str) -> dict[str, list[str]]:
    result = run("models", "list", *arguments)
    assert result.exit_code == 0
    return {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}


@pytest.fixture
def memory_of_4_gb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "available_memory", lambda: 4_000_000_000)


@pytest.mark.usefixtures("memory_of_4_gb")
def test_list_shows_columns() -> None:
    rows = listed()
    assert rows["name"] == ["kind", "size", "fits", "licence", "cached"]
    assert rows["all-minilm-l6-v2"] == ["embedding", "46", "MB", "yes", "Apache-2.0", "yes"]
    assert rows["smollm2-135m-instruct"] == ["chat", "98", "MB", "yes", "Apache-2.0", "no"]
    assert rows["gemma-3-4b-it"] == ["chat", "2.5", "GB", "yes", "Gemma", "terms", "no"]
    assert rows["qwen3-8b"] == ["chat", "5.0", "GB", "no", "Apache-2.0", "no"]


def test_list_of_one_kind() -> None:
    kinds = {kind: set(listed("--kind", kind)) - {"name"} for kind in ("chat", "embedding", "reranker")}
    assert "xllama-rerank-mini" in kinds["reranker"]
    assert sum(map(len, kinds.values())) == len(set.union(*kinds.values())) == len(catalog.entries())
    assert {row["kind"] for row in json.loads(run("models", "list", "--kind", "chat", "--json").stdout)} == {"chat"}
    assert run("models", "list", "--kind", "vision").exit_code == 2


def test_list_marks_what_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "catalog.toml"
    own.write_text('[mine]\ndescription = "d"\nlicense = "MIT"\nkind = "chat"\nsource = "file:m.gguf"\n')
    monkeypatch.setenv("XLLAMA_CATALOG", str(own))
    assert listed()["mine"] == ["chat", "–", "–", "MIT", "no"]
    write_byte_llama(tmp_path / "m.gguf")
    assert listed()["mine"][2:] == ["MB", "yes", "MIT", "yes"]
    monkeypatch.setattr(hardware, "available_memory", lambda: None)
    assert listed()["mine"][2:] == ["MB", "–", "MIT", "yes"]


def test_list_as_json_has_the_same_models() -> None:
    rows = {row["name"]: row for row in json.loads(run("models", "list", "--json").stdout)}
    assert set(rows) == set(catalog.entries())
    assert rows["all-minilm-l6-v2"]["cached"] is True
    assert (rows["all-minilm-l6-v2"]["size"], rows["all-minilm-l6-v2"]["n_ctx"]) == (46226496, 512)
    assert (rows["qwen3-8b"]["size"], rows["qwen3-8b"]["cached"]) == (5_030_000_000, False)


def test_list_does_not_load_llama_cpp() -> None:
    script = (
        "import sys; from typer.testing import CliRunner; from xlc_core.cli import main\n"
        "assert 'qwen3-8b' in CliRunner().invoke(main.app, ['models', 'list']).stdout\n"
        "sys.exit('xlc_core._native' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


def test_info_tells_what_the_file_has() -> None:
    found = json.loads(run("models", "info", "all-minilm-l6-v2", "--json").stdout)
    assert (found["architecture"], found["context"], found["license"]) == ("bert", 512, "Apache-2.0")
    assert found["approximate"] is False
    assert found["size"] == 46226496 < found["memory_needed"]
    lines = run("models", "info", "all-minilm-l6-v2").stdout.splitlines()
    assert "size           46 MB" in lines


@pytest.mark.usefixtures("memory_of_4_gb")
def test_info_estimates_before_the_download() -> None:
    found = json.loads(run("models", "info", "qwen3-8b", "--json").stdout)
    assert found["source"] == "hf:Qwen/Qwen3-8B-GGUF:Q4_K_M"
    assert found["path"] is found["architecture"] is None
    assert (found["size"], found["context"], found["memory_free"]) == (5_030_000_000, 40960, 4_000_000_000)
    assert found["size"] < found["memory_needed"]
    assert found["approximate"] is True
    assert found["fits"] is False
    assert json.loads(run("models", "info", "qwen3-4b", "--json").stdout)["fits"] is True
    lines = run("models", "info", "qwen3-8b").stdout.splitlines()
    assert {"size           about 5.0 GB", "memory free    4.0 GB"} <= set(lines)


def test_info_of_a_model_that_nobody_knows() -> None:
    found = json.loads(run("models", "info", "hf:nobody/nothing", "--json").stdout)
    assert found["size"] is found["context"] is found["memory_needed"] is found["fits"] is None
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
