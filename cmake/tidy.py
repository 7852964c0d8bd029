"""Runs clang-tidy on the C++ files of xllama with the checks of .clang-tidy.

The build has left a compile_commands.json, which says how each file is compiled. Files under native/overrides/ are
left out: most of them include a source file of llama.cpp, whose warnings would be reported as ours.

    python cmake/tidy.py [FILE ...]
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NATIVE = ROOT / "src" / "xlc_core" / "native"
GCC_ONLY = ("-mtls-dialect=", "-fno-fat-lto-objects", "-flto")


def all_commands() -> list[dict[str, str]]:
    """Return the entries of the build folder that was configured last, for our files and overrides."""
    found = sorted((ROOT / "build").glob("*/compile_commands.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        sys.exit("there is no build/*/compile_commands.json; build first: pip install -e .")
    entries = json.loads(found[-1].read_text("utf-8"))
    ours = {entry["file"]: entry for entry in entries if Path(entry["file"]).is_relative_to(NATIVE)}
    return [entry for file, entry in ours.items() if Path(file).exists()]


def newest_commands() -> list[dict[str, str]]:
    """Return those of our files that are not overrides."""
    return [entry for entry in all_commands() if not Path(entry["file"]).is_relative_to(NATIVE / "overrides")]


def for_clang(entry: dict[str, str]) -> dict[str, object]:
    """Rewrite one entry for clang: without the launcher, GCC's own flags, and the folders of a build that is gone."""
    import nanobind

    words = shlex.split(entry["command"])
    while not re.search(r"(\+\+|cc|clang|gcc)(-\d+)?(\.exe)?$", words[0]):  # the launcher, such as ccache
        words.pop(0)
    # pip builds in a folder with its own nanobind and removes it afterwards.
    kept = [
        re.sub(r"^\S*/nanobind/include$", nanobind.include_dir(), word)
        for word in words
        if not word.startswith(GCC_ONLY)
    ]
    return {"directory": entry["directory"], "file": entry["file"], "arguments": kept}


def check(file: str, commands: str) -> tuple[str, int, str]:
    """Run clang-tidy on one file; return it, the exit code and what was printed."""
    tool = Path(sysconfig.get_path("scripts")) / "clang-tidy"
    command = [str(tool), "-p", commands, "--quiet", "--extra-arg=-Wno-unknown-warning-option", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return file, done.returncode, done.stdout + (done.stderr if done.returncode and not done.stdout else "")


def main() -> None:
    """Check the files that were named, or all of ours."""
    wanted = {str(Path(name).resolve()) for name in sys.argv[1:]}
    entries = [for_clang(entry) for entry in newest_commands() if not wanted or entry["file"] in wanted]
    failed = 0
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        (Path(folder) / "compile_commands.json").write_text(json.dumps(entries), "utf-8")
        for file, code, output in pool.map(lambda entry: check(str(entry["file"]), folder), entries):
            if code:
                failed += 1
                print(f"{Path(file).relative_to(ROOT)}:\n{output}", flush=True)
    print(f"clang-tidy: {len(entries)} files, {failed} with findings")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
