"""The scales of an engine's LoRA adapters."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from xlc_core.errors import InvalidRequestError
from xlc_core.options.lora import Lora

__all__ = ["LoraScales"]


class LoraScales:
    """How much of each LoRA adapter requests get that do not say so themselves. Any thread may change it."""

    def __init__(self, files: tuple[Lora, ...]) -> None:
        self._lock = threading.Lock()
        self._scales = {file.key: file.scale for file in files}

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
        """Change some of the scales."""
        with self._lock:
            self._scales = self.joined(changes)
