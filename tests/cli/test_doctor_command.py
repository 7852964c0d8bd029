"""`xllama doctor`, as a user calls it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xlc_core import _native
from xlc_core.cli.main import app
from xlc_core.hardware import cpu_backend


def lines_of_report() -> list[str]:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_report_says_what_runs_where() -> None:
    lines = lines_of_report()
    assert lines[0] == f"xllama {version('xllama')}, llama.cpp {_native.llama_cpp_version()}"
    assert set(str(cpu_backend()).splitlines()) <= set(lines)
    (processor,) = (device for device in _native.devices() if device.backend == "CPU")
    assert 0 < processor.free_bytes <= processor.total_bytes
    assert any(line.startswith(f"  CPU: {processor.description} (CPU), ") for line in lines)
    assert f"  numpy {version('numpy')}" in lines


def test_report_names_settings_but_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLLAMA_MODEL", "qwen3-4b")
    monkeypatch.setenv("HF_ENDPOINT", "https://me:secret@hub.example/api")
    monkeypatch.setenv("HF_TOKEN", "secret")
    text = "\n".join(lines_of_report())
    assert "  XLLAMA_MODEL=qwen3-4b" in text
    assert "  HF_ENDPOINT=https://…@hub.example/api" in text
    assert "secret" not in text


def test_report_goes_on_with_a_broken_catalog(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "catalog.toml"
    broken.write_text("[model\n")
    monkeypatch.setenv("XLLAMA_CATALOG", str(broken))
    lines = lines_of_report()
    assert str(broken) in lines[lines.index("models of the catalog on this disk:") + 1]
    assert "environment:" in lines
