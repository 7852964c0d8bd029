"""`xllama doctor`, as a user calls it."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xlc_core import _native
from xlc_core.cli import speed_report
from xlc_core.cli.main import app
from xlc_core.hardware import CpuBackend, cpu_backend


def lines_of_report(*options: str) -> list[str]:
    result = CliRunner().invoke(app, ["doctor", *options])
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_report_says_what_runs_where() -> None:
    lines = lines_of_report("--no-speed")
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
    text = "\n".join(lines_of_report("--no-speed"))
    assert "  XLLAMA_MODEL=qwen3-4b" in text
    assert "  HF_ENDPOINT=https://…@hub.example/api" in text
    assert "secret" not in text


def test_report_goes_on_with_a_broken_catalog(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "catalog.toml"
    broken.write_text("[model\n")
    monkeypatch.setenv("XLLAMA_CATALOG", str(broken))
    lines = lines_of_report("--no-speed")
    assert str(broken) in lines[lines.index("models of the catalog on this disk:") + 1]
    assert "environment:" in lines


def test_speed_is_measured_with_and_without_an_embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of_report()
    assert any(re.fullmatch(r"  \d+ threads read [\d.]+ [GM]B of memory a second", line) for line in lines)
    assert any(re.match(r"  all-minilm-l6-v2 embeds [1-9]\d* texts", line) for line in lines)
    monkeypatch.setattr("xlc_core.models.catalog.is_cached", lambda _: False)
    without = lines_of_report()
    assert not any("embeds" in line for line in without)
    assert any(line.startswith("advice: no chat model") for line in without)


def test_advice_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_report, "available_memory", lambda: 10**9)
    monkeypatch.setattr(speed_report, "cpu_backend", lambda: CpuBackend(None, {}, (), None))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setenv("XLLAMA_KERNELS", "none")
    text = "\n".join(speed_report.advice())
    assert "XLLAMA_KERNELS switches them off" in text
    assert "only 1.0 GB of memory are free" in text
