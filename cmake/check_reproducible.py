"""Build the wheel again in another folder, without ccache, and compare the bytes with the one in dist/.

    python cmake/check_reproducible.py [WHEEL]

The folder gets the tracked files as they are now, and links to the fetched llama.cpp. It takes as long as a wheel of
which nothing is cached. A difference is shown file by file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import install_wheel
import wheel_tools
from wheel_targets import target_of

ROOT = Path(__file__).resolve().parents[1]
LLAMA_CPP = Path("vendor/llama.cpp")


def copy_checkout(folder: Path) -> None:
    """Copy the files that Git knows or would add, and llama.cpp."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    if (ROOT / LLAMA_CPP).exists():
        shutil.copytree(ROOT / LLAMA_CPP, folder / LLAMA_CPP)


def build_again(folder: Path, target: str) -> Path:
    """Return the wheel that is built in the folder for a kind of machine."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": wheel_tools.time_of_sources(), "CCACHE_DISABLE": "1"}
    maker = ["make_windows_wheel.py"] if target == "windows" else ["make_wheel.py", "--target", target]
    command: list[str | Path] = [sys.executable, folder / "cmake" / maker[0], *maker[1:]]
    subprocess.run(command, check=True, env=environment)
    (wheel,) = (folder / "dist").glob("xllama-*.whl")
    return wheel


def differences(first: Path, second: Path) -> list[str]:
    """Return what differs between two wheels, as lines; nothing if the bytes are the same."""
    if first.read_bytes() == second.read_bytes():
        return []
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as other:
        left, right = ({info.filename: info for info in files.infolist()} for files in (one, other))
        lines = [f"{name}: in one wheel only" for name in left.keys() ^ right.keys()]
        lines += [f"{name}: its content" for name in left.keys() & right.keys() if one.read(name) != other.read(name)]
        for name in left.keys() & right.keys():
            if (left[name].date_time, left[name].external_attr) != (right[name].date_time, right[name].external_attr):
                lines.append(f"{name}: its time or mode")
    if list(left) != list(right):
        lines.append("the order of the files")
    return sorted(lines) or ["how the files are compressed"]


def main() -> None:
    """Build and compare."""
    wheels = [Path(name) for name in sys.argv[1:]] or install_wheel.newest_wheels(ROOT / "dist")
    if not wheels:
        sys.exit("there is no wheel; run `make wheel`")
    with tempfile.TemporaryDirectory(prefix="xllama-again-") as name:
        folder = Path(name) / "in-another-folder"
        copy_checkout(folder)
        found = differences(wheels[0], build_again(folder, target_of(wheels[0].name)))
    if found:
        sys.exit("\n".join(["the second wheel is not the same:", *found]))
    print(f"{wheels[0].name}: the same bytes twice")


if __name__ == "__main__":
    main()
