"""Models that think and models that see, for the adapters of other frameworks, and no network for these."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import xlc_core as xlc
from helpers.thinking_template import THINKING_TEMPLATE
from helpers.tiny_media import write_mmproj
from helpers.tiny_models import write_byte_llama

# They are read when the frameworks are imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"


@pytest.fixture(scope="session")
def thinker(smollm2_path: Path) -> Iterator[xlc.Engine]:
    """SmolLM2 with a template that has it think, for five tokens at most."""
    options = {"chat_template": THINKING_TEMPLATE, "thinking_budget": 5, "n_parallel": 1, "n_ctx": 512}
    with xlc.Engine(smollm2_path, **options) as engine:
        yield engine


@pytest.fixture(scope="session")
def seer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    """A tiny model that reads images."""
    folder = tmp_path_factory.mktemp("seer")
    write_mmproj(folder / "mmproj.gguf")
    model = write_byte_llama(folder / "model.gguf")
    with xlc.Engine(model, mmproj="auto", n_ctx=512, n_parallel=1, warmup=False) as engine:
        yield engine
