"""Build one wheel for every x86-64 Linux processor and every Python since 3.10 (docs/building.md).

    python cmake/make_wheel.py [FOLDER]

FOLDER is where the wheel goes, by default dist/. The machine's GCC compiles, against the libraries of an older Linux
(cmake/sysroot.py). auditwheel checks that the result runs on the systems that its name claims.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import sysroot

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "wheel" / "portable"  # deeper than cmake/tidy.py looks
SYSROOT = ROOT / "build" / "wheel" / "sysroot"
OLDEST = "manylinux_2_28_x86_64"  # as cmake/sysroot.py allows
PYTHON = "cp310"
MOST_BYTES = 20 * 2**20
# The module takes nanobind from this package (CMakeLists.txt). Builds that are not portable have it inside.
REQUIREMENT = "nanobind-backend>=1.0,<2"


def run(*command: str | Path, **options: object) -> str:
    """Run a program; return what it printed."""
    print("+", *command, flush=True)
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True, **options)  # type: ignore[call-overload]
    return str(done.stdout)


def build(folder: Path) -> Path:
    """Let pip build the wheel, with the tag of this machine."""
    settings = {
        "build-dir": BUILD,
        "wheel.py-api": PYTHON,
        "cmake.define.XLC_PORTABLE": "ON",
        "cmake.define.XLC_SYSROOT": SYSROOT,
        "cmake.define.CMAKE_TOOLCHAIN_FILE": ROOT / "cmake" / "sysroot.cmake",
    }
    options = [f"--config-settings={name}={value}" for name, value in settings.items()]
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, *options, ROOT)
    (wheel,) = folder.glob("xllama-*.whl")
    return wheel


def policy_of(wheel: Path) -> str:
    """Return the oldest manylinux policy that the wheel keeps."""
    shown = run(sys.executable, "-m", "auditwheel", "show", "--json", wheel)
    return str(json.loads(shown)["overall_tag"])


def finish(wheel: Path, folder: Path) -> Path:
    """Name the wheel after the systems that it runs on, and add what it requires; return the finished one."""
    with tempfile.TemporaryDirectory() as unpacked:
        run(sys.executable, "-m", "wheel", "unpack", "--dest", unpacked, wheel)
        (tree,) = Path(unpacked).iterdir()
        (info,) = tree.glob("*.dist-info")
        metadata = info / "METADATA"
        head, separator, rest = metadata.read_text("utf-8").partition("\nRequires-Dist: ")
        if not separator:
            sys.exit("the wheel requires nothing; where would its own requirement go?")
        metadata.write_text(f"{head}\nRequires-Dist: {REQUIREMENT}{separator}{rest}", "utf-8")
        tags = info / "WHEEL"
        tags.write_text(re.sub(r"(?m)^(Tag: .*-)linux_x86_64$", rf"\1{OLDEST}", tags.read_text("utf-8")), "utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        packed = run(sys.executable, "-m", "wheel", "pack", "--dest-dir", folder, tree)
    return folder / packed.split("Repacking wheel as ")[1].split("...")[0].strip().split("/")[-1]


def check(wheel: Path) -> None:
    """Stop if the wheel is too large, or needs a newer system than its name says."""
    size = wheel.stat().st_size
    policy = policy_of(wheel)
    print(f"{wheel.name}: {size / 2**20:.1f} MiB; auditwheel: {policy}")
    if missing := missing_files(wheel):
        sys.exit(f"the wheel does not have {', '.join(missing)}")
    if size > MOST_BYTES:
        sys.exit(f"the wheel is larger than {MOST_BYTES // 2**20} MiB")
    if policy != OLDEST and glibc_of(policy) > glibc_of(OLDEST):
        sys.exit(f"the wheel needs {policy}, which is newer than {OLDEST}")


def missing_files(wheel: Path) -> list[str]:
    """Return the Python files of the packages that are not in the wheel."""
    wanted = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    return sorted(wanted - set(zipfile.ZipFile(wheel).namelist()))


def glibc_of(policy: str) -> tuple[int, ...]:
    """Return the version in a policy's name; a policy of another kind is newer than all."""
    found = re.fullmatch(r"manylinux_(\d+)_(\d+)_x86_64", policy)
    return tuple(map(int, found.groups())) if found else (sys.maxsize,)


def main() -> None:
    """Build, finish and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist", help="where the wheel goes")
    folder = parser.parse_args().folder.resolve()
    sysroot.fill(SYSROOT)
    with tempfile.TemporaryDirectory() as built:
        wheel = finish(build(Path(built)), folder)
    check(wheel)


if __name__ == "__main__":
    main()
