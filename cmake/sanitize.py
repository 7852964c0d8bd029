"""Runs tests with the extension built by a sanitizer's preset of CMakePresets.json.

    python cmake/sanitize.py asan|tsan [--jobs N] [--build-only] [PYTEST_ARGUMENT ...]

The build stays in build/asan or build/tsan, beside the usual one. Python finds it in build/<preset>/site, where the
packages of src/ are linked, so that the environment is not changed. Each file of tests has a process of its own. All
findings are collected in build/<preset>/findings, also those of processes that tests start, and printed at the end.
Tests with the marker `no_sanitizer` are skipped; each says why.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUPPRESSIONS = ROOT / "tests" / "sanitizers"

# Tests of code that runs in several threads, reads foreign bytes, or frees memory that others use.
TESTS = (
    *("tests/native", "tests/reliability", "tests/retrieval", "tests/attacks"),
    *(
        "tests/constraints/test_checker.py",
        "tests/constraints/test_closing.py",
        "tests/constraints/test_generations.py",
    ),
    *("tests/engine/test_async.py", "tests/engine/test_lifecycle.py", "tests/engine/test_sessions.py"),
    *("tests/engine/test_sleep.py", "tests/engine/test_deciding.py", "tests/engine/test_lora.py"),
    *("tests/engine/test_exit.py", "tests/engine/test_closed_loops.py", "tests/engine/test_shared.py"),
    *("tests/generation/test_streams.py", "tests/generation/test_generation.py", "tests/generation/test_overflow.py"),
)
LIBRARIES = {"asan": ("libasan.so", "libubsan.so"), "tsan": ("libtsan.so",)}


# `{log}` is the start of a file's name. Undefined behaviour and races are reported, and the process goes on; after a
# wrong access to memory it cannot.
OPTIONS = {
    "asan": {
        # Leaks: Python frees little at its end. Threads of tests are many, and each has a quarantine.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=6144:quarantine_size_mb=64"
        ":handle_segv=2:handle_sigbus=2:log_path={log}",  # 2: Python's faulthandler does not take them over
        "UBSAN_OPTIONS": f"print_stacktrace=1:suppressions={SUPPRESSIONS / 'ubsan.txt'}:log_path={{log}}",
        "PYTHONMALLOC": "malloc",  # so that accesses beyond Python's objects are seen
    },
    "tsan": {
        # Python and its other extensions are not instrumented: only their locks are known, not what they write.
        "TSAN_OPTIONS": f"suppressions={SUPPRESSIONS / 'tsan.txt'}:log_path={{log}}:exitcode=0"
        ":ignore_noninstrumented_modules=1",
    },
}
# Processes are several times slower, those that tests start too.
SITE = """
import subprocess, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "ScikitBuildRedirectingFinder"]

def _patient(method):
    def waiting(self, *arguments, timeout=None, **options):
        return method(self, *arguments, timeout=None if timeout is None else 20 * timeout, **options)
    return waiting

subprocess.Popen.communicate = _patient(subprocess.Popen.communicate)
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
        quiet = subprocess.DEVNULL if "--install" in command else None
        subprocess.run(command, cwd=ROOT, check=True, stdout=quiet)
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


def files_of(arguments: list[str]) -> list[str]:
    """Return the files of tests in these files and folders."""
    found: list[str] = []
    for argument in arguments:
        path = ROOT / argument.partition("::")[0]
        inside = sorted(path.rglob("test_*.py")) if path.is_dir() else []
        found += [str(file.relative_to(ROOT)) for file in inside] or [argument]
    return found


def findings_in(folder: Path) -> Counter[str]:
    """Return each different finding with its number."""
    found: Counter[str] = Counter()
    for path in sorted(folder.iterdir()):
        text = path.read_text(errors="replace")
        for report in re.split(r"\n(?=[^\n]*runtime error: )|\n(?===\d+==ERROR)|=={9,}\n(?=WARNING)", text):
            if "runtime error:" in report or "ERROR: " in report or "WARNING: ThreadSanitizer" in report:
                found[re.sub(r"0x[0-9a-f]{6,}|(?<=\(pid=)\d+|==\d+==", "…", report.strip())] += 1
    return found


def main() -> int:
    """Build and run; return 1 if a test failed or a sanitizer found something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", choices=OPTIONS)
    parser.add_argument("--jobs", type=int, default=1, help="files of tests at the same time")
    parser.add_argument("--build-only", action="store_true")
    asked, options = parser.parse_known_args()
    site = build(asked.preset)
    if asked.build_only:
        return 0
    findings = ROOT / "build" / asked.preset / "findings"
    shutil.rmtree(findings, ignore_errors=True)
    findings.mkdir()
    chosen = [one for one in options if one.startswith("tests")]
    environment = {
        **os.environ,
        **{name: value.format(log=findings / "log") for name, value in OPTIONS[asked.preset].items()},
        "XLLAMA_SANITIZER": asked.preset,
        "PYTHONPATH": str(site),
        "LD_PRELOAD": preloaded(asked.preset),
        "PYTHONFAULTHANDLER": "",
    }

    def run(file: str) -> int:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "1800", file]
        command += [one for one in options if one not in chosen]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        print(f"{file}: {done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ''}", flush=True)
        nothing_to_do = done.returncode == 5  # pytest's code
        if done.returncode and not nothing_to_do:
            print(done.stdout[-6000:], done.stderr[-3000:], flush=True)
        return 0 if nothing_to_do else done.returncode

    with ThreadPoolExecutor(asked.jobs) as pool:
        codes = list(pool.map(run, files_of(chosen or list(TESTS))))
    found = findings_in(findings)
    for report, n in found.most_common():
        print(f"\n--- {n} ×\n{report}")
    n_failed = sum(map(bool, codes))
    print(f"\n{asked.preset}: {len(codes)} files of tests, {n_failed} failed; {len(found)} different findings")
    return 1 if n_failed or found else 0


if __name__ == "__main__":
    sys.exit(main())
