"""Makes DSPy's models in one line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import dspy

import xlc_core as xlc
from xlc_core.frameworks import default_model
from xlc_dspy.embeddings import XLlamaEmbedder
from xlc_dspy.engines import AsyncXLlamaEngine, XLlamaEngine
from xlc_dspy.errors import PROVIDER

__all__ = ["embedder", "lm"]

_OWN_FIELDS = ("n_ctx", "keep_alive", "timeout")
"""Arguments that are fields of the engines."""

_SHAPING = {
    *("chat_template", "thinking", "thinking_budget", "thinking_budget_message", "reasoning_format", "on_overflow"),
    *("mmproj", "lora", "control_vectors", "control_vector_layers", "cache_type_k", "cache_type_v", "llama_args"),
}
"""Options of the engine on which answers depend."""


def lm(
    model: str | Path | None = None,
    *,
    engine: xlc.Engine | None = None,
    max_tokens: int | None = 1024,
    **options: Any,
) -> dspy.LM:
    """Return a language model that runs inside this process.

    Nothing is loaded before the first call. Its engines share the weights with each other and with every adapter of
    the process that has the same model and options; ``lm.engine.close()`` and the garbage collector release them.

    Args:
        model: a path, a catalog name, or ``hf:owner/repo[:quant-or-file]``; None: ``$XLLAMA_MODEL``.
        engine: an open engine to use instead; who opened it closes it. None: a shared one.
        max_tokens: tokens to generate at most; None: until the model stops or the context is full.
        **options: fields of ``xlc_core.EngineOptions``, such as ``n_ctx``; ``timeout`` (seconds) and ``keep_alive``;
            options of a request that DSPy does not know, such as ``min_p``; and arguments of ``dspy.LM``, such as
            ``temperature`` or ``cache``.

    Returns:
        The model. Its name, by which DSPy caches answers, is ``xllama/`` and the model's, and a short hash of the
        options on which answers depend, if there are any.

    Raises:
        ValueError: an option has a value that cannot be honoured, or no model is named.
    """
    fields: dict[str, Any] = {"model": model or default_model()} if engine is None else {"engine": engine}
    fields |= {name: options.pop(name) for name in _OWN_FIELDS if name in options}
    fields["engine_options"] = _take(options, set(xlc.EngineOptions.model_fields) - {"model"})
    fields["options"] = _take(options, set(xlc.ChatOptions.model_fields) - XLlamaEngine.supported_params - {"n"})
    sync = XLlamaEngine(**fields)
    return dspy.LM(_name(sync), max_tokens=max_tokens, engine=sync, async_engine=AsyncXLlamaEngine(**fields), **options)


def embedder(model: str | Path, *, batch_size: int = 200, caching: bool = True, **options: Any) -> dspy.Embedder:
    """Return an embedding model that runs inside this process. Nothing is loaded before the first call.

    Args:
        model: a path, a catalog name, or ``hf:owner/repo[:quant-or-file]``.
        batch_size: texts that DSPy passes at once.
        caching: whether DSPy keeps vectors in its cache.
        **options: fields of ``XLlamaEmbedder``, such as ``n_ctx`` or ``engine_options``.

    Raises:
        ValueError: an option has a value that cannot be honoured.
    """
    return dspy.Embedder(XLlamaEmbedder(model=model, **options), batch_size=batch_size, caching=caching)


def _take(options: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: options.pop(name) for name in options.keys() & names}


def _name(engine: XLlamaEngine) -> str:
    shaping = {name: value for name, value in engine.engine_options.items() if name in _SHAPING} | engine.options
    if not shaping:
        return f"{PROVIDER}/{engine.model}"
    text = json.dumps(shaping, sort_keys=True, default=repr)
    return f"{PROVIDER}/{engine.model}#{hashlib.sha256(text.encode()).hexdigest()[:8]}"
