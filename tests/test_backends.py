"""Backends in wheels of their own: which are loaded, and what happens to those that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from types import SimpleNamespace

import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from xlc_core import _native, backends


class Point:
    """An entry point of a wheel, with a module that says what the test wants."""

    def __init__(self, tmp_path: Path, *, contract: str | None = None, own: str | None = None) -> None:
        self.name, self.module = "vulkan", "xllama_vulkan"
        self.dist = SimpleNamespace(name="xllama-vulkan", version=own or version("xllama"))
        self.wheel = SimpleNamespace(
            CONTRACT=_native.ggml_contract() if contract is None else contract,
            LIBRARY=tmp_path / "libggml-vulkan.so",
        )
        self.n_loads = 0

    def load(self) -> SimpleNamespace:
        self.n_loads += 1
        return self.wheel


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Load again, and forget what this test has found."""
    backends._load_all.cache_clear()
    yield
    backends._load_all.cache_clear()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[Point], None]:
    """Make a wheel the only one that is installed, beside a portable build."""

    def put(point: Point) -> None:
        monkeypatch.setattr(backends, "entry_points", lambda group: [point] if group == "xllama.backends" else [])
        monkeypatch.setattr(_native, "cpu_libraries", lambda: ("haswell", {"haswell": 64}))

    return put


def problem_of(text: str) -> str:
    with pytest.warns(RuntimeWarning, match=text) as warned:
        (backend,) = backends.load_backends()
    assert len(warned) == 1
    assert str(warned[0].message).startswith(f"{backend.package} is not used")
    return backend.problem


def test_without_wheels_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "entry_points", lambda group: [])
    assert backends.load_backends() == ()


def test_wheel_for_another_ggml_is_not_loaded(install: Callable[[Point], None], tmp_path: Path) -> None:
    install(Point(tmp_path, contract="3-0123456789abcdef"))
    assert "another ggml (3-0123456789abcdef instead of " in problem_of("built for another ggml")


def test_wheel_of_another_version_is_not_even_imported(install: Callable[[Point], None], tmp_path: Path) -> None:
    point = Point(tmp_path, own="99.1")
    install(point)
    assert problem_of("pip install xllama-vulkan==") == (
        f"xllama is {version('xllama')}; pip install xllama-vulkan=={version('xllama')}"
    )
    assert point.n_loads == 0


def test_wheel_that_raises_does_not_stop_the_cpu(
    install: Callable[[Point], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = Point(tmp_path)
    install(point)
    monkeypatch.setattr(point, "load", lambda: (_ for _ in ()).throw(OSError("contract.txt is gone")))
    model = write_byte_llama(tmp_path / "tiny.gguf")
    with pytest.warns(RuntimeWarning, match=r"OSError: contract\.txt is gone"):
        engine = xlc.Engine(model, n_ctx=256, n_parallel=1)
    with engine, xlc.Engine(model, n_ctx=256, n_parallel=1) as second:  # which does not warn again
        for each in (engine, second):
            assert each.complete("the", max_tokens=1).usage.completion_tokens == 1


def test_build_from_source_names_its_own_way(
    install: Callable[[Point], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(Point(tmp_path))
    monkeypatch.setattr(_native, "cpu_libraries", lambda: ("", {}))
    assert problem_of("a build from source or for Windows").endswith(
        "build with -C cmake.define.GGML_VULKAN=ON instead"
    )


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("failed to load x: libvulkan.so.1: cannot open shared object file", "install the Vulkan loader"),
        ("failed to initialize backend from x: ggml_backend_init returned NULL", "install the driver"),
        ("failed to load x: libcuda.so.1: cannot open shared object file", "install NVIDIA's driver"),
        ("failed to load x: libcudart.so.13: cannot open shared object file", "pip install nvidia-cuda-runtime"),
    ],
)
def test_remedy_is_named(
    install: Callable[[Point], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, remedy: str
) -> None:
    install(Point(tmp_path))
    monkeypatch.setattr(_native, "load_backend", lambda path: said)
    problem = problem_of(remedy)
    assert problem.startswith(f"{said}; {remedy}")


def test_backend_without_cards_is_said(
    install: Callable[[Point], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(Point(tmp_path))
    monkeypatch.setattr(_native, "load_backend", lambda path: "")
    assert "no graphics card" in problem_of("found no graphics card")


@pytest.mark.parametrize(("value", "n_loads"), [("", 0), ("cuda", 0), ("cuda, Vulkan", 1)])
def test_variable_chooses_backends(
    install: Callable[[Point], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, n_loads: int
) -> None:
    point = Point(tmp_path)
    install(point)
    monkeypatch.setenv("XLLAMA_BACKENDS", value)
    loaded: list[str] = []
    monkeypatch.setattr(_native, "load_backend", lambda path: loaded.append(path) or "of no use")
    if n_loads:
        assert problem_of("of no use") == "of no use"
    else:
        (backend,) = backends.load_backends()
        assert backend.problem == "XLLAMA_BACKENDS leaves it out"
    assert (point.n_loads, len(loaded)) == (n_loads, n_loads)


def test_library_is_named_by_its_full_path(
    install: Callable[[Point], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(Point(tmp_path))
    loaded: list[str] = []
    monkeypatch.setattr(_native, "load_backend", lambda path: loaded.append(path) or "of no use")
    problem_of("of no use")
    assert loaded == [str(tmp_path / "libggml-vulkan.so")]


def test_entry_points_are_those_of_the_wheels() -> None:
    for point in entry_points(group=backends.GROUP):
        assert isinstance(point, EntryPoint)
        assert point.module in {"xllama_vulkan", "xllama_cuda13"}


def test_contract_has_version_and_digest() -> None:
    interface, _, digest = _native.ggml_contract().partition("-")
    assert int(interface) > 0
    assert len(bytes.fromhex(digest)) == 8


@pytest.mark.parametrize("device", ["cuda:77", "gpu", "", "vulkan:", "cpu:0", "Vulkan0"])
def test_unknown_device_lists_what_exists(tmp_path: Path, device: str) -> None:
    with pytest.raises(xlc.InvalidRequestError) as caught:
        xlc.Engine(write_byte_llama(tmp_path / "tiny.gguf"), device=device)
    message = str(caught.value)
    assert message.startswith(f"device='{device}' does not exist here; there is 'auto', 'cpu'")
    for found in _native.devices():
        if found.is_gpu:
            assert f"'{found.option}' ({found.description})" in message


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_without_gpu_the_cpu_computes(tmp_path: Path, device: str) -> None:
    if any(found.is_gpu for found in backends.devices()):
        pytest.skip("this machine has a GPU")
    assert _native.choose_devices(device) == []
    with xlc.Engine(write_byte_llama(tmp_path / "tiny.gguf"), device=device, n_ctx=256, n_parallel=1) as engine:
        assert [entry.device for entry in engine.memory().devices] == ["CPU"]
