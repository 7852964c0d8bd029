"""The common base of the frameworks' embedding models: their fields, and their options for the engine."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from xlc_core.frameworks.engine_adapter import EngineAdapter
from xlc_core.options.kwargs import EmbedKwargs
from xlc_core.options.retrieval import Truncate

__all__ = ["EmbedderAdapter", "TextKind"]

TextKind = Literal["query", "document"]
"""The kind of a text: some models need different prompts before queries and documents."""


class EmbedderAdapter(EngineAdapter):
    """The fields of an adapter that embeds queries and documents."""

    _renamed_fields: ClassVar[dict[str, str]] = {
        "query_instruction": "query_prompt",
        "text_instruction": "document_prompt",
        "embed_instruction": "document_prompt",
    }

    query_prompt: str | None = None
    """Text put before a query; None: the model's own, by its catalog entry, its file or its name."""

    document_prompt: str | None = None
    """Text put before a document; None: the model's own, by its catalog entry, its file or its name."""

    truncate: Truncate = "error"
    """Whether a text that is too long is refused, or cut at its ``"end"`` or ``"start"``."""

    normalize: bool = True
    """Whether vectors are scaled to length 1."""

    dimensions: int | None = Field(None, ge=1)
    """Keep this many leading dimensions, for models trained to allow it; None: all."""

    timeout: float | None = None
    """Seconds that a call may take; afterwards it raises. None: no limit."""

    def _embed_options(self, kind: TextKind, *, progress: bool = False) -> EmbedKwargs:
        return {
            "prompt_name": kind,
            "prompt": self.query_prompt if kind == "query" else self.document_prompt,
            "truncate": self.truncate,
            "normalize": self.normalize,
            "dimensions": self.dimensions,
            "timeout": self.timeout,
            "progress": progress,
        }
