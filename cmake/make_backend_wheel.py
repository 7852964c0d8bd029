"""Build the wheel of a GPU backend, which xllama's own wheel loads (docs/building.md).

    python cmake/make_backend_wheel.py vulkan [FOLDER]
    python cmake/make_backend_wheel.py cuda [FOLDER] --architectures 90

FOLDER is where the wheel goes, by default dist/. The wheel has nothing but the backend's library and the few lines by
which xllama finds it, an SBOM and the licences of what is compiled in. It is for the xllama of the same version.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import sysroot
from cuda_tools import CudaTools
from sbom import expression_of
from vulkan_tools import VulkanTools
from wheel_targets import TARGETS
from wheel_tools import BUILD, ROOT, TOOLS, fill_tools, run, same_modes, time_of_sources, with_tools

TARGET = TARGETS["x86_64"]
SYSROOT = BUILD / f"sysroot-{TARGET.name}"
TAG = f"py3-none-{TARGET.policy}"
# Libraries of the system and of other wheels that it may need; xllama's wheel has loaded the first one.
EVERYWHERE = {"libxllama-ggml-base.so", "libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "libdl.so.2"}
EVERYWHERE |= {"libpthread.so.0", "librt.so.1", "ld-linux-x86-64.so.2"}
MODULE = '''"""ggml's {title} backend for xllama {version}: a library, which xllama finds by its entry point."""

from pathlib import Path

__all__ = ["CONTRACT", "LIBRARY"]

LIBRARY = Path(__file__).with_name("libggml-{name}.so")
"""The library."""

CONTRACT = LIBRARY.with_name("contract.txt").read_text("ascii").strip()
"""What it must have in common with xllama's own libraries; xllama compares."""
'''
METADATA = """Metadata-Version: 2.4
Name: {package}
Version: {version}
Summary: {title} for xllama: models compute on {cards}
License-Expression: {licence}
Requires-Python: >=3.10
Requires-Dist: xllama=={version}
{further}
ggml's {title} backend for xllama's wheel of the same version. `xllama doctor` says what it found.
"""


WHEEL = """Wheel-Version: 1.0
Generator: xllama
Root-Is-Purelib: false
Tag: {tag}
"""


@dataclass(frozen=True)
class Backend:
    """A backend that has a wheel."""

    name: str
    title: str
    package: str
    cards: str
    libraries: frozenset[str] = frozenset()
    requirements: tuple[str, ...] = ()
    rpath: str = ""


BACKENDS = {
    "vulkan": Backend(
        name="vulkan",
        title="Vulkan",
        package="xllama-vulkan",
        cards="the graphics cards of AMD, Intel and NVIDIA",
        libraries=frozenset({"libvulkan.so.1"}),
    ),
    "cuda": Backend(
        name="cuda",
        title="CUDA",
        package="xllama-cuda13",
        cards="NVIDIA's graphics cards",
        libraries=frozenset({"libcuda.so.1", "libcudart.so.13", "libcublas.so.13"}),
        requirements=("nvidia-cuda-runtime>=13,<14", "nvidia-cublas>=13,<14"),
        rpath="$ORIGIN/../nvidia/cu13/lib",
    ),
}


def version_of_project() -> str:
    """Return xllama's version."""
    found = re.search(r'(?m)^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"))
    if not found:
        sys.exit("pyproject.toml does not say which version this is")
    return found[1]


@dataclass(frozen=True)
class Settings:
    """How the wheel is built."""

    backend: Backend
    llama_cpp: Path
    architectures: str
    parallel: int
    local: bool

    @property
    def tag(self) -> str:
        """The wheel's tag: a local one is for this system only."""
        return "py3-none-linux_x86_64" if self.local else TAG

    @property
    def python(self) -> Path:
        """The Python that packs: a local wheel is made without the network that the tools need."""
        return Path(sys.executable) if self.local else TOOLS / "bin" / "python"

    @property
    def requirements(self) -> tuple[str, ...]:
        """Requirements beside xllama."""
        return () if self.local else self.backend.requirements


def cuda_tools() -> CudaTools:
    """Return CUDA's compiler, headers and libraries."""
    return CudaTools(BUILD / "cuda-tools")


def vulkan_tools() -> VulkanTools:
    """Return the shader compiler and Vulkan's headers."""
    return VulkanTools(BUILD / "vulkan-tools")


def configuration(settings: Settings) -> list[str]:
    """Return the arguments of CMake."""
    backend = settings.backend
    options = [f"-DXLC_BACKEND={backend.name}", f"-DXLC_LLAMA_CPP_DIR={settings.llama_cpp}"]
    options += ["-G", "Ninja"] if shutil.which("ninja") else []
    if backend.name == "cuda":
        options.append(f"-DCMAKE_CUDA_ARCHITECTURES={settings.architectures}")
    if settings.local:  # the library finds what it was linked with
        return [*options, "-DCMAKE_INSTALL_RPATH_USE_LINK_PATH=ON"]
    options += [f"-DCMAKE_TOOLCHAIN_FILE={ROOT / 'cmake' / 'sysroot.cmake'}", f"-DXLC_SYSROOT={SYSROOT}"]
    options.append(f"-DXLC_TRIPLE={TARGET.triple}")
    options.append(f"-DXLC_BACKEND_RPATH={backend.rpath}")
    if backend.name == "cuda":
        cuda = cuda_tools()
        return [*options, f"-DCMAKE_CUDA_COMPILER={cuda.nvcc}", f"-DCUDAToolkit_ROOT={cuda.root}"]
    vulkan = vulkan_tools()
    options += [f"-DVulkan_INCLUDE_DIR={vulkan.headers}", f"-DVulkan_LIBRARY={vulkan.library}"]
    return [*options, f"-DVulkan_GLSLC_EXECUTABLE={vulkan.glslc}", f"-DSPIRV-Headers_DIR={vulkan.spirv}"]


def build(settings: Settings) -> Path:
    """Compile and install the library; return the folder with it and its contract."""
    name = f"{settings.backend.name}{'-local' if settings.local else ''}"
    folder, installed = BUILD / name, BUILD / f"{name}-installed"
    if not settings.local:
        sysroot.fill(SYSROOT, TARGET)
    run("cmake", "-S", ROOT / "cmake" / "backends", "-B", folder, *configuration(settings))
    subprocess.run(["cmake", "--build", str(folder), "--parallel", str(settings.parallel)], check=True)
    shutil.rmtree(installed, ignore_errors=True)
    run("cmake", "--install", folder, "--prefix", installed, "--strip")
    return installed


def describe(settings: Settings, info: Path) -> None:
    """Write the SBOM and the licences of what was compiled (cmake/sbom.py)."""
    backend = settings.backend
    tree = ("--cuda", cuda_tools().root) if backend.name == "cuda" else ("--vulkan", BUILD / "vulkan-tools")
    folder = BUILD / backend.name
    command: list[str | Path] = [TOOLS / "bin" / "python", Path(__file__).with_name("sbom.py"), info, *tree, "--strict"]
    command += [f"--build={folder}", f"--llama-cpp={settings.llama_cpp}", f"--sysroot={SYSROOT}"]
    command += [f"--package={backend.package}", f"--version={version_of_project()}"]
    command += [f"--compiler=GNU {run(TARGET.program('g++'), '-dumpfullversion').strip()}"]
    run(*command, *folder.rglob(f"libggml-{backend.name}.so"))


def pack(settings: Settings, installed: Path, described: Path | None, folder: Path) -> Path:
    """Write the wheel's own files beside the library, and pack all. A local one has no SBOM."""
    backend, version = settings.backend, version_of_project()
    name = backend.package.replace("-", "_")
    words = {"version": version, "title": backend.title, "name": backend.name, "package": backend.package}
    with tempfile.TemporaryDirectory() as unpacked:
        package, info = Path(unpacked) / name, Path(unpacked) / f"{name}-{version}.dist-info"
        shutil.copytree(installed, package)
        (package / "__init__.py").write_text(MODULE.format_map(words), "utf-8")
        licences, licence = info / "licenses", "MIT"
        if described:
            shutil.copytree(described, info)
            licence = expression_of(json.loads((info / "sboms" / f"{backend.package}.cdx.json").read_text("utf-8")))
        else:
            licences.mkdir(parents=True)
            shutil.copy(settings.llama_cpp / "LICENSE", licences / "LICENSE.llama.cpp")
        shutil.copy(ROOT / "LICENSE", licences / "LICENSE")
        further = [f"Requires-Dist: {requirement}\n" for requirement in settings.requirements]
        files = sorted(path.relative_to(licences).as_posix() for path in licences.rglob("*") if path.is_file())
        further += [f"License-File: {file}\n" for file in files]
        metadata = METADATA.format(cards=backend.cards, licence=licence, further="".join(further), **words)
        (info / "METADATA").write_text(metadata, "utf-8")
        (info / "WHEEL").write_text(WHEEL.format(tag=settings.tag))
        (info / "entry_points.txt").write_text(f"[xllama.backends]\n{backend.name} = {name}\n")
        folder.mkdir(parents=True, exist_ok=True)
        same_modes(Path(unpacked))
        run(settings.python, "-m", "wheel", "pack", "--dest-dir", folder, unpacked)
    return folder / f"{name}-{version}-{settings.tag}.whl"


def check(backend: Backend, installed: Path) -> None:
    """Stop if the library needs another library or a newer system than the wheel's name says."""
    library = installed / f"libggml-{backend.name}.so"
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "--dynamic", "--wide", library)))
    if unknown := needed - EVERYWHERE - backend.libraries:
        sys.exit(f"{library.name} needs {', '.join(sorted(unknown))}")
    asked = re.findall(r"Name: (GLIBC|GLIBCXX|CXXABI)_([\d.]+)", run("readelf", "--version-info", "--wide", library))
    for kind, number in sorted(set(asked)):
        limit = sysroot.LIMITS[kind].partition("_")[2]
        if tuple(map(int, number.split("."))) > tuple(map(int, limit.split("."))):
            sys.exit(f"{library.name} needs {kind}_{number}, but the wheel's name allows {limit}")


def make_for_others(settings: Settings, folder: Path) -> Path:
    """Build with tools of fixed versions, so that the same sources give the same bytes, and check."""
    fill_tools()
    os.environ["SOURCE_DATE_EPOCH"] = time_of_sources()  # for all tools
    os.environ.update(with_tools())
    installed = build(settings)
    check(settings.backend, installed)
    with tempfile.TemporaryDirectory() as described:
        describe(settings, Path(described))
        wheel = pack(settings, installed, Path(described), folder)
    run(settings.python, Path(__file__).with_name("check_sbom.py"), wheel)
    return wheel


def main() -> None:
    """Build, check and pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backend", choices=sorted(BACKENDS))
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist", help="where the wheel goes")
    parser.add_argument("--llama-cpp", type=Path, default=ROOT / "vendor" / "llama.cpp", help="llama.cpp's source")
    parser.add_argument("--local", action="store_true", help="with this system's tools and libraries, for this system")
    parser.add_argument("--architectures", default="90", help="CUDA's numbers of the cards, as CMake takes them")
    parser.add_argument("--parallel", type=int, default=2, help="programs that compile at once")
    arguments = parser.parse_args()
    settings = Settings(
        backend=BACKENDS[arguments.backend],
        llama_cpp=arguments.llama_cpp.resolve(),
        architectures=arguments.architectures,
        parallel=arguments.parallel,
        local=arguments.local,
    )
    if settings.local:
        wheel = pack(settings, build(settings), None, arguments.folder.resolve())
    else:
        wheel = make_for_others(settings, arguments.folder.resolve())
    print(f"{wheel.name}: {wheel.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
