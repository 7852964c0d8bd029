"""The models that a pool may open: by names of its own, with their options, or by the names of the catalog."""

from __future__ import annotations

import difflib
import os
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from xlc_core.errors import InvalidRequestError, ModelNotFoundError
from xlc_core.models import catalog
from xlc_core.options.engine import EngineOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["OtherModels", "PoolModels", "PoolNames", "read_names"]

PoolNames = str | Path | Mapping[str, str | Path | EngineOptions | Mapping[str, Any]] | Iterable[str]
"""Names of a pool's models: a TOML file, a mapping of names to models or options, or a list of models."""

OtherModels = Literal["any", "local", "none"]
"""The models that may be opened beside the named ones: any, those of the catalog that are on this disk, or none."""


class PoolModels:
    """Finds the options with which a name is opened."""

    def __init__(self, names: PoolNames, others: OtherModels, defaults: Mapping[str, Any]) -> None:
        if others not in ("any", "local", "none"):
            raise InvalidRequestError(f"others must be 'any', 'local' or 'none', got {others!r}")
        EngineOptions.checked(**defaults)  # a wrong option is known before the first request
        self._defaults = dict(defaults)
        self._others = others
        self._named = {name: self._read(name, value) for name, value in read_names(names).items()}
        self._found: dict[str, EngineOptions] = {}
        self._lock = threading.Lock()

    @property
    def named(self) -> tuple[str, ...]:
        """The names that were given, in their order."""
        return tuple(self._named)

    def names(self) -> tuple[str, ...]:
        """Return the names that were given, then those of the catalog that may be opened and are on this disk."""
        if self._others == "none":
            return self.named
        others = (entry for name, entry in catalog.entries().items() if name not in self._named)
        return (*self.named, *(entry.name for entry in others if catalog.present_path(entry) is not None))

    def known(self, name: str) -> EngineOptions | None:
        """Return a name's options if they do not have to be looked for on the disk."""
        return self._named.get(name) or self._found.get(name)

    def find(self, name: str) -> EngineOptions:
        """Return the options with which a name is opened.

        Raises:
            ModelNotFoundError: the pool may not open it.
        """
        options = self.known(name)
        if options is None:
            if self._others != "any" and name not in self.names():
                raise ModelNotFoundError(self._unknown(name))
            options = EngineOptions.checked(**{**self._defaults, "model": name})
            with self._lock:
                if len(self._found) >= _MOST_REMEMBERED:  # names may come from outside
                    self._found.clear()
                self._found[name] = options
        return options

    def _unknown(self, name: str) -> str:
        names = self.names()
        near = difflib.get_close_matches(name.lower(), names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"its models are: {', '.join(names) or 'none'}"
        return f"the pool does not have a model {name!r:.200}; {hint}"

    def _read(self, name: str, value: Any) -> EngineOptions:
        if isinstance(value, EngineOptions):
            return value
        fields = dict(value) if isinstance(value, Mapping) else {"model": value}
        fields.setdefault("model", name)
        try:
            return EngineOptions.checked(**{**self._defaults, **fields})
        except InvalidRequestError as error:
            raise InvalidRequestError(f"model {name!r}: {error}") from None


_MOST_REMEMBERED = 256


def read_names(names: PoolNames) -> dict[str, Any]:
    """Return names and what they open, from any form in which they are given."""
    if isinstance(names, Mapping):
        return dict(names)
    if isinstance(names, Path) or (isinstance(names, str) and names.endswith(".toml")):
        return _read_file(Path(os.path.expanduser(names)))
    return {name: name for name in ([names] if isinstance(names, str) else names)}


def _read_file(file: Path) -> dict[str, Any]:
    try:
        tables: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f"the file of models {str(file)!r} cannot be read: {error}") from None
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise InvalidRequestError(f"{file}: {name!r} is not a table; write [{name}] and its options below")
        model = table.get("model")
        if isinstance(model, str) and model.startswith(("./", "../")):  # relative to the file that names it
            table["model"] = str(file.parent / model)
    return tables
