"""llama-cpp-python's source, fetched from the package index and not built."""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
import urllib.request
from pathlib import Path

from xlc_core.compat.llama_cpp import __version__

INDEX = "https://pypi.org/simple/llama-cpp-python/"
NAME = f"llama_cpp_python-{__version__}"


def original_source() -> Path:
    """Return the folder of the source, which stays in the environment of these tests."""
    folder = Path(sys.prefix) / "source"
    if not (folder / NAME).exists():
        request = urllib.request.Request(INDEX, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            files = json.load(answer)["files"]
        (file,) = (file for file in files if file["filename"] == f"{NAME}.tar.gz")
        folder.mkdir(exist_ok=True)
        archive = folder / file["filename"]
        urllib.request.urlretrieve(file["url"], archive)
        assert hashlib.sha256(archive.read_bytes()).hexdigest() == file["hashes"]["sha256"]
        with tarfile.open(archive) as content:
            wanted = (f"{NAME}/llama_cpp/", f"{NAME}/tests/")
            content.extractall(folder, [member for member in content if member.name.startswith(wanted)], filter="data")
        archive.unlink()
    return folder / NAME
