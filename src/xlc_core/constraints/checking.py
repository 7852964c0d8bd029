"""Access to the native checks of constraints, which are done once for each grammar."""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
from typing import Any

from xlc_core.errors import UnsupportedFeatureError

__all__ = ["check_once", "llguidance_library", "native_module"]


@functools.lru_cache(maxsize=256)
def check_once(kind: str, grammar: str) -> None:
    """Check that a grammar can be compiled. The last 256 that passed are remembered.

    Raises:
        ConstraintError: it is malformed or unsupported, or no text satisfies it.
        UnsupportedFeatureError: the package llguidance is not installed.
    """
    native_module().check_constraint(kind, grammar)


@functools.cache
def native_module() -> Any:
    """Return the native module, which has been told where llguidance is.

    Raises:
        UnsupportedFeatureError: the package llguidance is not installed.
    """
    from xlc_core import _native

    _native.set_llguidance_path(llguidance_library())
    return _native


def llguidance_library() -> str:
    """Return the path of llguidance's native library, without importing the package, which would load it.

    Raises:
        UnsupportedFeatureError: the package is not installed.
    """
    package = importlib.util.find_spec("llguidance")
    folders = package.submodule_search_locations if package is not None else None
    library = importlib.machinery.PathFinder.find_spec("_lib", folders) if folders else None
    if library is None or library.origin is None:
        raise UnsupportedFeatureError(
            "constraints need the package llguidance; install it with: pip install 'llguidance>=1.7.5,<2'"
        )
    return library.origin
