"""Write what a build has of other projects into a wheel's folder .dist-info: an SBOM (CycloneDX) and their licences.

    python cmake/sbom.py INFO --build FOLDER --llama-cpp FOLDER --version VERSION --compiler NAME [--package NAME]
        [--nanobind FOLDER] [--sysroot FOLDER] [--vulkan FOLDER] [--cuda FOLDER] [--zig FOLDER]
        [--strict] LIBRARY...

CMake runs it when it installs (cmake/sbom.cmake), and the makers of backends' wheels do. Ninja knows which source files
and headers the libraries were compiled from; cmake/third_party.py knows whose they are. With --strict, a file of an
unknown project is an error.
"""

from __future__ import annotations

import argparse
import configparser
import datetime
import functools
import json
import os
import re
import subprocess
import sys
import sysconfig
import uuid
from pathlib import Path
from typing import Any

from third_party import PROJECTS, Project

ROOT = Path(__file__).resolve().parents[1]
Found = dict[str, tuple[Project, list[str]]]  # by name: the project and its files that are compiled


class Trees:
    """The folders that paths are named from."""

    def __init__(self, **folders: Path | None) -> None:
        """Remember those that exist; a tree inside another comes before it."""
        given = {name.replace("_", "."): path.resolve() for name, path in folders.items() if path is not None}
        self.folders = dict(sorted(given.items(), key=lambda item: -len(str(item[1]))))

    def name_of(self, path: str) -> str:
        """Return a path from the tree that has it; other paths stay."""
        for name, folder in self.folders.items():
            if path.startswith(f"{folder}{os.sep}"):
                return f"{name}/{Path(path).relative_to(folder).as_posix()}"
        return path

    def find(self, pattern: str) -> Path | None:
        """Return the first file that matches a pattern, or one of several."""
        for one in pattern.split("|"):
            tree, _, inside = one.partition("/")
            base = self.folders.get(tree) if tree else Path("/")
            while base and inside.startswith("../"):
                base, inside = base.parent, inside[3:]
            if found := sorted(base.glob(inside)) if base else []:
                return found[-1]
        return None


def compiled_files(build: Path, libraries: list[str]) -> set[str]:
    """Return the sources and headers of the libraries' objects, as absolute paths."""
    ninja = functools.partial(subprocess.run, cwd=build, capture_output=True, text=True, check=True)
    program = os.environ.get("XLC_NINJA", "ninja")
    inside = [os.path.relpath(library, build) for library in libraries]
    inputs = set(ninja([program, "-t", "inputs", *inside]).stdout.splitlines())
    files = {name for name in inputs if re.search(r"\.(c|cc|cpp|cu|cuh|cxx|m|mm|S|h|hpp)$", name)}
    for block in ninja([program, "-t", "deps"]).stdout.split("\n\n"):
        target, _, lines = block.partition("\n")
        if target.split(":")[0] in inputs:
            files.update(line.strip() for line in lines.splitlines())
    return {os.path.realpath(build / name) for name in files if name}


def projects_of(files: set[str], trees: Trees) -> tuple[Found, list[str]]:
    """Return whose the files are, and those that nobody's are."""
    found: Found = {}
    unknown = []
    for name in sorted(trees.name_of(file) for file in files):
        project = next((project for project in PROJECTS if re.match(project.files, name)), None)
        if project is None:
            unknown.append(name)
        elif project.licence:
            found.setdefault(project.name, (project, []))[1].append(name)
    return found, unknown


def comment_with(text: str, words: str) -> str:
    """Return the comment of a source file that has these words, without its marks."""
    comments = re.findall(r"/\*.*?\*/|(?:^[ \t]*//[^\n]*\n)+", text, flags=re.DOTALL | re.MULTILINE)
    comment = next(comment for comment in comments if words in comment)
    lines = [
        re.sub(r"^\s*(/\*+|//+|\*+/|\*)? ?", "", line.removesuffix("*/")).rstrip() for line in comment.splitlines()
    ]
    return "\n".join(lines).strip() + "\n"


def licence_texts(project: Project, trees: Trees) -> dict[str, str]:
    """Return the licence texts of a project, by the names of their files."""
    texts = {}
    for entry in project.texts:
        pattern, _, words = entry.partition("#")
        path = trees.find(pattern)
        if path is None:
            if project.toolchain:  # not every system has it, and the licence does not ask for it
                continue
            raise FileNotFoundError(f"{project.name}: there is no {pattern}")
        text = path.read_text("utf-8", errors="replace")
        name = "LICENSE" if words else path.name
        texts[name if name not in texts else f"{name}-{path.parent.name}"] = (
            comment_with(text, words) if words else text
        )
    return texts


def version_of(project: Project, trees: Trees) -> str | None:
    """Return the version that a project's own files tell."""
    path = trees.find(project.version[0]) if project.version else None
    found = re.search(project.version[1], path.read_text("utf-8")) if project.version and path else None
    return found.group(1) if found else None


def pinned(trees: Trees) -> dict[str, object]:
    """Return where llama.cpp came from: the archive and its sum, if it is the pinned one."""
    cmake = (trees.folders["llama.cpp"] / "CMakeLists.txt").read_text("utf-8")
    numbers = [re.search(rf"set\(LLAMA_VERSION_{part} +(\d+)\)", cmake) for part in ("MAJOR", "MINOR", "PATCH")]
    facts: dict[str, object] = {"version": ".".join(number.group(1) for number in numbers if number)}
    parser = configparser.ConfigParser()
    parser.read(ROOT / "vendor" / "pin.ini", "utf-8")
    pin = parser["llama.cpp"]
    stamp = trees.folders["llama.cpp"] / ".xllama-pin"
    if stamp.exists() and pin["sha256"] in stamp.read_text("utf-8"):
        facts["externalReferences"] = [
            {
                "type": "source-distribution",
                "url": f"pkg:pypi/{pin['package']}@{pin['version']}",
                "comment": f"the folder {pin['folder']} of this source distribution on PyPI",
                "hashes": [{"alg": "SHA-256", "content": pin["sha256"]}],
            }
        ]
    return facts


def component(project: Project, files: list[str], trees: Trees, compiler: str) -> dict[str, Any]:
    """Return a project as CycloneDX writes it."""
    version = compiler.split()[-1] if project.name.startswith("GCC") else version_of(project, trees)
    facts: dict[str, Any] = {"type": "library", "bom-ref": project.name, "name": project.name}
    if version:
        facts["version"] = version
    if project.name == "llama.cpp":
        facts.update(pinned(trees))
    if project.toolchain:
        facts["description"] = "of the compiler or system: headers, or functions that are linked statically"
    facts["licenses"] = [{"expression": project.licence}]
    if project.purl:
        facts["purl"] = f"{project.purl}@{version}" if version else project.purl
    folders = sorted({name.rpartition("/")[0] for name in files if name.startswith("llama.cpp/vendor/")})
    facts["properties"] = [{"name": "xllama:files", "value": str(len(files))}]
    facts["properties"] += [{"name": "xllama:folder", "value": folder} for folder in folders]
    return facts


def document(found: Found, trees: Trees, package: str, version: str, compiler: str) -> dict[str, object]:
    """Return the SBOM of a package. The same build gives the same one: its time is SOURCE_DATE_EPOCH."""
    time = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "315532800")), datetime.timezone.utc)
    components = [component(project, files, trees, compiler) for project, files in found.values()]
    name, number = compiler.rsplit(" ", 1)
    whole: dict[str, object] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time.isoformat().replace("+00:00", "Z"),
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": name, "version": number}]},
            "component": {
                "type": "library",
                "bom-ref": package,
                "name": package,
                "version": version,
                "licenses": [{"expression": "MIT"}],
                "purl": f"pkg:pypi/{package}@{version}",
            },
        },
        "components": components,
        "dependencies": [{"ref": package, "dependsOn": [str(facts["bom-ref"]) for facts in components]}],
    }
    return {"serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(whole)).urn, **whole}


def write(info: Path, found: Found, trees: Trees, package: str, version: str, compiler: str) -> None:
    """Write the SBOM and the licences."""
    for project, _ in found.values():
        for name, text in licence_texts(project, trees).items():
            path = info / "licenses" / project.name.replace(" ", "-") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    sboms = info / "sboms"
    sboms.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document(found, trees, package, version, compiler), indent=1)
    (sboms / f"{package}.cdx.json").write_text(text + "\n", "utf-8")


def expression_of(sbom: dict[str, Any]) -> str:
    """Return the licence of the whole. The compiler's own parts are exempt by their licences."""
    parts = [sbom["metadata"]["component"], *(part for part in sbom["components"] if "purl" in part)]
    expressions = {part["licenses"][0]["expression"] for part in parts}
    return " AND ".join(sorted(f"({text})" if " OR " in text else text for text in expressions))


def main() -> None:
    """Find the projects and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("info", type=Path)
    parser.add_argument("libraries", nargs="+")
    parser.add_argument("--package", default="xllama")
    for name in ("build", "llama-cpp"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("nanobind", "sysroot", "vulkan", "cuda", "zig"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--version", required=True)
    parser.add_argument("--compiler", required=True, help="name and version")
    parser.add_argument("--strict", action="store_true")
    given = parser.parse_args()
    trees = Trees(
        xllama=ROOT,
        build=given.build,
        llama_cpp=given.llama_cpp,
        nanobind=given.nanobind,
        sysroot=given.sysroot,
        vulkan=given.vulkan,
        cuda=given.cuda,
        zig=given.zig,
        python=Path(sysconfig.get_path("stdlib")),
    )
    found, unknown = projects_of(compiled_files(given.build, given.libraries), trees)
    if unknown:
        shown = [*unknown[:20], *(["…"] if len(unknown) > 20 else [])]
        print("xllama: files of unknown projects (cmake/third_party.py):", *shown, sep="\n  ", file=sys.stderr)
    if unknown and given.strict:
        sys.exit(1)
    write(given.info, found, trees, given.package, given.version, given.compiler)


if __name__ == "__main__":
    main()
