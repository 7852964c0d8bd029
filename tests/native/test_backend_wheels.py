"""The wheels of GPU backends: names, requirements, and the contract that both sides carry."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import zipfile
from email import message_from_string
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

from xlc_core import _native

ROOT = Path(__file__).parents[2]
CMAKE = ROOT / "cmake"


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(CMAKE))
    module = importlib.import_module("make_backend_wheel")
    monkeypatch.setattr(module.Settings, "python", Path(sys.executable))  # it has the package wheel too
    return module


def make_wheel(maker: ModuleType, tmp_path: Path, backend: str, *, local: bool) -> zipfile.ZipFile:
    """Pack a wheel with an empty library, and with somebody's licence if it is for others."""
    installed = tmp_path / "installed"
    installed.mkdir()
    (installed / f"libggml-{backend}.so").touch()
    (installed / "contract.txt").write_text("3-0123456789abcdef\n")
    (tmp_path / "LICENSE").write_text("MIT")
    settings = maker.Settings(
        maker.BACKENDS[backend],
        llama_cpp=tmp_path,
        architectures="90",
        parallel=1,
        local=local,
    )
    described = tmp_path / "described"
    (described / "sboms").mkdir(parents=True)
    (described / "licenses" / "theirs").mkdir(parents=True)
    (described / "licenses" / "theirs" / "LICENSE").write_text("Free")
    own = {"licenses": [{"expression": "MIT"}]}
    theirs = {"licenses": [{"expression": "Zlib OR MIT"}], "purl": "pkg:pypi/theirs"}
    sbom = {"metadata": {"component": own}, "components": [theirs]}
    (described / "sboms" / f"{settings.backend.package}.cdx.json").write_text(json.dumps(sbom))
    return zipfile.ZipFile(maker.pack(settings, installed, None if local else described, tmp_path / "dist"))


@pytest.mark.parametrize(
    ("backend", "package", "local", "tag", "others"),
    [
        ("vulkan", "xllama_vulkan", False, "manylinux_2_28_x86_64", []),
        ("cuda", "xllama_cuda13", False, "manylinux_2_28_x86_64", ["nvidia-cuda-runtime", "nvidia-cublas"]),
        ("cuda", "xllama_cuda13", True, "linux_x86_64", []),
    ],
)
def test_wheel_is_for_one_version(
    maker: ModuleType, tmp_path: Path, backend: str, package: str, local: bool, tag: str, others: list[str]
) -> None:
    with make_wheel(maker, tmp_path, backend, local=local) as wheel:
        own = version("xllama")
        assert Path(wheel.filename or "").name == f"{package}-{own}-py3-none-{tag}.whl"
        info = f"{package}-{own}.dist-info"
        metadata = message_from_string(wheel.read(f"{info}/METADATA").decode())
        first, *rest = metadata.get_all("Requires-Dist") or []
        assert first == f"xllama=={own}"
        assert [requirement.partition(">")[0] for requirement in rest] == others
        files = metadata.get_all("License-File")
        assert files == (["LICENSE", "LICENSE.llama.cpp"] if local else ["LICENSE", "theirs/LICENSE"])
        assert {f"{info}/licenses/{file}" for file in files} <= set(wheel.namelist())
        assert metadata["License-Expression"] == ("MIT" if local else "(Zlib OR MIT) AND MIT")
        assert wheel.read(f"{info}/entry_points.txt").decode() == f"[xllama.backends]\n{backend} = {package}\n"
        wheel.extractall(tmp_path / "site")
    code = f"import {package} as wheel; print(wheel.CONTRACT, wheel.LIBRARY.name, wheel.LIBRARY.exists())"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "site", capture_output=True, text=True, check=True
    ).stdout
    assert shown.split() == ["3-0123456789abcdef", f"libggml-{backend}.so", "True"]


def test_contract_changes_with_a_header(tmp_path: Path) -> None:
    source = ROOT / "vendor" / "llama.cpp" / "ggml"
    if not source.exists():
        pytest.skip("built from another llama.cpp than vendor/'s")

    def contract(folder: Path) -> str:
        script = tmp_path / "contract.cmake"
        lines = (f'include("{CMAKE}/contract.cmake")', f'xlc_ggml_contract("{folder}" found)', 'message("${found}")')
        script.write_text("\n".join(lines))
        return subprocess.run(["cmake", "-P", str(script)], capture_output=True, text=True, check=True).stderr.strip()

    assert contract(source) == _native.ggml_contract()
    for name in ("include/ggml.h", "src/ggml-impl.h", "src/ggml-backend-impl.h"):
        copied = tmp_path / "ggml" / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes((source / name).read_bytes())
    before = contract(tmp_path / "ggml")
    assert before != contract(source)
    with copied.open("a") as file:
        file.write("\n")
    assert contract(tmp_path / "ggml") != before
    assert before.partition("-")[0] == contract(source).partition("-")[0]
