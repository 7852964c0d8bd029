"""The key-value pairs at the start of a GGUF file."""

from __future__ import annotations

import struct
from array import array
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

__all__ = ["FileMetadata", "read_metadata"]

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
_TOKEN_TYPES = "tokenizer.ggml.token_type"


class FileMetadata(NamedTuple):
    """The head of a model file.

    Attributes:
        texts: all values but lists, as llama.cpp writes them.
        token_types: type of each token, by its number; empty if the file does not say.
    """

    texts: dict[str, str]
    token_types: list[int]


def read_metadata(path: str | Path) -> FileMetadata:
    """Return the metadata of a model file that llama.cpp has loaded."""
    texts: dict[str, str] = {}
    token_types: list[int] = []
    with Path(path).open("rb") as file:
        file.seek(16)  # the magic number, the version, and how many tensors there are
        for _ in range(_number(file, "Q")):
            name = _text(file)
            kind = _number(file, "I")
            if kind != _LIST:
                texts[name] = _as_text(_text(file) if kind == _TEXT else _number(file, _NUMBERS[kind]))
            elif name == _TOKEN_TYPES:
                token_types = _numbers(file)
            else:
                _skip_list(file)
    return FileMetadata(texts, token_types)


def _number(file: BinaryIO, code: str) -> Any:
    return struct.unpack(f"<{code}", file.read(struct.calcsize(f"<{code}")))[0]


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "Q")).decode("utf-8", "replace")


def _numbers(file: BinaryIO) -> list[int]:
    code, count = _NUMBERS[_number(file, "I")], _number(file, "Q")
    return array(code, file.read(count * struct.calcsize(f"<{code}"))).tolist()


def _skip_list(file: BinaryIO) -> None:
    kind, count = _number(file, "I"), _number(file, "Q")
    if kind in _NUMBERS:
        file.seek(count * struct.calcsize(f"<{_NUMBERS[kind]}"), 1)
        return
    for _ in range(count):
        if kind == _TEXT:
            file.seek(_number(file, "Q"), 1)
        else:
            _skip_list(file)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:f}" if isinstance(value, float) else str(value)
