"""Every Python block of the README and of docs/ runs as pasted, on small models under the names that the pages have."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.document_blocks import Block, blocks_of, run_blocks, split_by_packages, write_small_catalog
from helpers.pdf_files import write_pdf
from helpers.tiny_models import N_EMBD, random_pairs, write_byte_llama, write_control_vector, write_lora

ROOT = Path(__file__).parents[1]
PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if blocks_of(page)]


@pytest.fixture(scope="module")
def small_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_catalog(tmp_path_factory.mktemp("catalog"))


@pytest.fixture(scope="module")
def reader_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages say a reader has."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "corpus.txt").write_text("A llama grazes.\nRates rose.\n", "utf-8")
    (folder / "my-documents").mkdir()
    write_pdf(folder / "my-documents" / "lamp.pdf", "The warranty of the lamp is three years.", "It needs a bulb.")
    (folder / "my-documents" / "tea.md").write_text("# Tea\n\nGreen tea is steamed.\n", "utf-8")
    write_byte_llama(folder / "base-model.gguf")
    for name in ("support", "legal"):
        write_lora(folder / f"{name}.gguf", random_pairs("blk.0.attn_q.weight"))
    write_control_vector(folder / "cheerful.gguf", {1: np.ones(N_EMBD, np.float32)})
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_run_as_pasted(
    page: Path, small_catalog: Path, reader_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks, missing = split_by_packages(blocks_of(page))
    monkeypatch.setenv("XLLAMA_CATALOG", str(small_catalog))
    monkeypatch.chdir(reader_folder)
    run_blocks(blocks)
    if missing:
        pytest.skip(f"the other blocks ran; not installed here: {', '.join(sorted(missing))}")


def test_block_that_fails_names_page_and_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nx = 1\n```\n\nText.\n\n```python\ny = x\n1 / 0\n```\n", "utf-8")
    with pytest.raises(ZeroDivisionError) as caught:
        run_blocks(blocks_of(page))
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (str(page), 11)
    assert "pasted_page" not in sys.modules


def test_block_that_cannot_run_is_only_compiled() -> None:
    page = Path("page.md")
    run_blocks([Block(page, 1, "# Needs a model that nobody has.\n1 / 0\n")])
    with pytest.raises(SyntaxError):
        run_blocks([Block(page, 1, "# Needs a model that nobody has.\n1 +\n")])


def test_block_may_await() -> None:
    code = "import asyncio\nawait asyncio.sleep(0)\n1 / 0\n"
    with pytest.raises(ZeroDivisionError):
        run_blocks([Block(Path("page.md"), 1, code)])


def test_blocks_without_their_package_are_left_out() -> None:
    codes = [
        "import no_such_package as lost\n",
        "x = lost.x\n",
        "y = x\n",
        "z = 1\n",
        "# Needs luck.\nimport nothing\n",
    ]
    kept, missing = split_by_packages([Block(Path("page.md"), 1, code) for code in codes])
    assert [block.code for block in kept] == codes[3:]
    assert missing == {"no_such_package"}
