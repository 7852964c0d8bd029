"""Libraries of ggml's backends are looked for in the module's own folder and nowhere else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.tiny_models import write_byte_llama
from xlc_core import _native, hardware

# A library like one of ggml's CPU libraries, which would be the best one. It writes a file when it is loaded.
PLANTED = """
#include <stdio.h>
__attribute__((constructor)) static void loaded(void) {
    FILE* file = fopen("loaded", "w");
    if (file) fclose(file);
}
int ggml_backend_score(void) { return 1 << 30; }
void* ggml_backend_init(void) { return 0; }
"""
USE = """
import ctypes, pathlib, sys
import xlc_core as xlc

with xlc.Engine(sys.argv[1], n_ctx=256, n_threads=1, n_parallel=1) as engine:
    assert engine.complete("the tower", max_tokens=2, ignore_eos=True).usage.completion_tokens == 2
assert not pathlib.Path("loaded").exists()
ctypes.CDLL("./libggml-cpu-planted.so")
assert pathlib.Path("loaded").exists()
"""


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs a C compiler on Linux")
def test_planted_library_is_not_loaded(tmp_path: Path) -> None:
    model = write_byte_llama(tmp_path / "model.gguf")
    source = tmp_path / "planted.c"
    source.write_text(PLANTED)
    planted = tmp_path / "libggml-cpu-planted.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(planted), str(source)], check=True, timeout=60)
    for name in ("libggml-blas-planted.so", "libggml-cuda-planted.so", "libggml-vulkan-planted.so"):
        shutil.copy(planted, tmp_path / name)
    environment = {**os.environ, "GGML_BACKEND_PATH": str(planted)}
    command = [sys.executable, "-c", USE, str(model)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_chosen_library_has_the_highest_score() -> None:
    backend = hardware.cpu_backend()
    if backend.library is None:
        assert backend.scores == {}
    else:
        assert backend.scores[backend.library] == max(backend.scores.values()) > 0
    assert backend.kernels == (_native.best_kernels() or None)


def test_report_says_what_was_chosen_and_why() -> None:
    scores = {"x64": 1, "haswell": 64, "zen4": 0}
    report = str(hardware.CpuBackend("haswell", scores, ("AVX2", "FMA"), None))
    assert report.splitlines() == [
        "CPU library: haswell (AVX2, FMA)",
        "own kernels: none for this processor",
        "  haswell: chosen, score 64",
        "  x64: score 1",
        "  zen4: needs instructions that this processor does not have",
    ]
    assert str(hardware.CpuBackend(None, {}, ("AVX2",), "avx2")).startswith("CPU library: in the module (AVX2)")


@pytest.mark.skipif(sys.platform != "linux", reason="names of Linux libraries")
def test_all_libraries_have_scores() -> None:
    """The module looks at each library that lies beside it."""
    files = Path(_native.__file__).parent.glob("libggml-cpu-*.so")
    assert hardware.cpu_backend().scores.keys() == {file.stem.removeprefix("libggml-cpu-") for file in files}
