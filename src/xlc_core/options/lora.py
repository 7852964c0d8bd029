"""LoRA adapters and control vectors: files that change a model's weights or activations.

    Engine("model", lora={"style.gguf": 0.8}, control_vectors={"calm.gguf": -0.5})

llama.cpp's converters and tools write the files (``convert_lora_to_gguf.py``, ``llama-cvector-generator``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xlc_core.options.base import NativeOptions

__all__ = ["ControlVector", "Lora", "listed"]


class ControlVector(NativeOptions):
    """A direction that is added to a model's activations.

    Attributes:
        path: the GGUF file, or ``hf:owner/repo:file``.
        scale: strength; 0 turns it off, and a negative one pushes the other way [1.0].
    """

    path: str | Path
    scale: float = 1.0


class Lora(NativeOptions):
    """A LoRA adapter.

    Attributes:
        path: the GGUF file, or ``hf:owner/repo:file``.
        scale: strength; 0 turns it off. Requests may have their own scales [1.0].
        name: its name in requests; by default the file's name without ``.gguf``.
    """

    path: str | Path
    scale: float = 1.0
    name: str = ""

    @property
    def key(self) -> str:
        """Its name in requests."""
        return self.name or Path(str(self.path).rsplit(":", 1)[-1]).name.removesuffix(".gguf")


def listed(value: Any) -> Any:
    """Return one file, several, or a mapping of files to scales as a tuple for the options."""
    if isinstance(value, Mapping) and "path" not in value:
        return tuple({"path": path, "scale": scale} for path, scale in value.items())
    several = value if isinstance(value, (list, tuple)) else (value,)
    return tuple({"path": entry} if isinstance(entry, (str, os.PathLike)) else entry for entry in several)
