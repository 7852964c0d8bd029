r"""The file of a session: our header, its checksum, and llama.cpp's state.

    16 bytes   b"xllama-session\r\n"
    2 × u32    version of this format, bytes of JSON, little-endian
    JSON       which model, llama.cpp and settings computed the state; its length and sha256
    32 bytes   sha256 of everything above
    the rest   the state

Everything is checked before llama.cpp sees a byte of the state.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from xlc_core.errors import InvalidRequestError
from xlc_core.logger import escape_line

__all__ = ["SessionHeader", "read_session_file", "write_session_file"]

_MAGIC = b"xllama-session\r\n"
_VERSION = 1
_SIZES = struct.Struct("<II")
_MAX_JSON = 1 << 20
_LARGEST_STATE = (1 << 63) - 1
_MOST_TOKENS = (1 << 31) - 1

State = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SessionHeader:
    """The description of a state in a session file.

    Attributes:
        model: identity of the model file, from model_identity.
        model_name: the model's name.
        llama_cpp: version of llama.cpp that wrote the state.
        n_tokens: tokens in the conversation.
        settings: settings that must be equal in the engine that loads it.
    """

    model: str
    model_name: str
    llama_cpp: str
    n_tokens: int
    settings: dict[str, str] = field(default_factory=dict)

    def check_fits(self, engine: SessionHeader, path: Path) -> None:
        """Check that an engine that would write the header ``engine`` can load this session.

        Raises:
            InvalidRequestError: it was saved with another model, llama.cpp or setting.
        """
        if self.model != engine.model:
            raise InvalidRequestError(
                f"{str(path)!r} was saved with another model, {self.model_name!r} ({escape_line(self.model)}), "
                f"but this is {engine.model_name!r} ({engine.model}); load it with the model that saved it"
            )
        if self.llama_cpp != engine.llama_cpp:
            raise InvalidRequestError(
                f"{str(path)!r} was saved by llama.cpp {escape_line(self.llama_cpp)}, but this is {engine.llama_cpp}; "
                "save the conversation again"
            )
        for name in sorted(self.settings.keys() | engine.settings.keys()):
            saved, here = self.settings.get(name), engine.settings.get(name)
            if saved != here:
                shown = escape_line(f"{name} = {saved}")
                raise InvalidRequestError(
                    f"{str(path)!r} was saved with {shown}, but this engine has {here}; "
                    "open the engine with the settings that saved it"
                )


def write_session_file(path: Path, header: SessionHeader, state: State) -> int:
    """Write the file under another name first, so that an incomplete file never appears under ``path``.

    Returns:
        bytes written.

    Raises:
        OSError: the file cannot be written; an old file at ``path`` is not changed.
    """
    content = {**asdict(header), "n_bytes": state.size, "sha256": hashlib.sha256(state.data).hexdigest()}
    text = json.dumps(content).encode()
    head = _MAGIC + _SIZES.pack(_VERSION, len(text)) + text
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with open(number, "wb") as file:
            for part in (head, hashlib.sha256(head).digest(), state.data):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
            n_bytes = file.tell()
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    return n_bytes


def read_session_file(path: Path, engine: SessionHeader) -> tuple[SessionHeader, State, int]:
    """Read a session that this engine can load.

    Args:
        path: the file.
        engine: the header that the engine would write.

    Returns:
        the file's header, its state, and the file's size in bytes.

    Raises:
        InvalidRequestError: the file is foreign, truncated or corrupt, or was saved with another model, llama.cpp or
            setting.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        n_bytes = os.fstat(file.fileno()).st_size
        header, n_state, digest = _read_head(file, path)
        header.check_fits(engine, path)
        rest = n_bytes - file.tell()
        if rest != n_state:
            kind = "truncated" if rest < n_state else "followed by something else"
            raise _broken(path, f"it is {kind}: it has {rest} bytes of state, but its header says {n_state}")
        state = np.fromfile(file, np.uint8, n_state)
    if state.size != n_state or hashlib.sha256(state.data).hexdigest() != digest:
        raise _broken(path, "its checksum is wrong")
    return header, state, n_bytes


def _read_head(file: BinaryIO, path: Path) -> tuple[SessionHeader, int, str]:
    """Return the header, and the state's length and sha256."""
    magic = file.read(len(_MAGIC))
    if magic != _MAGIC:
        raise InvalidRequestError(f"{str(path)!r} is not a session file; pass one that save_session has written")
    sizes = file.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        raise _broken(path, "it is truncated")
    version, n_json = _SIZES.unpack(sizes)
    if version != _VERSION:
        raise InvalidRequestError(
            f"{str(path)!r} has version {version} of the session format, but this xllama reads {_VERSION}; "
            "save the conversation again"
        )
    text = file.read(n_json) if n_json <= _MAX_JSON else b""
    digest = file.read(32)
    if len(text) < n_json or len(digest) < 32:
        raise _broken(path, "it is truncated or its header is corrupt")
    if hashlib.sha256(magic + sizes + text).digest() != digest:
        raise _broken(path, "its header is corrupt")
    try:
        return _parse(json.loads(text, parse_constant=_refuse_constant))
    except (KeyError, TypeError, ValueError, RecursionError):
        raise _broken(path, "its header has values that save_session does not write") from None


def _parse(content: Any) -> tuple[SessionHeader, int, str]:
    """Read the JSON of a header. The checksum is not a signature, so every value is checked.

    Raises:
        KeyError: a value is missing.
        TypeError: it is not an object, or a name is unknown.
        ValueError: a value is of another type or out of range.
    """
    if not isinstance(content, dict):
        raise TypeError
    n_state, digest = content.pop("n_bytes"), content.pop("sha256")
    if not isinstance(content.get("settings"), dict):
        raise TypeError
    header = SessionHeader(**content)
    numbers = ((n_state, _LARGEST_STATE), (header.n_tokens, _MOST_TOKENS))
    texts = (digest, header.model, header.model_name, header.llama_cpp, *header.settings, *header.settings.values())
    if not all(type(number) is int and 0 <= number <= largest for number, largest in numbers):
        raise ValueError
    if not all(isinstance(text, str) for text in texts):
        raise ValueError
    return header, n_state, digest


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _broken(path: Path, why: str) -> InvalidRequestError:
    return InvalidRequestError(f"the session file {str(path)!r} is damaged: {why}; save the conversation again")
