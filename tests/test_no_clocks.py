"""No test compares times: a busy machine would fail it. Tests count tokens, calls, jobs or turns of an event loop."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CLOCKS = re.compile(
    r"\b(monotonic|perf_counter|process_time|thread_time|clock_gettime|getrusage|cpu_times)(_ns)?\b"
    r"|\btime\.time(_ns)?\b|\btimeit\b|\bos\.times\b|\bdatetime\.now\b"
)


def clocks_in(source: str) -> list[str]:
    """Return the line and the name of each clock that some code reads, programs in its strings included."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            text = " ".join(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Name):
            text = node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        found += [f"line {node.lineno}: {match[0]}" for match in CLOCKS.finditer(text)]
    return found


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(TESTS.rglob("*.py")) if path != Path(__file__)],
    ids=lambda path: str(path.relative_to(TESTS)),
)
def test_no_test_reads_clock(path: Path) -> None:
    assert clocks_in(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\nstart = time.perf_counter()",
        "from time import monotonic",
        "run('import time; print(time.process_time())')",
        "import time\ntime.time() < 3",
    ],
)
def test_clock_is_found(source: str) -> None:
    assert clocks_in(source)


def test_sleeping_is_not_reading_clock() -> None:
    assert clocks_in("import time\ntime.sleep(0.1)\nx.timings.seconds") == []
