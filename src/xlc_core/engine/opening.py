"""Builds the native parameters from EngineOptions, with all defaults that depend on the model or the machine."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from xlc_core import _native, hardware
from xlc_core.backends import load_backends
from xlc_core.engine.chat_templates import read_chat_template
from xlc_core.engine.context_size import context_size, exceeds_training
from xlc_core.errors import ModelNotFoundError
from xlc_core.models import catalog
from xlc_core.models.companions import find_file
from xlc_core.options.engine import EngineOptions
from xlc_core.options.speculation import Ngram
from xlc_core.terminal import is_terminal, new_bar
from xlc_core.texts import native_path, python_path

__all__ = ["LoadProgress", "native_params", "progress_reporter"]

LoadProgress = Callable[[float], None]
"""A function that is called with the share of the model that is loaded, from 0 to 1, on the thread that opens it. An
exception in it ends the loading."""

_GPU_LAYERS = {"auto": -1, "all": -2}  # llama.cpp's numbers for these words

# Fields of EngineOptions that have the same name in the native parameters.
_COPIED_FIELDS = (
    *("n_batch", "n_ubatch", "device", "main_gpu", "split_mode", "tensor_split", "flash_attn", "encoder"),
    *("cache_type_k", "cache_type_v", "use_mmap", "use_mlock", "cache_ram_mib", "warmup"),
    *("thinking_budget_message", "reasoning_format"),
)


def speculation_arguments(options: EngineOptions) -> list[str]:
    """Return ``speculation`` as arguments of llama.cpp's command line. Finds the draft models, and may fetch them."""
    if not options.speculation:
        return []
    arguments = ["--spec-type", ",".join(kind.type_name for kind in options.speculation)]
    for kind in options.speculation:
        model = None if isinstance(kind, Ngram) else kind.model
        if model is not None:
            arguments += ["--spec-draft-model", native_path(catalog.resolve(model).path, "the draft model")]
        arguments += kind.arguments()
    return arguments


def find_projector(options: EngineOptions, model: Path, *, fetch: bool = True) -> str:
    """Return the path of a model's projector, which reads images and sound; empty if it is not used.

    Args:
        options: ``mmproj`` and the model as it was named.
        model: the model's file.
        fetch: whether the hub may be asked.

    Raises:
        ModelNotFoundError: it is not there; or not exactly one is beside the model and in its
            repository on the hub.
    """
    if options.mmproj is None:
        return ""
    wanted = str(options.mmproj)
    if wanted == "auto":
        found = sorted(path for path in model.parent.glob("*.gguf") if "mmproj" in path.name.lower())
        if len(found) == 1:
            return str(found[0])
        if not str(options.model).startswith("hf:"):
            names = ", ".join(path.name for path in found) or "no file with mmproj in its name"
            raise ModelNotFoundError(
                f"mmproj='auto' needs exactly one projector beside '{model}', but there is {names}"
            )
        wanted = ":".join(str(options.model).split(":")[:2]) + ":mmproj"
    if wanted.startswith("hf:") and not fetch:
        return str(catalog.find_local(wanted) or "")
    return find_file(wanted, "multimodal projector")


def native_params(options: EngineOptions, name: str, file: _native.ModelFile) -> _native.EngineParams:
    """Choose the values that the user left open, and return the parameters.

    Args:
        options: the user's options.
        name: the model's name, for messages.
        file: metadata of the model file.
    """
    load_backends()
    native = _native.EngineParams()
    for field in _COPIED_FIELDS:
        value = getattr(options, field)
        setattr(native, field, list(value) if isinstance(value, tuple) else value)
    native.pooling = options.pooling or ""
    native.chat_template = read_chat_template(options.chat_template)
    layers = options.n_gpu_layers
    arguments = [*speculation_arguments(options), *options.llama_args]
    if arguments and isinstance(layers, int):  # llama.cpp's parser takes a number only from the command line
        arguments = ["--n-gpu-layers", str(layers), *arguments]
        layers = "auto"
    native.llama_args = arguments
    native.n_gpu_layers = layers if isinstance(layers, int) else _GPU_LAYERS[layers]
    native.model_path = file.path
    native.model_name = name
    size = context_size(options, file, hardware.available_memory())
    if file.causal and exceeds_training(options, file):
        warnings.warn(
            f"n_ctx={options.n_ctx} is more than the {file.n_ctx_train} tokens that '{name}' was trained with, so a "
            f"request may hold {size.n_ctx}; 'Longer contexts' in docs/engine.md says how some models are extended",
            stacklevel=3,
        )
    native.n_ctx = size.n_ctx if options.n_ctx else 0
    native.n_ctx_total = size.n_ctx_total
    native.n_parallel = size.n_parallel
    native.kv_unified = size.kv_unified
    native.n_ctx_retrieval = options.n_ctx or 0
    native.n_batch_retrieval = options.n_batch_retrieval or 0
    native.n_threads = options.n_threads or hardware.available_cores()
    native.n_threads_batch = options.n_threads_batch or native.n_threads
    native.thinking = -1 if options.thinking is None else int(options.thinking)
    native.thinking_budget = -1 if options.thinking_budget is None else options.thinking_budget
    native.context_shift = options.on_overflow == "shift"
    native.sleep_after = options.sleep_after or 0
    native.mmproj = native_path(find_projector(options, Path(python_path(file.path))), "the projector")
    native.lora = [_scaled(lora.path, lora.scale, "LoRA adapter") for lora in options.lora]
    native.control_vectors = [
        _scaled(vector.path, vector.scale, "control vector") for vector in options.control_vectors
    ]
    if options.control_vector_layers is not None:
        native.control_vector_first_layer, native.control_vector_last_layer = options.control_vector_layers
    return native


def _scaled(path: str | Path, scale: float, what: str) -> _native.ScaledFile:
    return _native.ScaledFile(native_path(find_file(path, what), f"the {what}"), scale)


def progress_reporter(progress: bool | LoadProgress | None, name: str) -> LoadProgress | None:
    """Return the receiver of progress: the given function, a bar on stderr, or nothing.

    Args:
        progress: a function of 0 … 1; True or False for a bar or none; None for a bar on a terminal.
        name: the model's name, shown beside the bar.
    """
    if callable(progress):
        return progress
    if progress is False or (progress is None and not is_terminal(sys.stderr)):
        return None
    # The bar appears after half a second, so that a model that loads at once does not show one.
    bar = new_bar(total=100, desc=f"loading {name}", unit="%", delay=0.5, leave=False)

    def report(done: float) -> None:
        bar.update(round(done * 100) - bar.n)
        if done >= 1:
            bar.close()

    return report
