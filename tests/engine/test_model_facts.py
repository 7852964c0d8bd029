"""Facts about a model before it is loaded agree with the engine's own."""

from __future__ import annotations

from pathlib import Path

import pytest

import xlc_core as xlc
from xlc_core import _native
from xlc_core.engine.model_facts import ModelFacts, read_facts
from xlc_core.options.engine import EngineOptions


def test_facts_from_file_match_engine(engine: xlc.Engine) -> None:
    facts = read_facts(engine.options)
    assert facts == ModelFacts(
        n_ctx=engine.info.n_ctx,
        has_chat_template=engine.info.has_chat_template,
        supports_thinking=engine.info.supports_thinking,
        can_generate=engine.info.can_generate,
    )
    assert facts.n_ctx == 2048


def test_default_n_ctx_matches_engine(smollm2_path: Path) -> None:
    facts = read_facts(EngineOptions(model=smollm2_path, n_parallel=1))
    assert facts is not None
    with xlc.Engine(smollm2_path, n_parallel=1, warmup=False) as opened:
        assert facts.n_ctx == opened.info.n_ctx


def test_embedder_writes_no_text(embedder_path: Path) -> None:
    facts = read_facts(EngineOptions(model=embedder_path))
    assert facts is not None
    assert (facts.can_generate, facts.has_chat_template) == (False, False)


def test_given_template_counts(smollm2_path: Path) -> None:
    facts = read_facts(EngineOptions(model=smollm2_path, chat_template="{{ '<think>' }}"))
    assert facts is not None
    assert facts.supports_thinking


def test_missing_file_is_not_fetched(tmp_path: Path) -> None:
    assert read_facts(EngineOptions(model=tmp_path / "none.gguf")) is None
    assert read_facts(EngineOptions(model="hf:nobody/nothing-GGUF:Q4_0")) is None


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"no model")
    with pytest.raises(xlc.ModelLoadError, match="not a GGUF file"):
        read_facts(EngineOptions(model=tmp_path / "no.gguf"))


def test_asking_again_does_not_read_the_file_again(smollm2_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = EngineOptions(model=smollm2_path)
    facts = read_facts(options)
    monkeypatch.delattr(_native, "read_model_file")
    assert read_facts(options) == facts
