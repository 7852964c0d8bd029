"""The notebook, run by Jupyter's own client in a kernel of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
nbformat = pytest.importorskip("nbformat", reason="nbformat, nbclient and ipykernel are in the extra `test`")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

pytestmark = [
    pytest.mark.usefixtures("smollm2_path"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Jupyter's own
]


@pytest.fixture(scope="module")
def ran() -> list[Any]:
    """The cells with code, with their outputs."""
    notebook = nbformat.read(EXAMPLES / "rag.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(EXAMPLES)}}).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(cell: Any, stream: str) -> str:
    return "".join(output.text for output in cell.outputs if output.get("name") == stream)


def test_answer_cites_a_passage_of_the_corpus(ran: list[Any]) -> None:
    (found,) = [cell for cell in ran if "compress_documents" in cell.source]
    assert text_of(found, "stdout").startswith("[1] cancellation.md: ")
    (cited,) = [cell for cell in ran if "class Cited" in cell.source]
    assert text_of(cited, "stdout").strip()[-3:] in {"[1]", "[2]", "[3]"}


def test_progress_is_one_line(ran: list[Any]) -> None:
    (embedded,) = [cell for cell in ran if "show_progress" in cell.source]
    bar = text_of(embedded, "stderr")
    assert "100%" in bar
    assert bar.rstrip("\n").count("\n") == 0
    assert "\x1b" not in bar


def test_stored_notebook_has_no_outputs() -> None:
    notebook = nbformat.read(EXAMPLES / "rag.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert [cell.outputs for cell in notebook.cells if cell.cell_type == "code" and cell.outputs] == []
