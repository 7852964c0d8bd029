"""Types whose JSON schema has a format that grammars do not enforce, and a text that each takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import UUID1, UUID4, Base64Bytes, Base64UrlBytes, DirectoryPath, IPvAnyAddress, SecretBytes, SecretStr

HINT_TYPES: dict[str, Any] = {
    "Path": Path,
    "bytes": bytes,
    "SecretStr": SecretStr,
    "SecretBytes": SecretBytes,
    "UUID1": UUID1,
    "UUID4": UUID4,
    "Base64Bytes": Base64Bytes,
    "Base64UrlBytes": Base64UrlBytes,
    "IPvAnyAddress": IPvAnyAddress,
}
"""Every answer under the constraint is one of these types' values."""

ONLY_REFUSED_AFTERWARDS = {"DirectoryPath": DirectoryPath}
"""No grammar knows which values are right: the constraint takes any text, and the type may refuse it."""

EXAMPLES = {
    "Path": "/tmp/a.txt",
    "bytes": "abc",
    "SecretStr": "hunter2",
    "SecretBytes": "hunter2",
    "UUID1": "b2f3c7d0-5a4e-11ee-8c99-0242ac120002",
    "UUID4": "7d8e5ea1-5a4b-4b1e-9a2e-0b2f8d7c6a5b",
    "Base64Bytes": "aGVsbG8=",
    "Base64UrlBytes": "aGVsbG8=",
    "IPvAnyAddress": "::1",
    "DirectoryPath": "/",
}
