"""Two small GGUF models for retrieval.

xllama's catalog calls them ``all-minilm-l6-v2`` and ``xllama-rerank-mini``.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["path"]


def path(filename: str) -> Path:
    """Return the path of a file of this package, such as ``"all-minilm-l6-v2-f16.gguf"``.

    Raises:
        FileNotFoundError: the package has no such file; the message names those it has.
    """
    folder = Path(__file__).parent
    files = sorted(file.name for file in folder.iterdir() if file.suffix in {".gguf", ".json"})
    if filename not in files:
        raise FileNotFoundError(f"xllama_models has no file {filename!r}; it has {', '.join(files)}")
    return folder / filename
