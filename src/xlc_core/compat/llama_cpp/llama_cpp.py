"""llama.cpp's constants, and the few of its functions that need neither a context nor tensors.

Everything else of llama.cpp's C interface is missing: an AttributeError names the replacement.
"""

from __future__ import annotations

import ctypes
import itertools
import logging
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from xlc_core.compat.llama_cpp.vocabulary import Vocabulary
from xlc_core.logger import logger

if TYPE_CHECKING:
    from xlc_core.compat.llama_cpp.llama import Llama

LLAMA_DEFAULT_SEED = 0xFFFFFFFF
LLAMA_MAX_DEVICES = 16
LLAMA_TOKEN_NULL = -1

_ENUMS = {
    "LLAMA_VOCAB_TYPE_": "NONE=0 SPM=1 BPE=2 WPM=3 UGM=4 RWKV=5 PLAMO2=6",
    "LLAMA_TOKEN_ATTR_": (
        "UNDEFINED=0 UNKNOWN=1 UNUSED=2 NORMAL=4 CONTROL=8 USER_DEFINED=16 BYTE=32 NORMALIZED=64 LSTRIP=128 "
        "RSTRIP=256 SINGLE_WORD=512"
    ),
    "LLAMA_ROPE_SCALING_TYPE_": "UNSPECIFIED=-1 NONE=0 LINEAR=1 YARN=2 LONGROPE=3",
    "LLAMA_POOLING_TYPE_": "UNSPECIFIED=-1 NONE=0 MEAN=1 CLS=2 LAST=3 RANK=4",
    "LLAMA_ATTENTION_TYPE_": "UNSPECIFIED=-1 CAUSAL=0 NON_CAUSAL=1",
    "LLAMA_FLASH_ATTN_TYPE_": "AUTO=-1 DISABLED=0 ENABLED=1",
    "LLAMA_SPLIT_MODE_": "NONE=0 LAYER=1 ROW=2 TENSOR=3",
    "LLAMA_LOAD_MODE_": "AUTO=-1 NONE=0 MMAP=1 MLOCK=2 MMAP_MLOCK=3",
    "GGML_NUMA_STRATEGY_": "DISABLED=0 DISTRIBUTE=1 ISOLATE=2 NUMACTL=3 MIRROR=4",
    "GGML_TYPE_": (
        "F32=0 F16=1 Q4_0=2 Q4_1=3 Q5_0=6 Q5_1=7 Q8_0=8 Q8_1=9 Q2_K=10 Q3_K=11 Q4_K=12 Q5_K=13 Q6_K=14 Q8_K=15 "
        "IQ2_XXS=16 IQ2_XS=17 IQ3_XXS=18 IQ1_S=19 IQ4_NL=20 IQ3_S=21 IQ2_S=22 IQ4_XS=23 I8=24 I16=25 I32=26 I64=27 "
        "F64=28 IQ1_M=29 BF16=30"
    ),
}
CONSTANTS = {
    f"{prefix}{name}": int(value)
    for prefix, members in _ENUMS.items()
    for name, _, value in (member.partition("=") for member in members.split())
}
"""llama.cpp's enumerations by the names of their members, which are attributes of this module."""

__all__ = [
    "LLAMA_DEFAULT_SEED",
    "LLAMA_MAX_DEVICES",
    "LLAMA_TOKEN_NULL",
    "constant_name",
    "llama_backend_free",
    "llama_backend_init",
    "llama_log_callback",
    "llama_log_set",
    "llama_model_get_vocab",
    "llama_print_system_info",
    "llama_supports_gpu_offload",
    "llama_supports_mlock",
    "llama_supports_mmap",
    "llama_token_get_attr",
    "llama_token_to_piece",
    "llama_vocab_bos",
    "llama_vocab_eos",
    "llama_vocab_is_eog",
    "llama_vocab_n_tokens",
    "missing_name",
]


def missing_name(name: str) -> str:
    """Return the message for a name of llama-cpp-python that is not here."""
    if name.startswith(("llama_", "ggml_", "mtmd_", "clip_", "llava_", "LLAMA_", "GGML_")):
        return (
            f"xlc_core.compat.llama_cpp does not have {name}: it has llama-cpp-python's classes, not llama.cpp's C "
            "interface. Use Llama's methods, or those of Llama.engine, an xlc_core.Engine"
        )
    return f"xlc_core.compat.llama_cpp does not have {name}; docs/migrating.md says what it has"


def __getattr__(name: str) -> Any:
    if name in CONSTANTS:
        return CONSTANTS[name]
    raise AttributeError(missing_name(name))


def constant_name(prefix: str, value: int) -> str:
    """Return the name of an enumeration's member in small letters, without the prefix.

    Args:
        prefix: the part that all members begin with.
        value: the member's number.

    Raises:
        ValueError: no member has this number.
    """
    for name, number in CONSTANTS.items():
        if number == value and name.startswith(prefix):
            return name.removeprefix(prefix).lower()
    raise ValueError(f"{value!r} is not one of llama.cpp's {prefix}… values")


# The library


def llama_backend_init() -> None:
    """Do nothing: the engine starts llama.cpp by itself."""


def llama_backend_free() -> None:
    """Do nothing: the engine ends llama.cpp by itself."""


def llama_supports_mmap() -> bool:
    """Return True: files can be mapped into memory."""
    return True


def llama_supports_mlock() -> bool:
    """Return True: weights can be kept from being swapped out."""
    return True


def llama_supports_gpu_offload() -> bool:
    """Return whether this installation has a GPU that it can use."""
    from xlc_core import _native

    return any(device.is_gpu for device in _native.devices())


def llama_print_system_info() -> bytes:
    """Return the features of the processor that are used."""
    from xlc_core import _native

    return " | ".join(f"{name} = 1" for name in _native.cpu_features()).encode()


_LEVELS = {logging.DEBUG: 4, logging.INFO: 1, logging.WARNING: 2, logging.ERROR: 3}  # ggml_log_level


class _CallbackHandler(logging.Handler):
    """Passes log messages to a function in the form of llama.cpp's."""

    def __init__(self, callback: Callable[[int, bytes, Any], object], user_data: Any) -> None:
        super().__init__()
        self._callback, self._user_data = callback, user_data

    def emit(self, record: logging.LogRecord) -> None:
        self._callback(_LEVELS.get(record.levelno, 1), f"{self.format(record)}\n".encode(), self._user_data)


def llama_log_callback(function: Callable[[int, bytes, Any], object]) -> Callable[[int, bytes, Any], object]:
    """Return the function: log callbacks here are functions of Python."""
    return function


def llama_log_set(log_callback: Callable[[int, bytes, Any], object] | None, user_data: Any = None) -> None:
    """Pass llama.cpp's messages to a function, instead of an earlier one.

    They also go to ``logging.getLogger("xllama")``, whose level decides which there are; nothing is printed.

    Args:
        log_callback: called with ggml's level, the text and ``user_data``; None for none.
        user_data: the function's last argument.
    """
    for handler in logger.handlers[:]:
        if isinstance(handler, _CallbackHandler):
            logger.removeHandler(handler)
    if log_callback is not None:
        logger.addHandler(_CallbackHandler(log_callback, user_data))


# Vocabularies. Their handles are numbers, as pointers are.

_numbers = itertools.count(1)
_models: weakref.WeakValueDictionary[int, Llama] = weakref.WeakValueDictionary()


def register_model(llama: Llama) -> int:
    """Return a new handle of a model."""
    _models[number := next(_numbers)] = llama
    return number


def llama_model_get_vocab(model: int) -> int:
    """Return the handle of a model's vocabulary.

    Args:
        model: ``Llama.model``.
    """
    return model


def _vocabulary(vocab: int) -> Vocabulary:
    if (llama := _models.get(vocab)) is None:
        _raise_unknown(vocab)
    return llama.vocabulary


def _raise_unknown(vocab: int) -> NoReturn:
    raise ValueError(f"{vocab!r} is not the vocabulary of a Llama that is in use")


def llama_vocab_n_tokens(vocab: int) -> int:
    """Return how many tokens a vocabulary has."""
    return _vocabulary(vocab).n_tokens


def llama_vocab_bos(vocab: int) -> int:
    """Return the token at the start of a text; -1 if the model does not have one."""
    return _vocabulary(vocab).bos


def llama_vocab_eos(vocab: int) -> int:
    """Return the token at the end of a text; -1 if the model does not have one."""
    return _vocabulary(vocab).eos


def llama_vocab_is_eog(vocab: int, token: int) -> bool:
    """Return whether a token ends an answer."""
    return token in _vocabulary(vocab).ends()


def llama_token_get_attr(vocab: int, token: int) -> int:
    """Return a token's attributes: the sum of members of ``LLAMA_TOKEN_ATTR_``."""
    return _vocabulary(vocab).attributes(token)


def llama_token_to_piece(vocab: int, token: int, buf: Any, length: int, lstrip: int, special: bool) -> int:
    """Write a token's bytes into a buffer.

    Args:
        vocab: the vocabulary.
        token: the token.
        buf: an array of ``ctypes.c_char``.
        length: bytes that it has room for.
        lstrip: spaces at the start to leave out.
        special: also for control tokens, whose names are written.

    Returns:
        how many bytes were written; if they had no room, how many there are, as a negative number.
    """
    piece = _vocabulary(vocab).detokenize([int(token)], special=special)
    for _ in range(lstrip):
        piece = piece.removeprefix(b" ")
    if len(piece) > length:
        return -len(piece)
    ctypes.memmove(buf, piece, len(piece))
    return len(piece)
