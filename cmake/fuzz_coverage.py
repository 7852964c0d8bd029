"""Searches for inputs that parsers of ours do not survive, guided by the code that each input reaches.

    python cmake/fuzz_coverage.py [--minutes N] [--build-only] [TARGET ...]

Targets in C++ are tests/fuzzing/native/*.cpp; they need Clang with libFuzzer, and are left out without it. Those in
Python are the functions of tests/fuzzing/targets.py, which need atheris. What was reached stays in
build/fuzz/corpus/<target> and is where the next search begins; an input that is a finding is written beside it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "fuzz"
TESTS = ROOT / "tests"
NATIVE = {f"native_{path.stem}": FOLDER / f"fuzz_{path.stem}" for path in (TESTS / "fuzzing" / "native").glob("*.cpp")}
SLOWEST = 30  # seconds that one input may take
MEMORY = 4096  # MiB


def compilers() -> dict[str, str] | None:
    """Return the environment for a build with Clang; None if it is not installed with libFuzzer."""
    for version in ("", *(f"-{n}" for n in range(30, 12, -1))):
        compiler = shutil.which(f"clang++{version}")
        if compiler is None or shutil.which(f"clang{version}") is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "a.cpp"
            source.write_text(
                'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }'
            )
            command = [compiler, "-fsanitize=fuzzer,address,undefined", str(source), "-o", str(source.with_suffix(""))]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return {"CC": f"clang{version}", "CXX": f"clang++{version}"}
    return None


def build() -> bool:
    """Build the targets in C++; return whether there is a compiler for them."""
    found = compilers()
    if found is None:
        print("Clang with libFuzzer is not installed (Debian: clang, libclang-rt-dev): targets in C++ are left out")
        return False
    environment = {**os.environ, **found}
    for command in (["cmake", "--preset", "fuzz"], ["cmake", "--build", "--preset", "fuzz"]):
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return True


def seeds(folder: Path) -> dict[str, list[bytes]]:
    """Return the first inputs of the targets; write the models that targets in C++ open to a folder."""
    sys.path.insert(0, str(TESTS))
    from fuzzing.native_seeds import native_seeds, write_models
    from fuzzing.targets import SEEDS

    write_models(folder)
    return {**SEEDS, **native_seeds()}


def search(target: str, minutes: float, models: Path, first: list[bytes]) -> tuple[str, bool]:
    """Search for some minutes; return a row of the table, and whether nothing was found."""
    corpus = FOLDER / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    findings = FOLDER / "findings"
    findings.mkdir(exist_ok=True)
    kept = sorted((TESTS / "fuzzing" / "findings" / target).glob("*"))
    for number, content in enumerate([*first, *(path.read_bytes() for path in kept)]):
        (corpus / f"seed-{number}").write_bytes(content)
    program = (
        [str(NATIVE[target])] if target in NATIVE else [sys.executable, str(TESTS / "fuzzing/with_atheris.py"), target]
    )
    arguments = [
        *(f"-max_total_time={60 * minutes:.0f}", f"-timeout={SLOWEST}", f"-rss_limit_mb={MEMORY}"),
        *(f"-artifact_prefix={findings / target}-", "-print_final_stats=1", "-use_value_profile=1", "-close_fd_mask=1"),
        *([f"-max_len={max(map(len, first)) + 4096}"] if first else []),
        str(corpus),
    ]
    environment = {
        **os.environ,
        "XLLAMA_FUZZ_MODEL": str(models / "model.gguf"),
        "XLLAMA_FUZZ_PROJECTOR": str(models / "projector.gguf"),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=2048",
        "UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:suppressions={TESTS / 'sanitizers' / 'ubsan.txt'}",
    }
    done = subprocess.run(
        [*program, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    sound = done.returncode == 0
    if not sound:
        said = [line for line in done.stderr.splitlines() if not re.match(r"#\d+\s|INFO: Instrumenting", line)]
        print(f"--- {target}", *said[-60:], sep="\n", flush=True)
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    reached = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", done.stderr)
    shown = [runs[1] if runs else "?", *(reached[-1] if reached else ("?", "?", "?")), "0" if sound else "1"]
    return f"| {target} | {' | '.join(shown)} |", sound


def chosen(names: list[str], has_compiler: bool) -> list[str]:
    """Return the targets to run."""
    sys.path.insert(0, str(TESTS))
    from fuzzing.targets import TARGETS

    in_python = list(TARGETS) if importlib.util.find_spec("atheris") else []
    if not in_python:
        print("atheris is not installed: targets in Python are left out")
    can_run: list[str] = [*in_python, *(sorted(NATIVE) if has_compiler else [])]
    return [name for name in can_run if not names or name in names]


def main() -> int:
    """Return 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2, help="for each target")
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("targets", nargs="*")
    asked = parser.parse_args()
    only_python = bool(asked.targets) and not any(name in NATIVE for name in asked.targets)
    has_compiler = False if only_python else build()
    if asked.build_only:
        return 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows, all_sound = [], True
    with tempfile.TemporaryDirectory() as folder:
        first = seeds(Path(folder))
        for target in chosen(asked.targets, has_compiler):
            row, sound = search(target, asked.minutes, Path(folder), first[target])
            rows.append(row)
            print(row, flush=True)
            all_sound = all_sound and sound
    print(
        "\n| target | inputs | edges | features | kept inputs | findings |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    print("\n".join(rows))
    return 0 if all_sound else 1


if __name__ == "__main__":
    sys.exit(main())
