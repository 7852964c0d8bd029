"""The reader of folders that the RAG examples share: files of every kind, and those that cannot be read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from helpers.module_files import load_file
from helpers.pdf_files import write_pdf

EXAMPLES = Path(__file__).parents[2] / "examples"
sections = load_file(EXAMPLES / "sections.py")


def parts(folder: Path) -> list[tuple[str, str, str]]:
    found, skipped = sections.read_sections(folder)
    assert skipped == []
    return [(", ".join(filter(None, (one.file, one.heading))), one.title, one.text) for one in found]


def test_markdown_is_cut_at_headings_of_every_level(tmp_path: Path) -> None:
    tmp_path.joinpath("tea.md").write_text(
        "# Tea\nAbout tea.\n\n## Green\nIt is green.\n### Japan\nSencha.\n## Black ##\nIt is black.\n", encoding="utf-8"
    )
    assert parts(tmp_path) == [
        ("tea.md, Tea", "Tea", "About tea."),
        ("tea.md, Green", "Tea", "It is green."),
        ("tea.md, Green, Japan", "Tea", "Sencha."),
        ("tea.md, Black", "Tea", "It is black."),
    ]


def test_comments_in_code_are_not_headings(tmp_path: Path) -> None:
    text = "## Use\n\n```sh\n# a comment\nrun\n```\n\n* Or:\n\n  ~~~\n# another\n  ~~~\n ## End\n\nDone.\n"
    tmp_path.joinpath("a.md").write_text(text, encoding="utf-8")
    assert parts(tmp_path) == [
        ("a.md, Use", "a", "```sh # a comment run ``` * Or: ~~~ # another ~~~"),
        ("a.md, End", "a", "Done."),
    ]


def test_markdown_without_headings_and_text_are_one_section(tmp_path: Path) -> None:
    tmp_path.joinpath("a.md").write_text("Just text.\n\nMore text.\n", encoding="utf-8")
    tmp_path.joinpath("b.txt").write_text("# Not a heading\n", encoding="utf-8")
    tmp_path.joinpath("c.TXT").write_bytes("Öl".encode("utf-16"))
    tmp_path.joinpath("e.md").write_bytes("\ufeff# Öl\nIst Öl.".encode())
    assert parts(tmp_path) == [
        ("a.md", "a", "Just text. More text."),
        ("b.txt", "b", "# Not a heading"),
        ("c.TXT", "c", "Öl"),
        ("e.md, Öl", "Öl", "Ist Öl."),
    ]


def test_html_is_cut_at_headings(tmp_path: Path) -> None:
    tmp_path.joinpath("a.html").write_text(
        "<html><head><title>T</title><style>p {}</style></head><body><nav>Menu</nav><h1>Tea <b>time</b></h1>"
        "<p>Hot &amp; good.</p><script>x()</script><h2>Green</h2><ul><li>One.</li><li>Two.</li></ul></body></html>",
        encoding="utf-8",
    )
    assert parts(tmp_path) == [
        ("a.html, Tea time", "Tea time", "Hot & good."),
        ("a.html, Green", "Tea time", "One. Two."),
    ]


def test_pdf_is_cut_at_pages(tmp_path: Path) -> None:
    write_pdf(tmp_path / "a.pdf", "Tea is hot.", "Ice is cold.")
    assert parts(tmp_path) == [("a.pdf, page 1", "a", "Tea is hot."), ("a.pdf, page 2", "a", "Ice is cold.")]


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    write_pdf(tmp_path / "locked.pdf", "Secret.", password="x")
    write_pdf(tmp_path / "scanned.pdf", "")
    tmp_path.joinpath("broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    tmp_path.joinpath("binary.txt").write_bytes(b"\0\1\2")
    tmp_path.joinpath("binary.html").write_bytes(b"\x89PNG\0\0 <p>x</p>")
    tmp_path.joinpath("cyrillic.txt").write_bytes("Чай".encode("koi8-r"))
    tmp_path.joinpath("nothing.html").write_bytes(b"")
    tmp_path.joinpath("empty.md").write_text("# Title only\n", encoding="utf-8")
    tmp_path.joinpath("good.md").write_text("Fine.", encoding="utf-8")
    tmp_path.joinpath("image.png").write_bytes(b"\0")
    tmp_path.joinpath(".git").mkdir()
    tmp_path.joinpath(".git", "notes.md").write_text("Hidden.", encoding="utf-8")
    found, skipped = sections.read_sections(tmp_path)
    assert [one.file for one in found] == ["good.md"]
    named = " ".join(sorted(reason.partition(":")[0] for reason in skipped))
    assert named == "binary.html binary.txt broken.pdf cyrillic.txt empty.md locked.pdf nothing.html scanned.pdf"
    assert all(reason.partition(": ")[2] for reason in skipped)
    assert "cyrillic.txt: it is not UTF-8" in skipped
    assert "scanned.pdf: it has no text; scanned pages need OCR first" in skipped


@pytest.mark.skipif(sys.platform == "win32", reason="its links and names are others")
def test_links_pipes_and_folders_are_not_read_as_files(tmp_path: Path) -> None:
    tmp_path.joinpath("folder.md").mkdir()
    tmp_path.joinpath("folder.md", "a.txt").write_text("Deep.", encoding="utf-8")
    tmp_path.joinpath("link.md").symlink_to(tmp_path / "folder.md" / "a.txt")
    tmp_path.joinpath("dangling.md").symlink_to(tmp_path / "nowhere")
    tmp_path.joinpath("itself.md").symlink_to("itself.md")
    tmp_path.joinpath("folder.md", "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.txt")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/t\xe9a.txt")).write_text("Old name.", encoding="utf-8")
    found, skipped = sections.read_sections(tmp_path)
    assert [(one.file, one.text) for one in found] == [
        ("link.md", "Deep."),
        ("t\ufffda.txt", "Old name."),
        ("folder.md/a.txt", "Deep."),
    ]
    assert sorted(skipped) == [
        f"{name}: it is not a file" for name in ("dangling.md", "folder.md/up", "itself.md", "pipe.txt")
    ]


@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="another user is needed")
def test_files_without_permission_are_named() -> None:
    program = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import sections
sections.read_sections(Path(sys.argv[1]))  # imports what another user may not read
os.setuid(65534)
found, skipped = sections.read_sections(Path(sys.argv[1]))
assert [one.text for one in found] == ["Open."], found
assert sorted(skipped) == ["closed.md: Permission denied", "folder: Permission denied"], skipped
"""
    with tempfile.TemporaryDirectory() as name:  # tmp_path is below a folder that only its owner may enter
        folder = Path(name)
        folder.chmod(0o755)
        folder.joinpath("open.md").write_text("Open.", encoding="utf-8")
        folder.joinpath("closed.md").touch(mode=0o600)
        folder.joinpath("folder").mkdir(mode=0o700)
        subprocess.run([sys.executable, "-c", program, folder, EXAMPLES], check=True, timeout=60)


def test_output_needs_no_utf8() -> None:
    program = "import sections; sections.allow_any_output(); print('T\\u00e4e \\u2603')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=EXAMPLES, env=environment, capture_output=True, timeout=60, check=True)
    assert done.stdout.split() == [b"T?e", b"?"]


def test_missing_reader_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    tmp_path.joinpath("a.pdf").write_bytes(b"%PDF-1.7")
    _, skipped = sections.read_sections(tmp_path)
    assert "pypdf" in skipped[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without a single ## heading."""
    path = tmp_path_factory.mktemp("documents")
    path.joinpath("tea.txt").write_text("Green tea is brewed at eighty degrees. It steeps for two minutes.\n")
    path.joinpath("bikes.md").write_text("A road tyre holds about seven bars of pressure.\n")
    path.joinpath("bread.html").write_text("<h1>Bread</h1><p>Rye bread is baked for an hour.</p>")
    write_pdf(path / "cheese.pdf", "Gouda ripens for four weeks.")
    manual = "The warranty lasts thirty months. It covers the boiler. Descale every eight weeks. E1 no water E2 heat"
    write_pdf(path / "manual.pdf", manual)
    path.joinpath("long.md").write_text("# Long\n" + "This sentence is about nothing at all. " * 200)
    path.joinpath("broken.pdf").write_bytes(b"nothing")
    return path


@pytest.mark.parametrize("example", ["rag_langchain.py", "rag_llamaindex.py"])
@pytest.mark.parametrize(
    ("question", "answer", "source"),
    [
        ("How hot should green tea be brewed?", "eighty degrees", "tea.txt ("),
        ("How long is rye bread baked?", "an hour", "bread.html, Bread ("),
        ("How long does Gouda ripen?", "four weeks", "cheese.pdf, page 1 ("),
        ("How long is the warranty?", "The warranty lasts thirty months. [1]", "manual.pdf, page 1 ("),
    ],
)
def test_examples_answer_from_files_of_every_kind(
    folder: Path, example: str, question: str, answer: str, source: Any, smollm2_path: Path
) -> None:
    command = [sys.executable, EXAMPLES / example, "--folder", folder, "--question", question]
    result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=240, check=False)
    assert result.returncode == 0, result.stderr
    assert answer in result.stdout
    assert f"[1] {source}" in result.stdout
    assert "skipped broken.pdf: " in result.stderr


@pytest.mark.parametrize("example", ["rag_langchain.py", "rag_llamaindex.py"])
def test_examples_say_when_no_passage_answers(folder: Path, example: str, smollm2_path: Path) -> None:
    command = [sys.executable, EXAMPLES / example, "--folder", folder, "--question", "Which vitamins are in spinach?"]
    result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=240, check=False)
    assert result.returncode == 0, result.stderr
    assert "No passage of these files seems to answer this." in result.stdout
    assert "Sources" not in result.stdout


@pytest.mark.parametrize("example", ["rag_langchain.py", "rag_llamaindex.py"])
def test_folder_without_readable_files_is_named(example: str, tmp_path: Path) -> None:
    tmp_path.joinpath("image.png").write_bytes(b"\0")
    command = [sys.executable, EXAMPLES / example, "--folder", tmp_path]
    result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=240, check=False)
    assert result.returncode != 0
    assert "no Markdown, text, HTML or PDF file" in " ".join(re.split(r"[\s│]+", result.stderr))
