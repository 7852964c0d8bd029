"""Writing models with other weights: the real quantiser on a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from xlc_core.cli import main
from xlc_core.models.quantize import QUANTIZATION_TYPES, quantize_model


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_byte_llama(tmp_path / "source.gguf")


def test_file_is_smaller_and_runs(source: Path, tmp_path: Path) -> None:
    seen: list[float] = []
    made = quantize_model(source, tmp_path / "small.gguf", "q8_0", progress=seen.append)
    assert made.stat().st_size < 0.5 * source.stat().st_size
    assert seen == sorted(seen)
    assert seen[-1] == 1
    with xlc.Engine(made, n_ctx=128, n_parallel=1, warmup=False) as engine:
        assert engine.complete("ab", max_tokens=3, ignore_eos=True).usage.completion_tokens == 3
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["small.gguf", "source.gguf"]


@pytest.mark.parametrize("name", ["kleiner größer", "модель 模型", "🙂"])
def test_name_of_any_script(tmp_path: Path, name: str) -> None:
    """On Windows, programs open names in a code page, which has few of these characters."""
    folder = tmp_path / name
    folder.mkdir()
    made = quantize_model(write_byte_llama(folder / f"{name}.gguf"), folder / f"{name} q8.gguf", "Q8_0")
    with xlc.Engine(made, n_ctx=128, n_parallel=1, warmup=False) as engine:
        assert engine.complete("ab", max_tokens=3, ignore_eos=True).usage.completion_tokens == 3
    assert len(list(folder.iterdir())) == 2


def test_unwritable_type_is_refused(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "small.gguf"
    with pytest.raises(xlc.InvalidRequestError, match="Q4_K_M"):
        quantize_model(source, target, "Q4")
    with pytest.raises(xlc.InvalidRequestError, match="exists"):
        quantize_model(source, source, "Q8_0", overwrite=True)
    with pytest.raises(xlc.ModelNotFoundError, match="no folder"):
        quantize_model(source, tmp_path / "none" / "small.gguf", "Q8_0")
    with pytest.raises(xlc.ModelNotFoundError):
        quantize_model(tmp_path / "none.gguf", target, "Q8_0")
    noise = tmp_path / "noise.gguf"
    noise.write_bytes(b"noise" * 100)
    with pytest.raises(xlc.ModelLoadError, match="quantise"):
        quantize_model(noise, target, "Q8_0")
    assert not target.exists()


def test_caller_can_interrupt(source: Path, tmp_path: Path) -> None:
    def stop(done: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize_model(source, tmp_path / "small.gguf", "Q8_0", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["source.gguf"]


def test_existing_file_is_not_overwritten_by_default(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "small.gguf"
    target.write_text("mine")
    with pytest.raises(xlc.InvalidRequestError, match="overwrite"):
        quantize_model(source, target, "Q8_0")
    assert target.read_text() == "mine"
    assert quantize_model(source, target, "Q8_0", overwrite=True).stat().st_size > 1000


def test_from_command_line(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "small.gguf"
    done = CliRunner().invoke(main.app, ["models", "quantize", str(source), str(target), "F16"])
    assert done.exit_code == 0, done.output
    assert str(target) in done.stdout
    assert target.exists()
    again = CliRunner().invoke(main.app, ["models", "quantize", str(source), str(target), "Q9"])
    assert again.exit_code == 1
    assert "Q4_K_M" in again.stderr
    assert "BF16" in QUANTIZATION_TYPES
