"""Move the pin to another source distribution with llama.cpp in it, and report what holds and what moved.

    make pin PACKAGE=xllamacpp VERSION=2026.10.11549

Fetches and verifies the distribution, checks everything that the overrides expect of its source, and then, only when
all of that holds, writes vendor/pin.ini, builds, and runs the tests that guard the overrides. Where something moved,
the pin stays as it is and the new source lies in build/pin/ to be looked at.
"""

from __future__ import annotations

import argparse
import filecmp
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from fetch_llama_cpp import PIN, Pin, download, read_pin, unpack

ROOT = Path(__file__).parent.parent
TREE = ROOT / "vendor" / "llama.cpp"
TABLE = ROOT / "src" / "xlc_core" / "native" / "overrides" / "README.md"
HEADER = "; Which llama.cpp is built: a source distribution on PyPI, and the folder in it. Written by `make pin`.\n"


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print what is done and how long it took."""
    print(f"== {name}", flush=True)
    start = time.monotonic()
    yield
    print(f"   {name}: {time.monotonic() - start:.0f} s", flush=True)


def tree_folder(archive: Path) -> str:
    """Return the folder of an archive that holds llama.cpp, without the archive's own top folder."""
    with tarfile.open(archive) as tar:
        names = set(tar.getnames())
    for name in sorted(names, key=len):
        root = name.removesuffix("/include/llama.h")
        if root != name and f"{root}/ggml/CMakeLists.txt" in names and f"{root}/CMakeLists.txt" in names:
            return root.partition("/")[2]
    raise SystemExit(f"{archive.name} holds no llama.cpp")


def published_sha256(package: str, filename: str) -> str | None:
    """Return the sum that the package index publishes, or None when it does not answer in JSON."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    request = urllib.request.Request(f"{index}/{package}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            files = json.load(answer)["files"]
    except (OSError, ValueError, KeyError):
        return None
    return next((file["hashes"].get("sha256") for file in files if file["filename"] == filename), None)


def fetch(package: str, version: str, target: Path) -> Pin:
    """Unpack the distribution's llama.cpp at target; return the pin for it."""
    with tempfile.TemporaryDirectory() as folder:
        archive = download(f"{package}=={version}", Path(folder))
        pin = Pin(package, version, hashlib.sha256(archive.read_bytes()).hexdigest(), tree_folder(archive))
        published = published_sha256(package, archive.name)
        if published not in (None, pin.sha256):
            raise SystemExit(f"{archive.name} has sha256 {pin.sha256}, and the index says {published}")
        print(f"   {archive.name} sha256 {pin.sha256}", "as published" if published else "(the index gave no sum)")
        unpack(archive, pin, target)
    return pin


def llama_cpp_version(tree: Path) -> str:
    """Return the version that llama.cpp's CMakeLists.txt sets."""
    text = (tree / "CMakeLists.txt").read_text(encoding="utf-8")
    return ".".join(re.findall(r"set\(LLAMA_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)\)", text)) or "unknown"


def check_expectations(tree: Path) -> bool:
    """Print each expectation that does not hold, and how many do; return whether all do."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if shutil.which("cmake", path=path) is None:
        run("pip", "install", "--quiet", "cmake")
    cmake = shutil.which("cmake", path=path)
    if cmake is None:
        raise SystemExit("cmake is not on the path, and pip could not install it")
    script = ROOT / "cmake" / "check_overrides.cmake"
    done = subprocess.run(
        [cmake, f"-DXLC_LLAMA_CPP_DIR={tree}", "-DXLC_REPORT=ON", "-P", str(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (done.stdout + done.stderr).splitlines()
    holding = [line.split()[1] for line in lines if line.startswith("holds  ")]
    missed = [line for line in lines if line.startswith("MOVED  ")]
    print("\n".join(f"   {line}" for line in missed) if missed else "   nothing moved")
    changed = [name for name in sorted(set(holding)) if not same_file(tree / name, TREE / name)]
    print(f"   {len(holding)} expectations hold, {len(missed)} moved")
    print(f"   changed files whose expectations hold, worth a look: {', '.join(changed) or 'none'}")
    return done.returncode == 0


def same_file(one: Path, other: Path) -> bool:
    """Return whether two files exist and have the same content."""
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def guarding_tests() -> list[str]:
    """Return the tests that the table of overrides names."""
    return sorted(set(re.findall(r"`(tests/[\w/]+\.py)[^`]*`", TABLE.read_text(encoding="utf-8"))))


def write_pin(pin: Pin) -> None:
    """Make this the pin."""
    lines = [f"{key} = {value}\n" for key, value in pin._asdict().items()]
    PIN.write_text(f"{HEADER}[llama.cpp]\n{''.join(lines)}", encoding="utf-8")


def run(*command: str) -> bool:
    """Run a command of this environment's Python in the project's root; return whether it succeeded."""
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode == 0


def main() -> int:
    """Do the move as far as it goes; the exit status says whether everything holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", required=True)
    parser.add_argument("--version", required=True)
    arguments = parser.parse_args()

    new = ROOT / "build" / "pin" / "llama.cpp"
    with step("fetch and verify"):
        pin = fetch(arguments.package, arguments.version, new)
    print(f"   llama.cpp {llama_cpp_version(new)} in {pin.folder}; the pin was {read_pin().requirement}")
    with step("check what the overrides expect"):
        holds = check_expectations(new)
    if not holds:
        print(f"The pin was not moved. Compare {new} with {TREE}, mend the overrides and cmake/expectations.cmake.")
        return 1
    write_pin(pin)
    shutil.rmtree(TREE, ignore_errors=True)
    shutil.move(new, TREE)
    with step("configure and build"):
        built = run("pip", "install", "--quiet", "--editable", ".[test]", "./models")
    if not built:
        print("The build failed; vendor/pin.ini names the new pin.")
        return 1
    tests = guarding_tests()
    with step(f"run the tests that guard the overrides ({len(tests)} files)"):
        passed = run("pytest", "-q", *tests)
    print("Everything holds." if passed else "The build works; tests above failed. vendor/pin.ini names the new pin.")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
