"""A thread that the system refuses is an error of the call that needed it: no hang, no end of the process."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.children import run_child

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
static volatile int left = -1;
void refuse_after(int n) { left = n; }
int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *x) {
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!real) real = dlsym(RTLD_NEXT, "pthread_create");
    if (left >= 0 && __sync_fetch_and_sub(&left, 1) == 0) return EAGAIN;
    return real(t, a, f, x);
}
"""

PROGRAM = """
import ctypes, os
shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
options = dict(n_ctx=256, n_parallel=1, n_threads=1, warmup=False)
xlc.Engine  # imports numpy, whose OpenBLAS ends a process that has too few threads
shim.refuse_after({n})
try:
    engine = xlc.Engine(MODELS / "{model}", **options)
    {call}
    print("answered")
except xlc.XllamaError as error:
    print("raised", type(error).__name__, error)
shim.refuse_after(-1)
with xlc.Engine(MODELS / "{model}", **options) as engine:
    {call}
    print("answered")
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not Path("/proc").exists():
        pytest.skip("needs a C compiler and LD_PRELOAD")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c", "-ldl"], check=True)
    return folder / "shim.so"


@pytest.mark.parametrize("n", range(8))
@pytest.mark.parametrize(
    ("model", "call"),
    [
        ("llama.gguf", "engine.complete('a', max_tokens=1, timeout=20)"),
        ("bert-embedder.gguf", "engine.embed(['a'], timeout=20)"),
        ("llama.gguf", "engine.render_chat('a')"),
    ],
    ids=["generation", "retrieval", "template"],
)
def test_refused_thread_is_error(shim: Path, monkeypatch: pytest.MonkeyPatch, n: int, model: str, call: str) -> None:
    monkeypatch.setitem(os.environ, "LD_PRELOAD", str(shim))
    first, second = run_child(PROGRAM.format(n=n, model=model, call=call)).splitlines()
    # llama.cpp's own message of a template that cannot be read makes the third.
    errors = ("EngineFailedError", "InsufficientMemoryError", "ModelLoadError")
    assert first.startswith(("answered", *(f"raised {error}" for error in errors))), first
    assert second == "answered"
