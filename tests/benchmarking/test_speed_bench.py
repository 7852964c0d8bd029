"""Measuring a model: which figures there are, not how large they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from xlc_core.benchmarking import SpeedFigure, measure_speed
from xlc_core.cli import app


def test_generator_is_measured_alone_and_together(tmp_path: Path) -> None:
    model = write_byte_llama(tmp_path / "tiny.gguf")
    told: list[str] = []
    report = measure_speed(model, n_prompt=40, n_predict=4, n_requests=3, rounds=2, progress=told.append, n_ctx=128)
    assert told == ["warming up", "round 1 of 2", "round 2 of 2"]
    names = ["prompt", "generation", "first token after the prompt", "3 requests together"]
    assert [figure.name for figure in report.figures] == names
    for figure in report.figures:
        assert len(figure.values) == 2
        assert all(value > 0 for value in figure.values)
    assert report.memory_bytes > 0


@pytest.mark.parametrize(("kind", "name"), [("embedder", "embedding"), ("reranker", "reranking")])
def test_retrieval_model_is_measured_at_its_work(kind: str, name: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(f"{kind}_path")
    report = measure_speed(path, n_texts=2, rounds=1)
    assert report.figures[0].name == name


def test_command_prints_the_figures(tmp_path: Path) -> None:
    model = write_byte_llama(tmp_path / "tiny.gguf")
    command = ["bench", "speed", str(model), "--n-prompt", "20", "--n-predict", "3", "--rounds", "1"]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert "8 requests together" in shown.stdout
    report = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert {figure["unit"] for figure in report["figures"]} == {"tokens/s", "ms"}


def test_median_is_that_of_the_rounds() -> None:
    assert SpeedFigure("prompt", "tokens/s", (3.0, 1.0, 2.0)).median == 2.0
    with pytest.raises(xlc.InvalidRequestError, match="rounds must be at least 1"):
        measure_speed("nothing.gguf", rounds=0)
