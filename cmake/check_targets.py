"""Check that our C++ compiles for other systems, with their compilers and nothing but their headers.

    python cmake/check_targets.py [aarch64] [windows] [FILE ...]

The build has left a compile_commands.json. Each of our files, with llama.cpp's headers and the file that it may
override, is read by GCC for the target; no code is generated. Debian has the compilers: g++-aarch64-linux-gnu and
g++-mingw-w64-x86-64-posix. Windows has other Python headers, so the bindings are left out there.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tidy import NATIVE, ROOT, all_commands

# The compiler's prefix, and flags. Windows 10 is the oldest that llama.cpp supports.
TARGETS = {
    "aarch64": ("aarch64-linux-gnu-", ()),
    "windows": ("x86_64-w64-mingw32-", ("-D_WIN32_WINNT=0x0A00", "-U_GNU_SOURCE")),
}
SUFFIX = {"windows": "-posix"}
# Flags of the machine's own processor and system, and what is written.
DROPPED = re.compile(r"-m(arch|tune|avx|fma|f16c|bmi|amx|sse|tls|no-).*|-Wno-maybe-uninitialized|-fPIC|-pthread")


def command_for(target: str, entry: dict[str, str]) -> list[str]:
    """Return the command that reads a file for a target."""
    words = shlex.split(entry["command"])
    while not re.search(r"(\+\+|cc|gcc)(-\d+)?$", words[0]):  # the launcher, such as ccache
        words.pop(0)
    prefix, flags = TARGETS[target]
    compiler = prefix + ("gcc" if entry["file"].endswith(".c") else "g++") + SUFFIX.get(target, "")
    kept = [word for word in words[1 : words.index("-o")] if not DROPPED.fullmatch(word)]
    if target == "windows" and "/kernels/kernels_a" in entry["file"]:
        kept += [word for word in words if re.fullmatch(r"-m(avx.*|fma|f16c)", word)]
    return [compiler, *kept, *flags, "-fsyntax-only", entry["file"]]


def check(target: str, entry: dict[str, str]) -> str:
    """Read one file; return the first errors."""
    done = subprocess.run(
        command_for(target, entry), cwd=entry["directory"], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return ""
    return "\n".join([line for line in done.stderr.splitlines() if "error" in line][:5]) or done.stderr[:500]


def main() -> None:
    """Check the files that were named, or all, for the targets that were named, or all."""
    targets = [word for word in sys.argv[1:] if word in TARGETS] or list(TARGETS)
    wanted = {str(Path(word).resolve()) for word in sys.argv[1:] if word not in TARGETS}
    failed = 0
    for target in targets:
        if not shutil.which(f"{TARGETS[target][0]}g++{SUFFIX.get(target, '')}"):
            sys.exit(f"the compiler for {target} is missing; the first lines of this program name its package")
        entries = [entry for entry in all_commands() if not wanted or entry["file"] in wanted]
        if target == "windows":
            entries = [entry for entry in entries if not Path(entry["file"]).is_relative_to(NATIVE / "bindings")]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for entry, errors in zip(entries, pool.map(functools.partial(check, target), entries), strict=True):
                if errors:
                    failed += 1
                    print(f"{target}: {Path(entry['file']).relative_to(ROOT)}:\n{errors}\n", flush=True)
        print(f"{target}: {len(entries)} files", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
