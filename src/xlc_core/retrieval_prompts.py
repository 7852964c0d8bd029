"""The texts that some embedding models want before a query or a document."""

from __future__ import annotations

from typing import Literal

from xlc_core.catalog import entries

__all__ = ["retrieval_prompt"]


def retrieval_prompt(model: object, kind: Literal["query", "document"]) -> str:
    """Return what the catalog says that a model wants before a text; empty for a model that it does not know.

    Args:
        model: the model as it was named.
        kind: what the text is.
    """
    entry = entries().get(str(model))
    if entry is None:
        return ""
    return entry.query_prompt if kind == "query" else entry.document_prompt
