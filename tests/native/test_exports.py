"""The module shares no symbol with other libraries of the process, which may hold another llama.cpp."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from xlc_core import _native


@pytest.mark.skipif(sys.platform == "win32" or shutil.which("nm") is None, reason="nm is not on the path")
def test_module_exports_only_its_entry() -> None:
    options = ["-gU"] if sys.platform == "darwin" else ["-D", "--defined-only"]
    command = ["nm", *options, _native.__file__]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert [line.split()[-1].lstrip("_") for line in lines] == ["PyInit__native"]
