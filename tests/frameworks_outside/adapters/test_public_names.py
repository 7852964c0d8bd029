"""The tests of public names, on the packages whose frameworks only this environment has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2] / "test_public_names.py"


@pytest.mark.parametrize("package", ["xlc_haystack", "xlc_litellm", "xlc_llm", "xlc_pydantic_ai"])
def test_names_are_documented_and_nothing_leaks(package: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS), "-k", package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout
