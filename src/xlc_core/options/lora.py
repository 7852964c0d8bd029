"""What changes a model's weights or activations without being part of it: LoRA adapters and control vectors.

    Engine("model", lora={"style.gguf": 0.8}, control_vectors={"calm.gguf": -0.5})

Files are those that llama.cpp's converters and tools write (``convert_lora_to_gguf.py``, ``llama-cvector-generator``).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from xlc_core.errors import InvalidRequestError, ModelNotFoundError
from xlc_core.models import catalog
from xlc_core.options.base import Options

__all__ = ["ControlVector", "Lora", "LoraScales", "find_file", "listed"]


class ControlVector(Options):
    """A direction that is added to a model's activations.

    Attributes:
        path: the GGUF file, or ``hf:owner/repo:file``.
        scale: how much of it; 0 is none, and a negative one pushes the other way.
    """

    path: str | Path
    scale: float = Field(1.0, allow_inf_nan=False)


class Lora(Options):
    """A LoRA adapter.

    Attributes:
        path: the GGUF file, or ``hf:owner/repo:file``.
        scale: how much of it; 0 is none. Requests may have scales of their own.
        name: what requests call it; by default the file's name without ``.gguf``.
    """

    path: str | Path
    scale: float = Field(1.0, allow_inf_nan=False)
    name: str = ""

    @property
    def key(self) -> str:
        """What requests call it."""
        return self.name or Path(str(self.path).rsplit(":", 1)[-1]).name.removesuffix(".gguf")


def listed(value: Any) -> Any:
    """Read one file, several, or a mapping of files to scales as a tuple of what the options take."""
    if isinstance(value, Mapping) and "path" not in value:
        return tuple({"path": path, "scale": scale} for path, scale in value.items())
    several = value if isinstance(value, (list, tuple)) else (value,)
    return tuple({"path": entry} if isinstance(entry, (str, Path)) else entry for entry in several)


def find_file(path: str | Path, what: str) -> str:
    """Return where a file lies that goes with a model, fetching it first where it is the hub's.

    Raises:
        ModelNotFoundError: it is not there.
    """
    if isinstance(path, str) and path.startswith("hf:"):
        return str(catalog.resolve(path).path)
    found = Path(path).expanduser()
    if not found.is_file():
        raise ModelNotFoundError(
            f"there is no {what} at '{found}'; give the path of its GGUF file, or hf:owner/repo:file"
        )
    return str(found)


class LoraScales:
    """How much of each adapter requests get that do not say so themselves. Any thread may change it."""

    def __init__(self, adapters: tuple[Lora, ...]) -> None:
        self._lock = threading.Lock()
        self._scales = {adapter.key: adapter.scale for adapter in adapters}

    def get(self) -> dict[str, float]:
        """Return the scales by name, in the order of the engine's options."""
        return dict(self._scales)

    def joined(self, changes: Mapping[str, float] | None) -> dict[str, float]:
        """Return the scales with some changed.

        Raises:
            InvalidRequestError: a name or scale is wrong.
        """
        scales = self.get()
        for name, scale in (changes or {}).items():
            if name not in scales:
                known = ", ".join(repr(key) for key in scales) or "none; open the engine with lora="
                raise InvalidRequestError(f"there is no LoRA adapter {name!r}; loaded are {known}")
            scales[name] = Lora.checked(path="", scale=scale).scale
        return scales

    def change(self, changes: Mapping[str, float]) -> None:
        """Change some of them."""
        with self._lock:
            self._scales = self.joined(changes)
