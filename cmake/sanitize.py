"""Runs tests with the extension built by a sanitizer's preset of CMakePresets.json.

    python cmake/sanitize.py asan|tsan [PYTEST_ARGUMENT ...]

The build stays in build/asan or build/tsan, beside the usual one. Python finds it in build/<preset>/site, where the
packages of src/ are linked, so that the environment is not changed. The first finding ends the process that has it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUPPRESSIONS = ROOT / "tests" / "sanitizers"

# Tests of code that runs in several threads, reads foreign bytes, or frees memory that others use.
TESTS = (
    *("tests/native", "tests/reliability", "tests/retrieval", "tests/constraints/test_generations.py"),
    *("tests/engine/test_async.py", "tests/engine/test_lifecycle.py", "tests/engine/test_sessions.py"),
    *("tests/engine/test_sleep.py", "tests/engine/test_deciding.py", "tests/engine/test_lora.py"),
    *("tests/generation/test_streams.py", "tests/generation/test_generation.py", "tests/generation/test_overflow.py"),
)
LIBRARIES = {"asan": ("libasan.so", "libubsan.so"), "tsan": ("libtsan.so",)}
OPTIONS = {
    "asan": {
        # Leaks: Python frees little at its end. Threads of tests are many, and each has a quarantine.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=64",
        "UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:suppressions={SUPPRESSIONS / 'ubsan.txt'}",
        "PYTHONMALLOC": "malloc",  # so that accesses beyond Python's objects are seen
    },
    "tsan": {"TSAN_OPTIONS": f"halt_on_error=1:suppressions={SUPPRESSIONS / 'tsan.txt'}"},
}
SITE = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "ScikitBuildRedirectingFinder"]
"""


def build(preset: str) -> Path:
    """Build the extension and return the folder to put on Python's path."""
    folder = ROOT / "build" / preset
    site = folder / "site"
    for command in (
        ["cmake", "--preset", preset],
        ["cmake", "--build", "--preset", preset],
        ["cmake", "--install", str(folder), "--prefix", str(site)],
    ):
        subprocess.run(command, cwd=ROOT, check=True)
    for source in (ROOT / "src").iterdir():
        target = site / source.name
        target.mkdir(exist_ok=True)
        for entry in source.iterdir():
            if not (target / entry.name).exists():
                (target / entry.name).symlink_to(entry)
    (site / "sitecustomize.py").write_text(SITE)
    return site


def preloaded(preset: str) -> str:
    """Return the sanitizer's libraries, which must be loaded before Python's own."""
    compiler = shutil.which("gcc") or "cc"
    found = []
    for name in (*LIBRARIES[preset], "libstdc++.so"):
        done = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        found.append(str(Path(done.stdout.strip()).resolve()))
    return " ".join(found)


def main() -> None:
    """Build and run; the exit code is that of pytest."""
    preset, *arguments = sys.argv[1:]
    environment = {
        **os.environ,
        **OPTIONS[preset],
        "PYTHONPATH": str(build(preset)),
        "LD_PRELOAD": preloaded(preset),
        "PYTHONFAULTHANDLER": "",
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--timeout", "1800"]
    sys.exit(subprocess.run([*command, *(arguments or TESTS)], cwd=ROOT, env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
