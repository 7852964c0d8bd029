"""Runs tests with the extension built by a sanitizer's preset of CMakePresets.json.

    python cmake/sanitize.py asan|tsan [--jobs N] [--build-only | --no-build] [PYTEST_ARGUMENT ...]

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
THREADS = (
    *("tests/native/test_abort_guard.py", "tests/native/test_encoder_kernels.py", "tests/native/test_long_text.py"),
    *("tests/native/test_expert_products.py", "tests/native/test_flash_attention.py"),
    *("tests/native/test_retrieval_native.py", "tests/native/test_weight_products.py"),
    *("tests/engine/test_async.py", "tests/engine/test_closed_loops.py", "tests/engine/test_exit.py"),
    *("tests/engine/test_lifecycle.py", "tests/engine/test_sessions.py", "tests/engine/test_shared.py"),
    *("tests/engine/test_sleep.py", "tests/generation/test_pool.py", "tests/generation/test_steps.py"),
    "tests/generation/test_streams.py",
    *("tests/reliability/test_exhaustion.py", "tests/reliability/test_mixed_load.py"),
    *("tests/retrieval/test_embed_stream.py", "tests/retrieval/test_retrieval_engine.py"),
    *("tests/retrieval/test_retrieval_fairness.py", "tests/retrieval/test_retrieval_hard_inputs.py"),
    "tests/retrieval/test_retrieval_wrong_use.py",
)
BYTES = (
    *("tests/native/test_long_words.py", "tests/reliability", "tests/retrieval", "tests/attacks"),
    *("tests/constraints/test_checker.py", "tests/constraints/test_closing.py"),
    *("tests/constraints/test_generations.py", "tests/engine/test_deciding.py", "tests/engine/test_lora.py"),
    *("tests/generation/test_generation.py", "tests/generation/test_overflow.py"),
)
TESTS = {"asan": (*THREADS, *BYTES), "tsan": THREADS}
LIBRARIES = {"asan": ("libasan.so", "libubsan.so"), "tsan": ("libtsan.so",)}
# Faults that are planted before a run, each with words of its report.
PLANTED = {
    "asan": {"overflow": "signed integer overflow", "read_beyond": "heap-buffer-overflow"},
    "tsan": {"race": "data race"},
}

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
# Processes are several times slower, those that tests start too. UBSan's options set the file of AddressSanitizer's
# reports only, as both libraries have a function of that name: its own is found through its handle.
SITE = """
import os, subprocess, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "ScikitBuildRedirectingFinder"]

def _patient(method):
    def waiting(self, *arguments, timeout=None, **options):
        return method(self, *arguments, timeout=None if timeout is None else 20 * timeout, **options)
    return waiting

subprocess.Popen.communicate = _patient(subprocess.Popen.communicate)

if os.environ.get("XLLAMA_SANITIZER") == "asan":
    import ctypes

    ctypes.CDLL("libubsan.so.1").__sanitizer_set_report_path(os.environb[b"XLLAMA_FINDINGS"])
"""


def site_of(preset: str) -> Path:
    """Return the folder to put on Python's path."""
    return ROOT / "build" / preset / "site"


def build(preset: str) -> None:
    """Build the extension, and put it beside links to the packages."""
    folder = ROOT / "build" / preset
    site = site_of(preset)
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


def preloaded(preset: str) -> str:
    """Return the sanitizer's libraries, which must be loaded before Python's own."""
    compiler = shutil.which("gcc") or "cc"
    found = []
    for name in (*LIBRARIES[preset], "libstdc++.so"):
        done = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        found.append(str(Path(done.stdout.strip()).resolve()))
    return " ".join(found)


def files_of(arguments: list[str]) -> list[str]:
    """Return the files of tests in these files and folders, each once."""
    found: list[str] = []
    for argument in arguments:
        path = ROOT / argument.partition("::")[0]
        inside = sorted(path.rglob("test_*.py")) if path.is_dir() else []
        found += [str(file.relative_to(ROOT)) for file in inside] or [argument]
    return list(dict.fromkeys(found))


def findings_in(folder: Path) -> Counter[str]:
    """Return each different finding with its number."""
    found: Counter[str] = Counter()
    for path in sorted(folder.iterdir()):
        text = path.read_text(errors="replace")
        for report in re.split(r"\n(?=[^\n]*runtime error: )|\n(?===\d+==ERROR)|=={9,}\n(?=WARNING)", text):
            if re.search(r"runtime error:|ERROR: |WARNING: ThreadSanitizer|==\d+==\w+Sanitizer: ", report):
                found[re.sub(r"0x[0-9a-f]{6,}|(?<=\(pid=)\d+|==\d+==|(?<=value )-?\d+", "…", report.strip())] += 1
    return found


def require_findings(preset: str, environment: dict[str, str]) -> None:
    """Stop if a fault that is planted is not found: then a run without findings would not mean anything."""
    findings = Path(environment["XLLAMA_FINDINGS"]).parent
    library = ROOT / "build" / preset / "planted.so"
    flag = {"asan": "-fsanitize=address,undefined", "tsan": "-fsanitize=thread"}[preset]
    compiler = shutil.which("g++") or "c++"
    source = SUPPRESSIONS / "planted.cpp"
    subprocess.run([compiler, "-O1", "-g", "-fPIC", "-shared", flag, source, "-o", library], check=True)
    for function, words in PLANTED[preset].items():
        code = f"import xlc_core, ctypes; ctypes.CDLL({str(library)!r}).{function}(5)"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=False)
        if not any(words in report for report in findings_in(findings)):
            raise SystemExit(f"{preset} does not find a planted fault: {function} in {source}")
        for path in findings.iterdir():
            path.unlink()


def main() -> int:
    """Build and run; return 1 if a test failed or a sanitizer found something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", choices=OPTIONS)
    parser.add_argument("--jobs", type=int, default=1, help="files of tests at the same time")
    building = parser.add_mutually_exclusive_group()
    building.add_argument("--build-only", action="store_true")
    building.add_argument("--no-build", action="store_true", help="use the extension that was built before")
    asked, options = parser.parse_known_args()
    if not asked.no_build:
        build(asked.preset)
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
        "XLLAMA_FINDINGS": str(findings / "undefined"),
        "PYTHONPATH": str(site_of(asked.preset)),
        "LD_PRELOAD": preloaded(asked.preset),
        "PYTHONFAULTHANDLER": "",
    }
    require_findings(asked.preset, environment)

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
        codes = list(pool.map(run, files_of(chosen or list(TESTS[asked.preset]))))
    found = findings_in(findings)
    for report, n in found.most_common():
        print(f"\n--- {n} ×\n{report}")
    n_failed = sum(map(bool, codes))
    print(f"\n{asked.preset}: {len(codes)} files of tests, {n_failed} failed; {len(found)} different findings")
    return 1 if n_failed or found else 0


if __name__ == "__main__":
    sys.exit(main())
