"""Find phrases that CONTRIBUTING.md's rules for plain English replace, in comments, docstrings, messages and documents.

    python cmake/check_words.py [FOLDER_OR_FILE ...]

Without arguments all tracked files are checked. Prints file, line, phrase and a suggestion, and exits with 1.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Phrase, and the words to use instead.
PHRASES = {
    r"(?<!there )\b(?:is|are|was|were) no (?!longer\b|more than\b|less than\b|larger\b|smaller\b)": "is not a …",
    r"\b(?:is|are|was|were) (?-i:none)\b": "is not …; does not exist",
    r"\b(?:has|have|had|knows|know|gives|takes) none\b": "does not have any; does not know any",
    r"\b(?:has|have) (?:it|them) not\b": "does not have it",
    r"\bheld to\b(?! be\b)": "constrained to",
    r"\b(?:told|tells|tell) of\b": "warned about; reports",
    r"\b(?:comes|come|came) by\b": "gets",
    r"\b(?:goes|go|went) by what\b": "uses",
    r"\b(?:does|do|did|will) not come up\b|\bcannot come up\b": "does not start",
    r"\b(?:sees|see|saw) to it\b": "ensures",
    r"\b(?:left|leave|leaves|leaving) away\b": "left out",
    r"\banew\b": "again",
    r"\bown accord\b": "by itself",
    r"\binto its mouth\b": "prefills",
    r"\b(?:is|are|was|were) to be had\b": "is available",
    r"\blikes best\b": "prefers",
    r"\band kin\b|\bits kin\b": "and similar",
    r"\bthe one that is\b": "(drop it)",
}

# A comment, docstring or document paragraph must not start like this.
OPENINGS = {
    r"(?:Give|Gives|Say|Says|Tell|Tells) (?!it\b|up\b|how the weather|how late|what time)": "Return …",
    r"What (?!to wear)(?![^.]*\?)": "a noun as the subject",
    r"Of (?:a|an|the|what|each|those|its|these) ": "a possessive, or a verb",
}

# (file, phrase as found): reason. Quotations, and words that mean something else there.
ALLOWED = {
    ("cmake/check_words.py", "*"): "lists the phrases",
    ("CONTRIBUTING.md", "*"): "lists some of the phrases",
    ("tests/test_words.py", "*"): "has some of the phrases, to find them",
}

Passage = tuple[int, str, bool]  # first line, text, and whether it is a comment, docstring or document

# Other people's texts, and data.
SKIPPED = re.compile(r"^(?:vendor/llama\.cpp/|examples/corpus/|benchmarks/questions\.jsonl|LICENSE)")
NAMES = {"Makefile"}
SUFFIXES = {".py", ".pyi", ".md", ".h", ".cpp", ".c", ".cmake", ".toml", ".yml", ".txt"}


def main() -> int:
    """Check the files, print all hits, and return the exit status."""
    hits = [hit for path in tracked(sys.argv[1:]) for hit in check(path)]
    for hit in hits:
        print(hit)
    if hits:
        print(f"{len(hits)} phrases to replace; see 'Plain English' in CONTRIBUTING.md", file=sys.stderr)
    return 1 if hits else 0


def tracked(arguments: list[str]) -> list[Path]:
    """Return the files to check."""
    command = ["git", "ls-files", "-co", "--exclude-standard", *arguments]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    paths = [Path(name) for name in names if not SKIPPED.match(name)]
    return [path for path in paths if (path.suffix in SUFFIXES or path.name in NAMES) and (ROOT / path).is_file()]


def check(path: Path) -> Iterator[str]:
    """Yield a line for each phrase in a file that is not allowed."""
    if (str(path), "*") in ALLOWED:
        return
    text = (ROOT / path).read_text("utf-8")
    for line, passage, is_prose in passages(path, text):
        for pattern, better in PHRASES.items():
            for match in re.finditer(pattern, passage, re.IGNORECASE):
                if (str(path), match[0].lower().strip()) not in ALLOWED:
                    yield report(path, line, passage, match, better)
        for pattern, better in OPENINGS.items() if is_prose else ():
            opening = re.match(pattern, passage)
            if opening and (str(path), opening[0].strip()) not in ALLOWED:
                yield report(path, line, passage, opening, better)


def report(path: Path, line: int, passage: str, match: re.Match[str], better: str) -> str:
    """Return the text for a hit."""
    at = line + passage.count("\n", 0, match.start())
    around = passage[max(0, match.start() - 30) : match.end() + 30].replace("\n", " ")
    return f"{path}:{at}: '{match[0].strip()}' in '…{around}…'; write: {better}"


def passages(path: Path, text: str) -> Iterable[Passage]:
    """Return the comments, strings or paragraphs of a file."""
    if path.suffix in (".py", ".pyi"):
        return python_passages(text)
    if path.suffix in (".h", ".cpp", ".c"):
        return cpp_passages(text)
    if path.suffix == ".md":
        return paragraphs(re.sub(r"```.*?```", lambda code: "\n" * code[0].count("\n"), text, flags=re.DOTALL))
    return comments(text, "#")


def python_passages(text: str) -> Iterator[Passage]:
    """Yield the strings and comments of Python code; lines of comment that follow each other are one passage."""
    yield from comments(text, "#")
    string_kinds = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in string_kinds:
            is_prose = token.string.lstrip("rbfuRBFU").startswith('"""')
            yield token.start[0], re.sub(r'^[a-zA-Z]*("""|\'\'\'|"|\')', "", token.string), is_prose


def cpp_passages(text: str) -> Iterator[Passage]:
    """Yield the comments and strings of C++ code."""
    yield from comments(text, "//")
    for match in re.finditer(r'"(?:\\.|[^"\\\n])*"(?:\s*"(?:\\.|[^"\\\n])*")*', text):
        yield text.count("\n", 0, match.start()) + 1, re.sub(r'"\s*"', "", match[0])[1:-1], False


def comments(text: str, mark: str) -> Iterator[Passage]:
    """Yield comments; whole lines of comment that follow each other are one passage."""
    lines: list[str] = []
    start = 0
    for number, line in enumerate([*text.splitlines(), ""], 1):
        whole = re.match(rf"\s*{mark} ?(.*)$", line)
        if whole:
            start = start or number
            lines.append(whole[1])
            continue
        if lines:
            yield start, "\n".join(lines), True
            lines, start = [], 0
        behind = re.search(rf"\s{mark} (.*)$", line)
        if behind:
            yield number, behind[1], True


def paragraphs(text: str) -> Iterator[Passage]:
    """Yield the paragraphs, list items and table rows of Markdown."""
    line = 1
    for part in re.split(r"(\n\s*\n|\n(?=[*|-] ))", text):
        yield line + len(part) - len(part.lstrip("\n")), part.strip().lstrip("*|- "), True
        line += part.count("\n")


if __name__ == "__main__":
    sys.exit(main())
