"""Options of a request by OpenAI's names, which many frameworks pass on as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xlc_core.frameworks.schemas import read_response_format

__all__ = ["read_openai_options", "read_token_bias", "thinking_options"]

_OTHER_NAMES = {"max_completion_tokens": "max_tokens", "max_new_tokens": "max_tokens", "stop_sequences": "stop"}
_FOR_PROVIDERS = {
    *("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
    *("stream", "stream_options", "extra_headers", "verbosity"),
}


def read_openai_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of ``Engine.chat`` that OpenAI's mean.

    Names that both have, and those that only the engine has, stay. Options for a provider's servers, such as ``user``,
    and a timeout that is not a number are left out; others are left to the engine, which refuses the ones that it does
    not know.

    Args:
        given: the options; None means not given.

    Raises:
        InvalidRequestError: a response format is incomplete.
        ConstraintError: a response format is not one.
    """
    options: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None and name not in _FOR_PROVIDERS:
            options[_OTHER_NAMES.get(name, name)] = value
    if not isinstance(options.get("timeout", 0), (int, float)):  # of a connection, in the form of a client's library
        del options["timeout"]
    if (wanted := options.pop("response_format", None)) is not None:
        options["constraint"] = read_response_format(wanted)
    if (bias := options.pop("logit_bias", None)) is not None:
        options["logit_bias"] = read_token_bias(bias)
    n_top = options.pop("top_logprobs", None)
    if isinstance(options.get("logprobs"), bool):  # OpenAI's switch; the engine's is a number
        options["logprobs"] = max(1, n_top or 0) if options["logprobs"] else None
    template = options.pop("chat_template_kwargs", None) or {}
    thinking = thinking_options(options.pop("reasoning_effort", None))
    template = {**options.pop("template_kwargs", {}), **template, **thinking.pop("template_kwargs", {})}
    return {**thinking, **({"template_kwargs": template} if template else {}), **options}


def read_token_bias(bias: Mapping[Any, float]) -> dict[Any, float]:
    """Return the biases of tokens as the engine's option ``logit_bias`` has them.

    Args:
        bias: what is added to the logits, from -10⁹ to 10⁹ (OpenAI: -100 to 100). A key of digits is a token's number,
            as OpenAI writes it in JSON.
    """
    return {_as_token(token): value for token, value in bias.items()}


def _as_token(token: Any) -> Any:
    name = str(token)
    return int(name) if name.isascii() and name.isdecimal() else token


def thinking_options(effort: str | bool | None) -> dict[str, Any]:
    """Return the options that an effort of thinking means.

    Args:
        effort: True or False; ``"none"`` for False; another level for True, which templates that have levels read;
            None: the default of the model's template.
    """
    if effort is None:
        return {}
    if isinstance(effort, bool) or effort == "none":
        return {"thinking": effort is True}
    return {"thinking": True, "template_kwargs": {"reasoning_effort": effort}}
