"""The models that the shipped catalog names: their sources, their sizes, and docs/models.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from xlc_core import _native
from xlc_core.models import catalog, fitting
from xlc_core.models.hub import HubModel, pick_files
from xlc_core.models.prompts import RetrievalPrompts, _prompts_from_names

if TYPE_CHECKING:
    from xlc_core.models.catalog import CatalogEntry

ROOT = Path(__file__).parents[2]
WEIGHTS = (
    "Q2_K",
    "Q3_K_M",
    "Q4_0",
    "Q4_K",
    "Q4_K_S",
    "Q4_K_M",
    "Q5_K_M",
    "Q6_K",
    "Q8_0",
    "MXFP4",
    "F16",
    "FP16",
    "BF16",
)
# By pages of the models: a text before queries, before documents.
PROMPTED = {
    "bge-base-en-v1.5": ("Represent this sentence for searching relevant passages: ", ""),
    "mxbai-embed-large-v1": ("Represent this sentence for searching relevant passages: ", ""),
    "snowflake-arctic-embed-m-v1.5": ("Represent this sentence for searching relevant passages: ", ""),
    "snowflake-arctic-embed-l-v2.0": ("query: ", ""),
    "multilingual-e5-small": ("query: ", "passage: "),
    "nomic-embed-text-v2-moe": ("search_query: ", "search_document: "),
    "embeddinggemma-300m": ("task: search result | query: ", "title: none | text: "),
}


def shipped(kind: str | None = None, source: str = "") -> list[CatalogEntry]:
    found = [entry for entry in catalog.entries().values() if entry.source.startswith(source)]
    return [entry for entry in found if kind in (None, entry.kind)]


def test_names_are_lower_case_and_stated_once() -> None:
    headers = re.findall(r'^\["?([^]"]+)"?\]$', (ROOT / "src/xlc_core/models/catalog.toml").read_text("utf-8"), re.M)
    assert headers == [entry.name for entry in shipped()]
    assert [name.lower() for name in headers] == headers
    assert len(set(headers)) == len(headers) > 40


def test_source_names_one_file_of_a_repository() -> None:
    for entry in shipped(source="hf:"):
        model = HubModel.parse(entry.source)
        assert model.pick in WEIGHTS, entry.name  # without it another file is picked when the repository grows
        files = [f"model-{weights}.gguf" for weights in WEIGHTS]
        files += ["README.md", f"mmproj-model-{model.pick}.gguf", f"mtp-model-{model.pick}.gguf"]
        assert pick_files(model, files) == [f"model-{model.pick}.gguf"], entry.name
        assert f", {model.pick}: " in entry.description, entry.name


def test_figures_are_plausible() -> None:
    for entry in shipped(source="hf:"):
        assert entry.size_bytes is None, entry.name  # the hub's files may change, and this size is checked
        assert 20_000_000 < (entry.approx_size or 0) < 30_000_000_000, entry.name
        assert 512 <= (entry.n_ctx or 0) <= 262144, entry.name


@pytest.mark.parametrize("name", ["all-minilm-l6-v2", "xllama-rerank-mini"])
def test_context_is_that_of_the_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "models")
    entry = catalog.entries()[name]
    path = catalog.present_path(entry)
    assert path is not None
    assert _native.read_model_file(str(path)).n_ctx_train == entry.n_ctx
    assert fitting.model_size(entry) == path.stat().st_size == entry.size_bytes


def test_prompts_that_are_found_by_name_are_not_repeated() -> None:
    for entry in shipped("embedding"):
        known = _prompts_from_names([entry.name])
        assert entry.query_prompt is None or entry.query_prompt != known.query, entry.name
        assert entry.document_prompt is None or entry.document_prompt != known.document, entry.name
    found = {name: _prompts_from_names([name]) for name in PROMPTED}
    assert found == {name: RetrievalPrompts(*texts) for name, texts in PROMPTED.items()}


def test_memory_is_estimated_from_a_size() -> None:
    needed = fitting.estimated_memory(1_000_000_000)
    assert 1_000_000_000 < needed < 2_000_000_000
    assert fitting.fits_memory(1_000_000_000, needed) is True
    assert fitting.fits_memory(1_000_000_000, needed - 1) is False
    assert fitting.fits_memory(None, needed) is fitting.fits_memory(1_000_000_000, None) is None


def test_documents_list_the_catalog() -> None:
    lines = (ROOT / "docs" / "models.md").read_text("utf-8").splitlines()
    for kind in ("chat", "embedding", "reranker"):
        start = lines.index(f"<!-- catalog: {kind} -->")
        assert lines[start + 1 : start + 3] == ["", "| name | model | size | context | licence |"]
        table = lines[start + 4 : start + 4 + len(shipped(kind))]
        assert table == [_row(entry) for entry in shipped(kind)]
        assert lines[start + 4 + len(table)] == ""


def _row(entry: CatalogEntry) -> str:
    size = entry.size_bytes or entry.approx_size or 0
    shown = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
    return f"| `{entry.name}` | {entry.description} | {shown} | {entry.n_ctx:,} | {entry.license} |"
