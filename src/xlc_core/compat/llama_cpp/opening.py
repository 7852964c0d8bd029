"""The arguments of ``Llama(...)`` as options of the engine."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from xlc_core.compat.llama_cpp.llama_cpp import CONSTANTS, constant_name
from xlc_core.compat.llama_cpp.llama_speculative import LlamaPromptLookupDecoding
from xlc_core.options.engine import EngineOptions
from xlc_core.options.speculation import Ngram

__all__ = ["engine_options"]

_TEMPLATE_NAMES = {
    "llama-2": "llama2",
    "llama-3": "llama3",
    "chatml": "chatml",
    "mistral-instruct": "mistral-v1",
    "gemma": "gemma",
    "zephyr": "zephyr",
    "vicuna": "vicuna",
    "openchat": "openchat",
    "chatglm3": "chatglm3",
}
"""llama.cpp's names of the formats that llama-cpp-python has names for."""

_FROM_FILE = {None, "chat_template.default", "jinja", "chatml-function-calling"}
"""Formats for which the model's own template is used; tools work with every template here."""

_NO_LONGER_KNOWN = {"n_parts", "f16_kv", "low_vram", "mul_mat_q", "n_gqa", "rms_norm_eps", "tfs_z"}
"""Arguments of earlier versions, which llama-cpp-python ignores too."""

_FLAGS = {
    "rope_freq_base": ("--rope-freq-base", 0.0),
    "rope_freq_scale": ("--rope-freq-scale", 0.0),
    "yarn_ext_factor": ("--yarn-ext-factor", -1.0),
    "yarn_attn_factor": ("--yarn-attn-factor", 1.0),
    "yarn_beta_fast": ("--yarn-beta-fast", 32.0),
    "yarn_beta_slow": ("--yarn-beta-slow", 1.0),
    "yarn_orig_ctx": ("--yarn-orig-ctx", 0),
}
"""Arguments that llama.cpp's command line has, and the values that mean its default."""


def engine_options(given: Mapping[str, Any], further: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of EngineOptions, without the model.

    Args:
        given: the arguments that llama-cpp-python has.
        further: all others. Fields of EngineOptions pass, others get a warning.

    Raises:
        NotImplementedError: an argument asks for something that the engine does not have.
        ValueError: a number is not in llama.cpp's enumeration.
    """
    if given["vocab_only"]:
        raise NotImplementedError("vocab_only is not available: the engine always loads the weights")
    n_ctx = given["n_ctx"] or None
    n_batch = given["n_batch"] if n_ctx is None else min(n_ctx, given["n_batch"])
    options = {
        "n_ctx": n_ctx,
        "n_batch": n_batch,
        "n_ubatch": min(n_batch, given["n_ubatch"]),
        "n_threads": given["n_threads"],
        "n_threads_batch": given["n_threads_batch"],
        "n_gpu_layers": "all" if given["n_gpu_layers"] < 0 else given["n_gpu_layers"],
        "main_gpu": given["main_gpu"],
        "split_mode": constant_name("LLAMA_SPLIT_MODE_", given["split_mode"]),
        "tensor_split": tuple(given["tensor_split"] or ()),
        "use_mmap": given["use_mmap"] and not given["lora_path"],
        "use_mlock": given["use_mlock"],
        "flash_attn": "on" if given["flash_attn"] else "auto",
        "pooling": _pooling(given["pooling_type"]),
        "chat_template": _template(given["chat_format"]),
        "mmproj": getattr(given["chat_handler"], "clip_model_path", None),
        "speculation": _speculation(given["draft_model"]),
        "lora": {given["lora_path"]: given["lora_scale"]} if given["lora_path"] else (),
        "reasoning_format": "none",  # llama-cpp-python leaves the thinking in the text
        "llama_args": tuple(_arguments(given)),
        **{f"cache_{name}": _cache_type(given[name]) for name in ("type_k", "type_v")},
        **_fields(further),
    }
    return {name: value for name, value in options.items() if value is not None}


def _fields(further: Mapping[str, Any]) -> dict[str, Any]:
    for name in further.keys() - EngineOptions.model_fields.keys() - _NO_LONGER_KNOWN:
        warnings.warn(f"Llama ignores the unknown argument {name!r}", stacklevel=4)
    return {name: value for name, value in further.items() if name in EngineOptions.model_fields}


def _pooling(number: int) -> str | None:
    return None if number < 0 else constant_name("LLAMA_POOLING_TYPE_", number)


def _cache_type(number: int | None) -> str | None:
    return None if number is None else constant_name("GGML_TYPE_", number)


def _template(name: str | None) -> str | None:
    if name in _FROM_FILE:
        return None
    if name not in _TEMPLATE_NAMES:
        known = ", ".join(sorted(map(repr, _TEMPLATE_NAMES)))
        raise NotImplementedError(
            f"chat_format={name!r} is not available. Leave it out to use the template in the model's file, pass a "
            f"Jinja template as chat_template=…, or use one of {known}"
        )
    return _TEMPLATE_NAMES[str(name)]


def _speculation(draft_model: Any) -> tuple[Ngram, ...]:
    if draft_model is None:
        return ()
    if isinstance(draft_model, LlamaPromptLookupDecoding):
        return (Ngram(n_match=draft_model.max_ngram_size, n_max=draft_model.num_pred_tokens),)
    raise NotImplementedError(
        f"draft_model={type(draft_model).__name__} is not available: the engine drafts by itself. Pass "
        "LlamaPromptLookupDecoding, or speculation=DraftModel(…)"
    )


def _arguments(given: Mapping[str, Any]) -> list[str]:
    """Return what only llama.cpp's command line has."""
    arguments = []
    if (scaling := given["rope_scaling_type"]) is not None and scaling >= 0:
        arguments += ["--rope-scaling", constant_name("LLAMA_ROPE_SCALING_TYPE_", scaling)]
    if given["attention_type"] >= 0:
        kind = constant_name("LLAMA_ATTENTION_TYPE_", given["attention_type"])
        arguments += ["--attention", kind.replace("_", "-")]
    for name, (flag, default) in _FLAGS.items():
        if given[name] != default:
            arguments += [flag, str(given[name])]
    if strategy := int(given["numa"]):
        arguments += ["--numa", constant_name("GGML_NUMA_STRATEGY_", strategy)]
    for key, value in (given["kv_overrides"] or {}).items():
        arguments += ["--override-kv", f"{key}={_override(value)}"]
    switches = {
        "--no-kv-offload": not given["offload_kqv"],
        "--no-op-offload": given["op_offload"] is False,
        "--swa-full": given["swa_full"],
        "--spm-infill": given["spm_infill"],
    }
    return arguments + [flag for flag, is_on in switches.items() if is_on]


def _override(value: Any) -> str:
    if isinstance(value, bool):
        return f"bool:{str(value).lower()}"
    return f"{ {int: 'int', float: 'float'}.get(type(value), 'str') }:{value}"


def pooling_number(name: str) -> int:
    """Return llama.cpp's number of a pooling."""
    return CONSTANTS[f"LLAMA_POOLING_TYPE_{name.upper()}"]
