"""Reading a media file that a message names, within limits of size and time."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from xlc_core.errors import InvalidRequestError, RequestTimeoutError

if TYPE_CHECKING:
    from xlc_core.waiting import Deadline

__all__ = ["MAX_FILE_BYTES", "permitted_path", "read_media_file"]

MAX_FILE_BYTES = 512 << 20
"""Bytes that one file may have."""

_CHUNK = 1 << 20


def permitted_path(path: str | Path, allowed: bool | str | Path, place: str) -> Path:
    """Return the file that a part from outside the program may name; in an allowed folder it is not a link.

    Args:
        path: as the part names it; if a folder is allowed, relative to that folder.
        allowed: whether any file may be named, or the folder that must contain it.
        place: the part's place in the chat, for error messages.

    Raises:
        InvalidRequestError: the file may not be named. Whether it exists is not looked at.
    """
    if allowed is True:
        return Path(path)
    if allowed is not False:
        folder = os.path.realpath(os.path.expanduser(allowed))
        try:
            wanted = os.path.realpath(os.path.join(folder, path))
            if os.path.commonpath([folder, wanted]) == folder:
                return Path(wanted)
        except ValueError:  # an impossible name, or another drive
            pass
        reason = "it is not in the folder that allow_local_media names"
    else:
        reason = (
            "the part is a dictionary, and this engine was opened without allow_local_media; "
            "pass the bytes, or an object such as ImagePart(path=…)"
        )
    raise InvalidRequestError(f"{place}: the file {str(path)!r} is not read: {reason}")


def read_media_file(path: Path, place: str, deadline: Deadline, *, follow_link: bool = True) -> bytes:
    """Return the content of a regular file. Pipes and devices are refused, as they may block or never end.

    Args:
        path: the file.
        place: the part's place in the chat, for error messages.
        deadline: the request's deadline.
        follow_link: whether the file may be a symbolic link.

    Raises:
        InvalidRequestError: it cannot be read, is not a regular file, or has more than ``MAX_FILE_BYTES``.
        RequestTimeoutError: the request's timeout passed.
    """
    try:
        # Opening some devices has an effect, so look first; and again, as the name may mean another file meanwhile.
        name = os.path.expanduser(path)
        _require_regular(os.stat(name))
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        if not follow_link:
            flags |= getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(name, flags), "rb", buffering=0) as file:
            _require_regular(os.fstat(file.fileno()))
            data = bytearray()
            while chunk := file.read(_CHUNK):
                data += chunk
                if len(data) > MAX_FILE_BYTES:
                    raise ValueError(f"it has more than {MAX_FILE_BYTES >> 20} MiB")
                if deadline.remaining() == 0:
                    raise RequestTimeoutError(f"{place}: the request's timeout passed while '{path}' was read")
            return bytes(data)
    except RequestTimeoutError:
        raise
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f"{place}: the file '{path}' cannot be read: {error}") from None


def _require_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
