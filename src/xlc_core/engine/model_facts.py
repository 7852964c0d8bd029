"""Facts about a model that is not loaded yet, from its file's header. Frameworks read them when they build a model."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from xlc_core import _native, hardware
from xlc_core.engine import opening
from xlc_core.engine.chat_templates import read_chat_template
from xlc_core.engine.context_size import context_size
from xlc_core.errors import ModelNotFoundError
from xlc_core.generation import media
from xlc_core.models import catalog
from xlc_core.options.engine import EngineOptions
from xlc_core.texts import native_path

__all__ = ["ModelFacts", "read_facts"]

_THINKING = ("enable_thinking", "<think>", "[THINK]", "<|channel|>analysis")
"""Texts in the templates of models that think."""


@dataclass(frozen=True)
class ModelFacts:
    """Facts from a model's file.

    Attributes:
        n_ctx: tokens that one request may hold, prompt and answer together, if the model is loaded now.
        has_chat_template: whether the file or the options contain a chat template.
        supports_thinking: whether that template has a place for thinking.
        can_generate: whether the model writes text.
        reads: kinds of media that messages may hold: of ``image``, ``audio`` and ``video``.
    """

    n_ctx: int
    has_chat_template: bool
    supports_thinking: bool
    can_generate: bool
    reads: frozenset[str] = frozenset()


def read_facts(options: EngineOptions) -> ModelFacts | None:
    """Return facts about a model from its file, without loading it. Uses no network.

    Args:
        options: the model and how it would be opened.

    Returns:
        the facts; None when the file is not on this disk yet.

    Raises:
        ModelLoadError: the file is not a GGUF file.
        InvalidRequestError: a catalog file of the user's cannot be read.
    """
    path = catalog.find_local(options.model)
    if path is None:
        return None
    state = path.stat()
    head = _read_head(path, state.st_size, state.st_mtime_ns)
    template = read_chat_template(options.chat_template) or head.chat_template
    return ModelFacts(
        n_ctx=context_size(options, head, hardware.available_memory()).usable_n_ctx(head),
        has_chat_template=bool(template),
        supports_thinking=any(mark in template for mark in _THINKING),
        can_generate=head.causal,
        reads=_read_projector(options, path),
    )


def _read_projector(options: EngineOptions, model: Path) -> frozenset[str]:
    try:
        found = opening.find_projector(options, model, fetch=False)
    except ModelNotFoundError:  # opening the engine will raise it
        found = ""
    if not found:
        return frozenset()
    path = Path(found)
    state = path.stat()
    file = _read_head(path, state.st_size, state.st_mtime_ns)
    return media.readable(file.sees, file.hears, file.sees)


@functools.lru_cache(maxsize=32)
def _read_head(path: Path, size: int, mtime_ns: int) -> _native.ModelFile:
    """Read a file's head, again only when its size or time has changed."""
    return _native.read_model_file(native_path(path, "the model"))
