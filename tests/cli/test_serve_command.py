"""``xllama serve``: its options, and errors before it listens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import xlc_core as xlc
import xlc_server.serving
from helpers.tiny_models import write_byte_llama
from xlc_core.cli import app
from xlc_core.cli.serve import to_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [("12GiB", 12 << 30), ("800M", 800_000_000), ("1.5 gb", 1_500_000_000), ("64KiB", 64 << 10), ("1000", 1000)],
)
def test_sizes(text: str, size: int) -> None:
    assert to_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1G", "12 parsecs", "1e9"])
def test_texts_that_are_not_sizes(text: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="such as 12GiB"):
        to_bytes(text)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The pool and the options that the command would serve."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(xlc_server.serving, "run_server", lambda pool, **options: seen.update(options, pool=pool))
    return seen


def test_options_reach_the_server(tmp_path: Path, served: dict[str, Any]) -> None:
    model = write_byte_llama(tmp_path / "tiny.gguf")
    file = tmp_path / "models.toml"
    file.write_text('[mine]\nmodel = "./tiny.gguf"\nn_ctx = 256\n', encoding="utf-8")
    arguments = ["serve", str(model), "--models", str(file), "--n-ctx", "512", "--n-parallel", "2", "--memory", "1GiB"]
    arguments += ["--slot-save-path", str(tmp_path)]
    arguments += [
        "--port",
        "0",
        "--allow-host",
        "a.example",
        "--max-body-mib",
        "2",
        "--timeout",
        "9",
        "--no-access-log",
    ]
    arguments += ["--media-host", "b.example", "--local-media", str(tmp_path)]
    done = CliRunner().invoke(app, arguments, env={"XLLAMA_API_KEY": "one two"})
    assert done.exit_code == 0, done.output
    pool: xlc.EnginePool = served["pool"]
    assert pool.names() == ("mine", str(model))
    assert (pool.options("mine").n_ctx, pool.options(str(model)).n_ctx) == (256, 512)
    assert pool.options("mine").n_parallel == 2
    assert pool.options("mine").allow_remote_media == frozenset({"b.example"})
    assert pool.options("mine").allow_local_media == tmp_path
    assert pool.opened(str(model)) is not None, "the first one that is named is open"
    assert served["api_keys"] == ("one", "two")
    assert served["slot_save_path"] == tmp_path
    assert (served["host"], served["port"], served["access_log"]) == ("127.0.0.1", 0, False)
    assert (served["allowed_hosts"], served["max_body_bytes"], served["timeout"]) == (("a.example",), 2 << 20, 9)
    pool.close()


def test_without_names_local_models_are_served(served: dict[str, Any]) -> None:
    assert CliRunner().invoke(app, ["serve"]).exit_code == 0
    assert "all-minilm-l6-v2" in served["pool"].names()
    assert served["pool"].default is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-model"], "no-such-model"),
        (["--memory", "much"], "--memory"),
        (["--keep-alive", "soon"], "keep_alive"),
        (["--models", "no-such-file.toml"], "no-such-file.toml"),
    ],
)
def test_errors_are_one_line(served: dict[str, Any], arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["serve", *arguments])
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert not served
