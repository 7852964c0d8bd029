"""Real models, found through the catalog and loaded once for the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import xlc_core as xlc
from helpers.sanitizers import SANITIZER
from xlc_core.models import catalog


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run with the extension of this sanitizer."""
    for item in items:
        marker = item.get_closest_marker("no_sanitizer")
        if marker is not None and SANITIZER in marker.kwargs.get("only", ("asan", "tsan")):
            item.add_marker(pytest.mark.skip(reason=f"with {SANITIZER}: {marker.args[0]}"))


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """SmolLM2-135M-Instruct, requantised to Q8_0."""
    return catalog.resolve("smollm2-135m-instruct").path


@pytest.fixture(scope="session")
def embedder_path() -> Path:
    return catalog.resolve("all-minilm-l6-v2").path


@pytest.fixture(scope="session")
def reranker_path() -> Path:
    return catalog.resolve("xllama-rerank-mini").path


@pytest.fixture(scope="session")
def engine(smollm2_path: Path) -> Iterator[xlc.Engine]:
    """A chat engine that all tests share: none of them may close it."""
    with xlc.Engine("smollm2-135m-instruct", n_ctx=2048, n_parallel=4) as shared:
        yield shared


@pytest.fixture(scope="session")
def embedder() -> Iterator[xlc.Engine]:
    with xlc.Engine("all-minilm-l6-v2") as shared:
        yield shared


@pytest.fixture(scope="session")
def reranker() -> Iterator[xlc.Engine]:
    with xlc.Engine("xllama-rerank-mini") as shared:
        yield shared


@pytest.fixture(scope="session")
def vendored_llama_cpp() -> Path:
    """The source that the module was built from."""
    path = Path(__file__).parent.parent / "vendor" / "llama.cpp"
    if not path.exists():
        pytest.skip("built from another llama.cpp than vendor/'s")
    return path
