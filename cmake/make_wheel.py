"""Build one wheel for every x86-64 or aarch64 Linux processor and every Python since 3.10 (docs/building.md).

    python cmake/make_wheel.py [--target aarch64] [FOLDER]

FOLDER is where the wheel goes, by default dist/. The machine's GCC compiles, or its GCC for another kind of machine
(cmake/wheel_targets.py), against the libraries of an older Linux (cmake/sysroot.py). auditwheel checks that the result
runs on the systems that its name claims.

The same sources and compiler give the same bytes, in any folder and at any time: the tools have fixed versions
(cmake/wheel_requirements.txt), and the files have the time of the commit.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import python_headers
import source_digest
import sysroot
from sbom import expression_of
from wheel_targets import TARGETS, Target
from wheel_tools import BUILD, ROOT, TOOLS, build_wheel, fill_tools, run, same_modes, time_of_sources, tool

PYTHON = "cp310"
# The module takes nanobind from this package (CMakeLists.txt). Builds that are not portable have it inside.
REQUIREMENT = "nanobind-backend>=1.0,<2"


def build(folder: Path, target: Target) -> Path:
    """Let pip build the wheel, with a tag of the target's own."""
    older = BUILD / f"sysroot-{target.name}"
    headers = BUILD / f"python-{target.name}" / "include" / "python3"
    sysroot.fill(older, target)
    python_headers.fill(headers, older / target.pyconfig if target.pyconfig else None)
    settings: dict[str, str | Path] = {
        "build-dir": BUILD / f"portable-{target.name}",
        "wheel.py-api": PYTHON,
        "cmake.define.XLC_PORTABLE": "ON",
        "cmake.define.XLC_SYSROOT": older,
        "cmake.define.XLC_TRIPLE": target.triple,
        "cmake.define.CMAKE_TOOLCHAIN_FILE": ROOT / "cmake" / "sysroot.cmake",
        "cmake.define.Python_INCLUDE_DIR": headers,
    }
    return build_wheel(folder, settings, f"linux-{target.name}")


def policy_of(wheel: Path) -> str:
    """Return the oldest manylinux policy that the wheel keeps."""
    shown = tool("auditwheel", "show", "--json", wheel)
    return str(json.loads(shown)["overall_tag"])


def finish(wheel: Path, folder: Path, policy: str, requirement: str) -> Path:
    """Name the wheel after the systems that it runs on, and add what it requires; return the finished one.

    Args:
        wheel: the one that pip has built.
        folder: where the finished one goes.
        policy: the last part of its tag.
        requirement: what it requires beyond pyproject.toml, or an empty text.
    """
    with tempfile.TemporaryDirectory() as unpacked:
        tool("wheel", "unpack", "--dest", unpacked, wheel)
        (tree,) = Path(unpacked).iterdir()
        (info,) = tree.glob("*.dist-info")
        complete_metadata(info, requirement)
        tags = info / "WHEEL"
        text = re.sub(r"(?m)^(Tag: .*-)[^-\n]+$", rf"\g<1>{policy}", tags.read_text("utf-8"))
        tags.write_text(text, "utf-8")
        (info / source_digest.NAME).write_text(source_digest.of_checkout() + "\n", "utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        same_modes(tree)
        packed = tool("wheel", "pack", "--dest-dir", folder, tree)
    return folder / packed.split("Repacking wheel as ")[1].split("...")[0].strip().split("/")[-1]


def complete_metadata(info: Path, requirement: str) -> None:
    """Add the wheel's own requirement, if it has one, and the licences of what is compiled in (cmake/sbom.py)."""
    metadata = info / "METADATA"
    text = metadata.read_text("utf-8")
    if "\nRequires-Dist: " not in text:
        sys.exit("the wheel requires nothing; where would its own requirement go?")
    if requirement:
        text = text.replace("\nRequires-Dist: ", f"\nRequires-Dist: {requirement}\nRequires-Dist: ", 1)
    folder = info / "licenses"
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    text = re.sub(r"(?m)(^License-File: .*\n)+", "".join(f"License-File: {name}\n" for name in files), text, count=1)
    sbom = json.loads((info / "sboms" / "xllama.cdx.json").read_text("utf-8"))
    text = re.sub(r"(?m)^License-Expression: .*$", f"License-Expression: {expression_of(sbom)}", text, count=1)
    metadata.write_text(text, "utf-8")


def check(wheel: Path, target: Target) -> None:
    """Stop if something is wrong with the wheel, or it needs a newer system than its name says."""
    policy = policy_of(wheel)
    check_content(wheel, target.most_bytes)
    print(f"auditwheel: {policy}")
    if glibc_of(policy, target) > glibc_of(target.policy, target):
        sys.exit(f"the wheel needs {policy}, which is newer than {target.policy}")


def check_content(wheel: Path, most_bytes: int) -> None:
    """Stop if the wheel is too large, or a file or the SBOM is not as it should be."""
    size = wheel.stat().st_size
    print(f"{wheel.name}: {size / 2**20:.1f} MiB")
    run(TOOLS / "bin" / "python", Path(__file__).with_name("check_sbom.py"), wheel)
    if missing := missing_files(wheel):
        sys.exit(f"the wheel does not have {', '.join(missing)}")
    if size > most_bytes:
        sys.exit(f"the wheel is larger than {most_bytes // 2**20} MiB")


def missing_files(wheel: Path) -> list[str]:
    """Return the files of the packages that are not in the wheel: code, types, and the server's page."""
    packages = ROOT / "src"
    files = {path.relative_to(packages) for path in packages.rglob("*") if path.is_file()}
    wanted = {file.as_posix() for file in files if not {"native", "__pycache__"} & set(file.parts)}
    return sorted(wanted - set(zipfile.ZipFile(wheel).namelist()))


def glibc_of(policy: str, target: Target) -> tuple[int, ...]:
    """Return the version in the name of a target's policy; a policy of another kind is newer than all."""
    found = re.fullmatch(rf"manylinux_(\d+)_(\d+)_{target.name}", policy)
    return tuple(map(int, found.groups())) if found else (sys.maxsize,)


def main() -> None:
    """Build, finish and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist", help="where the wheel goes")
    parser.add_argument("--target", choices=TARGETS, default="x86_64", help="the kind of machine that it is for")
    given = parser.parse_args()
    target = TARGETS[given.target]
    if not shutil.which(target.program("g++")):
        sys.exit(f"{target.program('g++')} is missing (Debian: g++-{target.triple.replace('_', '-')})")
    fill_tools()
    os.environ["SOURCE_DATE_EPOCH"] = time_of_sources()  # for all tools
    with tempfile.TemporaryDirectory() as built:
        wheel = finish(build(Path(built), target), given.folder.resolve(), target.policy, REQUIREMENT)
    check(wheel, target)


if __name__ == "__main__":
    main()
