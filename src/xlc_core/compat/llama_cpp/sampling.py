"""How tokens are chosen: llama-cpp-python's arguments as options of the engine, and the choice among given scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from xlc_core.compat.llama_cpp.llama_grammar import LlamaGrammar
from xlc_core.constraints.constraint import Constraint

__all__ = ["choose_token", "require_simple_sampling", "sampling_options", "to_stops"]

Scores = npt.NDArray[np.single]
Weights = npt.NDArray[np.float64]

_WIDE_OPEN = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0}
"""Options with which every token keeps the model's own probability."""


def sampling_options(given: Mapping[str, Any], *, repeat_last_n: int) -> dict[str, Any]:
    """Return the engine's options for the arguments of a request.

    Args:
        given: the arguments that all methods for text share.
        repeat_last_n: tokens that penalties look back.
    """
    max_tokens, temperature, bias = given["max_tokens"], given["temperature"], given["logit_bias"]
    options = {
        "max_tokens": max_tokens if max_tokens and max_tokens > 0 else None,
        "temperature": temperature,
        "top_k": max(0, given["top_k"]),
        "top_p": min(1.0, given["top_p"]),
        "min_p": given["min_p"],
        "typical_p": min(1.0, given["typical_p"]),
        "repeat_last_n": repeat_last_n,
        "repeat_penalty": given["repeat_penalty"],
        "frequency_penalty": given["frequency_penalty"],
        "presence_penalty": given["presence_penalty"],
        "mirostat": given["mirostat_mode"],
        "mirostat_tau": given["mirostat_tau"],
        "mirostat_eta": given["mirostat_eta"],
        "stop": to_stops(given["stop"]),
        "logit_bias": {int(token): float(value) for token, value in bias.items()} if bias else None,
        "constraint": _to_constraint(given["grammar"]),
        **(_WIDE_OPEN if temperature < 0 else {}),
    }
    return {name: value for name, value in options.items() if value is not None}


def _to_constraint(grammar: Any) -> Constraint | None:
    if grammar is None or isinstance(grammar, Constraint):
        return grammar
    if isinstance(grammar, LlamaGrammar):
        return grammar.constraint
    raise TypeError(f"grammar must be a LlamaGrammar, not {type(grammar).__name__}")


def to_stops(stop: str | list[str] | None) -> list[str]:
    """Return the texts that end an answer."""
    stops = [stop] if isinstance(stop, str) else list(stop or ())
    return [text for text in stops if text]


def require_simple_sampling(options: Mapping[str, Any]) -> None:
    """Check that choose_token can do what a request asks for.

    Raises:
        NotImplementedError: it asks for something else too.
    """
    unavailable = {
        "grammar": "constraint" in options,
        "repeat_penalty": options["repeat_penalty"] != 1,
        "typical_p": options["typical_p"] < 1,
        "mirostat_mode": options["mirostat"] != 0,
    }
    if names := [name for name, is_used in unavailable.items() if is_used]:
        raise NotImplementedError(
            f"logits_processor cannot be combined with {', '.join(names)} here; leave one of them out"
        )


def choose_token(scores: Scores, history: list[int], options: Mapping[str, Any], dice: np.random.Generator) -> int:
    """Choose a token by its score, as llama.cpp's samplers do.

    Args:
        scores: of each token of the vocabulary; minus infinity bans one.
        history: the tokens so far.
        options: options of the engine that require_simple_sampling has passed.
        dice: the source of chance.
    """
    weights = _penalize(scores.astype(np.float64), history, options)
    if options["temperature"] == 0:
        return int(np.argmax(weights))
    ids = np.argsort(-weights, kind="stable")[: options["top_k"] or None]
    weights = weights[ids]
    probabilities = _softmax(weights)
    before = np.cumsum(probabilities) - probabilities
    kept = (before < options["top_p"]) | (np.arange(len(ids)) == 0)
    kept &= probabilities >= options["min_p"] * probabilities[0]
    return int(dice.choice(ids[kept], p=_softmax(weights[kept] / options["temperature"])))


def _penalize(scores: Weights, history: list[int], options: Mapping[str, Any]) -> Weights:
    for token, bias in options.get("logit_bias", {}).items():
        scores[token] += bias
    n_back = options["repeat_last_n"]
    tokens, counts = np.unique(np.array(history[-n_back:] if n_back else [], dtype=np.intp), return_counts=True)
    scores[tokens] -= counts * options["frequency_penalty"] + options["presence_penalty"]
    return scores


def _softmax(scores: Weights) -> Weights:
    powers: Weights = np.exp(scores - scores.max())
    shares: Weights = powers / powers.sum()
    return shares
