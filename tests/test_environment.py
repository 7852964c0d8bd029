"""Environment variables: those that are read are documented, and none chooses the marker of media."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "environment.md").read_text("utf-8")

_READ = re.compile(r'getenv\(\s*"(\w+)"')
_SOURCES = {".c", ".cpp", ".h", ".hpp", ".m", ".cu", ".cuh"}
# Programs and parts of the server that the module does not contain, and tests.
_NOT_BUILT = {"server-http.cpp", "server-models.cpp", "mtmd-cli.cpp"}
_ONLY_IN_COMMENTS_OR_TESTS = {"OMP_WAIT_POLICY", "LLAMACPP_TEST_MODELFILE"}


def documented() -> set[str]:
    """The names on the page that are written as code, and the beginnings of names that end in an underscore."""
    return set(re.findall(r"`([A-Z][A-Z0-9_]+)`", PAGE))


def read_by_llama_cpp(source: Path) -> set[str]:
    names: set[str] = set()
    for folder in ("src", "common", "ggml/src", "tools/server", "tools/mtmd"):
        for path in (source / folder).rglob("*"):
            if path.suffix in _SOURCES and path.name not in _NOT_BUILT:
                names.update(_READ.findall(path.read_text("utf-8", "replace")))
    return names - _ONLY_IN_COMMENTS_OR_TESTS


def read_by_xllama() -> set[str]:
    pattern = re.compile(r'(?:environ(?:\.get\(|\[)|envvar=)"(\w+)"')
    files = [path for package in ROOT.glob("src/xlc_*") for path in package.rglob("*.py")]
    found = {name for path in files for name in pattern.findall(path.read_text("utf-8"))}
    native = re.compile(r'std::getenv\("(\w+)"')
    for path in (ROOT / "src/xlc_core/native").rglob("*.cpp"):
        found.update(native.findall(path.read_text("utf-8")))
    return found


def test_every_variable_that_is_read_is_documented(vendored_llama_cpp: Path) -> None:
    known = documented()
    beginnings = tuple(name for name in known if name.endswith("_"))
    found = read_by_llama_cpp(vendored_llama_cpp) | read_by_xllama()
    assert len(found) > 50
    assert {name for name in found if name not in known and not name.startswith(beginnings)} == set()


def test_every_documented_variable_is_read(vendored_llama_cpp: Path) -> None:
    found = read_by_llama_cpp(vendored_llama_cpp) | read_by_xllama()
    of_libraries = {"HF_TOKEN", "HF_HOME", "HF_HUB_CACHE", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    for name in documented() - of_libraries:
        assert name in found or (name.endswith("_") and any(other.startswith(name) for other in found)), name


def test_xllama_sets_no_variable() -> None:
    setting = re.compile(r"environ\[[^\]]+\]\s*=[^=]|putenv|setdefault\(\"[A-Z_]+\"|environ\.update")
    files = [path for package in ROOT.glob("src/xlc_*") for path in package.rglob("*.py")]
    assert [path for path in files if setting.search(path.read_text("utf-8"))] == []


def test_environment_does_not_choose_the_marker_of_media() -> None:
    code = "from xlc_core import _native; print(_native.media_marker())"
    markers = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "LLAMA_MEDIA_MARKER": "<__known__>"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        markers.append(done.stdout.strip())
    assert "<__known__>" not in markers
    assert markers[0] != markers[1]


def test_variables_of_llama_cpps_command_line_are_not_read() -> None:
    code = (
        "import sys, xlc_core as xlc\n"
        "with xlc.Engine(sys.argv[1], n_ctx=512, n_parallel=3, warmup=False, n_threads=1) as engine:\n"
        "    print(engine.info.n_ctx, engine.info.n_parallel)\n"
    )
    chosen = {"LLAMA_ARG_CTX_SIZE": "256", "LLAMA_ARG_N_PARALLEL": "1", "LLAMA_ARG_MODEL": "/no/such/file"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "tests" / "model_files" / "llama.gguf")],
        env={**os.environ, **chosen}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["512", "3"]
