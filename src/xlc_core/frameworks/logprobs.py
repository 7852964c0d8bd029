"""Log-probabilities in OpenAI's form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from xlc_core.results import TokenLogprob

__all__ = ["chat_logprobs", "completion_logprobs"]

_LEAST = -9999.0  # OpenAI's number for what cannot be


def chat_logprobs(tokens: Sequence[TokenLogprob], n_top: int | None = None) -> dict[str, Any] | None:
    """Return log-probabilities as in a chat; None without any.

    Args:
        tokens: the tokens.
        n_top: how many of the likeliest tokens at each place were asked for; None: all that are there.
    """
    if not tokens:
        return None
    return {
        "content": [
            {**_entry(token), "top_logprobs": [_entry(other) for other in token.top[:n_top]]} for token in tokens
        ],
        "refusal": None,
    }


def completion_logprobs(tokens: Iterable[TokenLogprob], n_top: int, offset: int = 0) -> dict[str, Any] | None:
    """Return log-probabilities as in a completion; None without any.

    Args:
        tokens: the tokens.
        n_top: how many of the likeliest tokens at each place were asked for.
        offset: characters of the answer before the first of them.
    """
    offsets, tokens = [], list(tokens)
    for token in tokens:
        offsets.append(offset)
        offset += len(token.bytes.decode("utf-8", "ignore"))
    if not tokens:
        return None
    return {
        "tokens": [token.token for token in tokens],
        "token_logprobs": [_finite(token.logprob) for token in tokens],
        "top_logprobs": [{other.token: _finite(other.logprob) for other in token.top[:n_top]} for token in tokens],
        "text_offset": offsets,
    }


def _entry(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.token, "logprob": _finite(token.logprob), "bytes": list(token.bytes)}


def _finite(logprob: float) -> float:
    return max(logprob, _LEAST)
