"""Imports load few modules. Modules are counted, as seconds depend on the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = Path(__file__).parent / "model_files" / "llama.gguf"

NATIVE = "xlc_core._native"
COMMAND_LINE = {"typer", "rich", "tqdm", "click"}
NETWORK = {"huggingface_hub", "httpx", "requests", "urllib3", "http.client"}
FRAMEWORKS = {"langchain_core", "llama_index", "torch", "transformers"}
EVERYTHING_HEAVY = {NATIVE, "numpy", "pydantic", "llguidance", "asyncio"} | COMMAND_LINE | NETWORK | FRAMEWORKS


def modules_after(code: str) -> set[str]:
    """Return the names of the modules that a fresh interpreter has after some code."""
    program = f"{code}\nimport json, sys\nsys.stderr.write(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_importing_core_loads_almost_nothing() -> None:
    loaded = modules_after("import xlc_core") - modules_after("import typing, importlib.util")
    assert loaded & EVERYTHING_HEAVY == set()
    assert {name for name in loaded if name.startswith("xlc_core")} == {"xlc_core"}


def test_it_loads_less_than_numpy_and_pydantic() -> None:
    assert len(modules_after("import xlc_core")) < len(modules_after("import numpy, pydantic")) / 2


def test_llama_cpp_is_loaded_with_first_name_that_needs_it() -> None:
    assert NATIVE not in modules_after("import xlc_core; xlc_core.EngineOptions, xlc_core.JsonSchema")
    assert NATIVE in modules_after("import xlc_core; xlc_core.Engine")


def test_constraint_is_checked_without_importing_llguidance() -> None:
    code = "import xlc_core as xlc; xlc.Regex('[0-9]+').check()"
    assert not any(name.startswith("llguidance") for name in modules_after(code))


@pytest.mark.parametrize(
    "code",
    [
        "import xlc_core as xlc; xlc.Engine",
        f"import xlc_core as xlc\n"
        f"with xlc.Engine({str(MODEL)!r}, n_ctx=128, n_threads=1, warmup=False, progress=False) as engine:\n"
        f"    engine.chat('a', max_tokens=1); engine.embed(['a'])",
    ],
    ids=["name", "use"],
)
def test_engine_loads_no_command_line_no_network_and_no_framework(code: str) -> None:
    assert modules_after(code) & (COMMAND_LINE | (NETWORK - {"http.client"}) | FRAMEWORKS) == set()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["models", "--help"], ["models", "convert", "--help"], ["bench", "--help"]],
    ids=" ".join,
)
def test_help_loads_neither_llama_cpp_nor_hub(arguments: list[str]) -> None:
    code = (
        "from xlc_core.cli import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit as end: assert end.code in (0, None), end.code"
    )
    assert modules_after(code) & ({NATIVE, "numpy", "llguidance"} | NETWORK - {"http.client"}) == set()
