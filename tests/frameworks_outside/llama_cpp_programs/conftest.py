"""Programs that import llama_cpp get xllama's module; llama-cpp-python is not installed."""

from __future__ import annotations

import importlib.metadata

import pytest

from xlc_core.compat import llama_cpp

llama_cpp.install()


@pytest.fixture(scope="session", autouse=True)
def _original_is_absent() -> None:
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution("llama-cpp-python")
