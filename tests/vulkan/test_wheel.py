"""The Vulkan wheel where something is missing: a warning that says what, and the CPU computes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from xlc_core import _native

ANSWER = """
import sys
import warnings
import xlc_core as xlc

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        with xlc.Engine("all-minilm-l6-v2") as engine:
            assert engine.embed(["the"]).shape == (1, 384)
            print("devices", *(entry.device for entry in engine.memory().devices))
for warning in caught:
    print("warning", warning.message)
"""


@pytest.fixture(scope="module", autouse=True)
def wheel() -> None:
    try:
        distribution("xllama-vulkan")
    except PackageNotFoundError:
        pytest.skip("xllama-vulkan is not installed; `make test-vulkan` installs it")


def answer(**environment: str) -> list[str]:
    """Embed twice in a process of its own; return what it printed."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("GGML_VK_", "VK_"))}
    done = subprocess.run(
        [sys.executable, "-c", ANSWER], env={**plain, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_wheel_holds_one_library() -> None:
    files = [file for file in distribution("xllama-vulkan").files or () if file.parts[0] == "xllama_vulkan"]
    assert {file.name for file in files if file.suffix != ".pyc"} == {
        "__init__.py",
        "contract.txt",
        "libggml-vulkan.so",
    }


def test_wheel_requires_the_same_version() -> None:
    wheel = distribution("xllama-vulkan")
    assert wheel.requires == [f"xllama=={wheel.version}"]
    assert wheel.version == distribution("xllama").version


def test_library_does_not_export_more_than_ggml_asks_for() -> None:
    library = next(file for file in distribution("xllama-vulkan").files or () if file.name.endswith(".so"))
    shown = subprocess.run(
        ["readelf", "--dyn-syms", "--wide", str(library.locate())], capture_output=True, text=True, check=True
    ).stdout
    exported = {line.split()[7] for line in shown.splitlines() if " GLOBAL " in line and " UND " not in line}
    assert exported == {"ggml_backend_init"}


def test_software_driver_is_not_chosen() -> None:
    if any(device.is_gpu and "llvmpipe" not in device.description for device in _native.devices()):
        pytest.skip("this machine has a card")
    *devices, warning = answer()
    assert devices == ["devices CPU"] * 2
    assert warning.startswith("warning xllama-vulkan ")
    assert "it found no graphics card that it can use" in warning


def test_missing_driver_is_one_warning(tmp_path: Path) -> None:
    none = str(tmp_path / "none.json")
    *devices, warning = answer(VK_DRIVER_FILES=none, VK_ICD_FILENAMES=none)
    assert devices == ["devices CPU"] * 2
    assert "graphics card" in warning


def test_unusable_loader_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "libvulkan.so.1").write_bytes(b"\x7fELF, but not more")
    *devices, warning = answer(LD_LIBRARY_PATH=str(tmp_path))
    assert devices == ["devices CPU"] * 2
    assert "libvulkan.so.1" in warning
    assert "install the Vulkan loader" in warning


def test_variable_leaves_it_out() -> None:
    assert answer(XLLAMA_BACKENDS="") == ["devices CPU"] * 2
