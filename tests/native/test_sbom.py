"""The SBOM names what is compiled in, with its licences."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from helpers.module_files import load_file

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    return load_file(ROOT / "cmake" / "sbom.py")


@pytest.fixture(scope="module")
def installed() -> dict[str, Any]:
    """The SBOM of the package that is tested."""
    for file in distribution("xllama").files or []:
        if file.name == "xllama.cdx.json":
            return dict(json.loads(Path(str(file.locate())).read_text("utf-8")))
    pytest.skip("this xllama was not built with Ninja")


@pytest.fixture
def trees(sbom: ModuleType, tmp_path: Path) -> Any:
    """The folders of a build: one vendored library, and llama.cpp's own files."""
    files = {
        "vendor/llama.cpp/LICENSE": "MIT License of llama.cpp",
        "vendor/llama.cpp/gguf-py/LICENSE": "MIT License of gguf",
        "vendor/llama.cpp/CMakeLists.txt": "set(LLAMA_VERSION_MAJOR 1)\nset(LLAMA_VERSION_MINOR 2)\n"
        "set(LLAMA_VERSION_PATCH 3)\n",
        "vendor/llama.cpp/scripts/sync_vendor.py": "",
        "vendor/llama.cpp/vendor/stb/stb_image.h": "/* stb_image - v2.30 - loader */\n"
        "/*\n * This software is available under 2 licenses -- choose\n *\n * A word of the licence */\nint x;\n",
        "nanobind/include/nanobind.h": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return sbom.Trees(
        xllama=tmp_path,
        build=tmp_path / "build",
        llama_cpp=tmp_path / "vendor" / "llama.cpp",
        nanobind=tmp_path / "nanobind",
        sysroot=None,
    )


def paths(trees: Any, *names: str) -> set[str]:
    return {str(trees.folders["xllama"] / name) for name in names}


def test_files_are_given_to_their_projects(sbom: ModuleType, trees: Any) -> None:
    ours = paths(trees, "src/xlc_core/native/module.cpp", "build/x/unity_0_cxx.cxx")
    theirs = paths(trees, "vendor/llama.cpp/src/llama.cpp", "vendor/llama.cpp/vendor/stb/stb_image.h")
    system = {"/usr/include/c++/12/vector", "/usr/lib/gcc/x86_64-linux-gnu/12/include/stddef.h", "/usr/include/stdio.h"}
    found, unknown = sbom.projects_of(ours | theirs | system, trees)
    assert sorted(found) == ["GCC runtime libraries", "GNU C Library", "llama.cpp", "stb"]
    assert found["stb"][1] == ["llama.cpp/vendor/stb/stb_image.h"]
    assert unknown == []


def test_headers_of_backends_are_given_to_their_projects(sbom: ModuleType, trees: Any, tmp_path: Path) -> None:
    more = sbom.Trees(xllama=tmp_path, vulkan=tmp_path / "vulkan", cuda=tmp_path / "cuda" / "nvidia" / "cu13")
    names = ("vulkan/tree/usr/include/vulkan/vulkan_core.h", "vulkan/tree/usr/include/spirv/unified1/spirv.hpp")
    names += ("cuda/nvidia/cu13/include/cccl/cub/cub.cuh", "cuda/nvidia/cu13/include/cuda_fp16.h")
    found, unknown = sbom.projects_of(paths(trees, *names), more)
    assert sorted(found) == ["CCCL", "CUDA toolkit", "SPIRV-Headers", "Vulkan-Headers"]
    assert unknown == []


@pytest.mark.parametrize("name", ["vendor/llama.cpp/vendor/new/new.h", "other/x.h"])
def test_file_of_an_unknown_project_is_reported(sbom: ModuleType, trees: Any, name: str) -> None:
    """A library that moves in with a new pin is noticed."""
    found, unknown = sbom.projects_of(paths(trees, name), trees)
    assert found == {}
    assert len(unknown) == 1


def test_licences_and_versions_are_read_from_the_sources(sbom: ModuleType, trees: Any, tmp_path: Path) -> None:
    files = paths(trees, "vendor/llama.cpp/src/llama.cpp", "vendor/llama.cpp/vendor/stb/stb_image.h")
    found, _ = sbom.projects_of(files, trees)
    info = tmp_path / "info"
    sbom.write(info, found, trees, "xllama", "0.0.1", "GNU 12.2.0")
    text = "This software is available under 2 licenses -- choose\n\nA word of the licence\n"
    assert (info / "licenses" / "stb" / "LICENSE").read_text() == text
    assert (info / "licenses" / "llama.cpp" / "LICENSE-gguf-py").read_text() == "MIT License of gguf"
    written = json.loads((info / "sboms" / "xllama.cdx.json").read_text())
    facts = {part["name"]: part for part in written["components"]}
    assert facts["stb"]["purl"] == "pkg:github/nothings/stb@2.30"
    assert facts["llama.cpp"]["version"] == "1.2.3"
    assert "externalReferences" not in facts["llama.cpp"]  # it is not the pinned one
    assert written["dependencies"] == [{"ref": "xllama", "dependsOn": sorted(facts)}]


def test_missing_licence_is_an_error(sbom: ModuleType, trees: Any, tmp_path: Path) -> None:
    (trees.folders["llama.cpp"] / "LICENSE").unlink()
    found, _ = sbom.projects_of(paths(trees, "vendor/llama.cpp/src/llama.cpp"), trees)
    with pytest.raises(FileNotFoundError, match=r"llama\.cpp: there is no llama\.cpp/LICENSE"):
        sbom.write(tmp_path / "info", found, trees, "xllama", "0.0.1", "GNU 12.2.0")


def test_every_folder_that_was_compiled_is_named(installed: dict[str, Any]) -> None:
    """The same as Ninja's records say, read in another way."""
    recorded = sorted(ROOT.glob("build/*/.ninja_deps"), key=lambda path: path.stat().st_mtime)
    if not recorded or not shutil.which("ninja"):
        pytest.skip("the build folder or Ninja is not here")
    shown = subprocess.run(
        ["ninja", "-t", "deps"], cwd=recorded[-1].parent, capture_output=True, text=True, check=True, timeout=60
    )
    compiled = set(re.findall(r"vendor/(llama\.cpp/vendor/\S+)/[^/\s]+$", shown.stdout, flags=re.MULTILINE))
    named = {
        prop["value"]
        for part in installed["components"]
        for prop in part["properties"]
        if prop["name"] == "xllama:folder"
    }
    assert len(compiled) > 5
    assert compiled <= named


def test_pin_is_in_the_sbom(installed: dict[str, Any], vendored_llama_cpp: Path) -> None:
    (llama_cpp,) = [part for part in installed["components"] if part["name"] == "llama.cpp"]
    (origin,) = llama_cpp["externalReferences"]
    (digest,) = origin["hashes"]
    assert f"sha256 = {digest['content']}\n" in (ROOT / "vendor" / "pin.ini").read_text()
    assert (vendored_llama_cpp / ".xllama-pin").read_text().strip().endswith(digest["content"])
