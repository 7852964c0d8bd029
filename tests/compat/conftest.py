"""One Llama that all tests share: none of them may close it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from xlc_core.compat.llama_cpp import Llama


@pytest.fixture(scope="session")
def tiny() -> Iterator[Llama]:
    """A model of 460 tokens with random weights, which adds a start token to each prompt."""
    path = Path(__file__).parents[1] / "model_files" / "llama.gguf"
    with Llama(str(path), n_ctx=1024, n_threads=1, n_parallel=2, verbose=False, chat_format="chatml") as shared:
        yield shared
