"""The models of the catalog that can be opened without fetching anything."""

from __future__ import annotations

from typing import Literal

from xlc_core.models import catalog

__all__ = ["local_models"]


def local_models(kind: Literal["chat", "embedding", "reranker"] | None = None) -> list[str]:
    """Return the names of the catalog's models that are on this disk, in the catalog's order.

    It uses no network and loads nothing; it reads the catalog and looks for each file.

    Args:
        kind: of this kind only; None: of all kinds.

    Raises:
        InvalidRequestError: a catalog file of the user's cannot be read.
    """
    return [
        name
        for name, entry in catalog.entries().items()
        if kind in (None, entry.kind) and catalog.present_path(entry) is not None
    ]
