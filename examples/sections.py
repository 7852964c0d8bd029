"""Reads a folder for the rag_ examples: Markdown, text, HTML and PDF files, cut at their headings or pages."""

import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*$|^[ \t]*(?:```|~~~)", re.MULTILINE)
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # its marks


@dataclass(frozen=True)
class Section:
    """A part of a file, with the headings above it and the file's title, and its text in one line."""

    file: str
    heading: str
    title: str
    text: str


def read_sections(folder: Path) -> tuple[list[Section], list[str]]:
    """Return the sections of all files that can be read, and for each other file its name and the reason."""
    sections: list[Section] = []
    skipped: list[str] = []
    for file in find_files(folder, lambda error: skipped.append(f"{show(error.filename, folder)}: {error.strerror}")):
        name = show(file, folder)
        try:
            if not file.is_file():  # a broken link, a link to a folder, a pipe
                raise ValueError("it is not a file")
            found = [Section(name, *part) for part in READERS[file.suffix.lower()](file) if part[-1]]
        except Exception as error:  # damaged and encrypted files have errors of many kinds
            reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", None)
            skipped.append(f"{name}: {reason or error or type(error).__name__}")
            continue
        sections += found
        if not found:
            is_pdf = file.suffix.lower() == ".pdf"
            skipped.append(f"{name}: it has no text{'; scanned pages need OCR first' if is_pdf else ''}")
    return sections, skipped


def find_files(folder: Path, onerror: Callable[[OSError], None]) -> Iterator[Path]:
    """Yield the files that have a reader, and links to folders, which are not followed. Hidden ones are left out."""
    for parent, folders, files in os.walk(folder, onerror=onerror):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = [Path(parent, name) for name in sorted(files) if not name.startswith(".")]
        yield from (path for path in paths if path.suffix.lower() in READERS)
        yield from (path for path in (Path(parent, name) for name in folders) if path.is_symlink())


def show(path: str | Path, folder: Path) -> str:
    """Return a path below the folder as text, also if its name is not UTF-8."""
    return os.fsencode(os.path.relpath(path, folder)).decode("utf-8", "replace")


def split_sentences(pieces: Iterable[str]) -> Iterator[str]:
    """Join a stream of text into sentences; each is yielded as soon as it is complete."""
    pending = ""
    for piece in pieces:
        pending += piece
        *whole, pending = re.split(r"(?<=[.!?])\s+", pending)
        yield from (" ".join(sentence.split()) for sentence in whole if sentence.strip())
    if pending.strip():
        yield " ".join(pending.split())


def allow_any_output() -> None:
    """Replace characters that the terminal's or pipe's encoding does not have, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def read_data(file: Path) -> bytes:
    data = file.read_bytes()
    if b"\0" in data and not data.startswith(UTF_16):
        raise ValueError("it is not a text file")
    return data


def read_text(file: Path) -> str:
    """Return a text in UTF-8, or in UTF-16 with its mark. Other encodings are an error: a guess may be wrong."""
    data = read_data(file)
    return data.decode("utf-16" if data.startswith(UTF_16) else "utf-8-sig")


def markdown_parts(text: str, stem: str) -> Iterator[tuple[str, str, str]]:
    """Yield heading, title and text of each section. Signs of headings in code are not headings."""
    titles = [""] * 7
    start = 0
    in_code = False
    for match in [*HEADING.finditer(text), None]:
        if match is not None and match[1] is None:
            in_code = not in_code
            continue
        if match is not None and in_code:
            continue
        body = text[start : match.start() if match else None]
        yield ", ".join(filter(None, titles[2:])) or titles[1], titles[1] or stem, " ".join(body.split())
        if match is not None:
            level, start = len(match[1]), match.end()
            titles[level:] = [match[2], *[""] * (6 - level)]


def read_markdown(file: Path) -> Iterator[tuple[str, str, str]]:
    return markdown_parts(read_text(file), file.stem)


def read_plain(file: Path) -> Iterator[tuple[str, str, str]]:
    yield "", file.stem, " ".join(read_text(file).split())


def read_html(file: Path) -> Iterator[tuple[str, str, str]]:
    from bs4 import BeautifulSoup  # pip install beautifulsoup4

    page = BeautifulSoup(read_data(file), "html.parser")
    for element in page(["script", "style", "nav", "head"]):
        element.decompose()
    for heading in page([f"h{level}" for level in range(1, 7)]):
        heading.replace_with(f"\n\n{'#' * int(heading.name[1])} {' '.join(heading.get_text(' ').split())}\n\n")
    return markdown_parts(page.get_text("\n"), file.stem)


def read_pdf(file: Path) -> Iterator[tuple[str, str, str]]:
    from pypdf import PdfReader  # pip install pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it cannot read is an exception
    for number, page in enumerate(PdfReader(file).pages, start=1):
        yield f"page {number}", file.stem, " ".join(page.extract_text().split())


READERS: dict[str, Callable[[Path], Iterator[tuple[str, str, str]]]] = {
    **dict.fromkeys((".md", ".markdown"), read_markdown),
    **dict.fromkeys((".txt", ".text"), read_plain),
    **dict.fromkeys((".html", ".htm"), read_html),
    ".pdf": read_pdf,
}
