"""The texts that some embedding models want before a query or a document."""

from __future__ import annotations

import functools
import os
from typing import Literal

from xlc_core.catalog import entries

__all__ = ["retrieval_prompt"]


def retrieval_prompt(model: object, kind: Literal["query", "document"]) -> str:
    """Return what the catalog says that a model wants before a text; empty for a model that it does not know.

    The catalog is read once for each model: reading it takes as long as embedding a short query.

    Args:
        model: the model as it was named.
        kind: what the text is.
    """
    return _prompts(str(model), os.environ.get("XLLAMA_CATALOG"))[kind]


@functools.lru_cache(maxsize=64)
def _prompts(model: str, catalog: str | None) -> dict[str, str]:
    entry = entries().get(model)
    if entry is None:
        return {"query": "", "document": ""}
    return {"query": entry.query_prompt, "document": entry.document_prompt}
