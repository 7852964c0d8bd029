"""Finds the file of a model on this disk by its name.

A model's name is a path, a name in the catalog, or ``hf:owner/repo[:quant-or-file]``. The catalog is
``catalog.toml`` beside this file. The user's ``catalog.toml`` in the configuration folder for xllama overrides
it, and the file that ``XLLAMA_CATALOG`` names overrides both.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from xlc_core.errors import InvalidRequestError, ModelNotFoundError
from xlc_core.models import hub, sources
from xlc_core.models.folders import cache_dir, expand_home, find_config_dir, missing_reason
from xlc_core.models.storage import check_file
from xlc_core.options.base import Options
from xlc_core.terminal import is_terminal
from xlc_core.texts import native_path

if TYPE_CHECKING:
    from typing_extensions import Self

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "CatalogEntry",
    "Derive",
    "ResolvedModel",
    "cache_dir",
    "cached_path",
    "entries",
    "find_local",
    "has_sentence_types",
    "is_cached",
    "present_path",
    "pull",
    "resolve",
]

_SHIPPED = Path(__file__).with_name("catalog.toml")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SOURCE = re.compile(r"pypi:[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+|package:\w+/.+|hf:[\w.-]+/[\w.-]+(:.+)?|file:.+")


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Derive(Options):
    """How the fetched file is changed before it is used.

    Attributes:
        quantize: requantise to this type, a llama.cpp name such as ``"Q8_0"``.
    """

    quantize: str = Field(pattern=r"^[A-Za-z0-9_]+$")


class CatalogEntry(Options):
    """One model of the catalog.

    Attributes:
        name: the model's name.
        description: one line about the model.
        license: SPDX identifier, or the name of the licence.
        kind: the model's purpose.
        source: ``pypi:name==version``, ``package:module/file``, ``hf:owner/repo[:quant-or-file]``
            or ``file:path``.
        file: for ``pypi:``, the GGUF file inside the wheel.
        sha256: checksum of the file at the source; for a split model a list with one for each part.
        size_bytes: size of the file at the source; of the first part, if the model is split.
        approx_size: about the bytes of the download, for an estimate before it; nothing is checked against it.
        n_ctx: the context that the model was made for, in tokens; an engine's default may be smaller.
        derive: how that file is changed; needs ``sha256``, which shows whether a stored result is out of date.
        sentence_types: whether a reranker's document tokens have the type of sentence B; None: from the model file.
        query_prompt: text that an embedding model needs before a query; None: from its file or its name.
        document_prompt: text that an embedding model needs before a document; None: from its file or its name.
    """

    name: str = Field(pattern=f"^{_NAME.pattern}$")
    description: str
    license: str
    kind: Literal["chat", "embedding", "reranker"]
    source: str = Field(pattern=f"^({_SOURCE.pattern})$")
    file: str | None = None
    sha256: Sha256 | tuple[Sha256, ...] | None = None
    size_bytes: int | None = Field(None, gt=0)
    approx_size: int | None = Field(None, gt=0)
    n_ctx: int | None = Field(None, gt=0)
    derive: Derive | None = None
    sentence_types: bool | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.source.startswith("pypi:") != (self.file is not None):
            raise ValueError("`file` names the member of a wheel: needed with a pypi: source, and only there")
        if self.derive is not None and not isinstance(self.sha256, str):
            raise ValueError("`derive` needs `sha256`, the checksum of the file at the source")
        if self.file is not None and isinstance(self.sha256, tuple):
            raise ValueError("`sha256` of a file in a wheel is one checksum")
        return self


@dataclass(frozen=True)
class ResolvedModel:
    """A model that is ready to be loaded.

    Attributes:
        name: the catalog's name, the ``hf:`` text, or the file's name without its ending.
        path: the GGUF file; the first part of a split model.
        entry: the catalog's entry; None if the model is not from the catalog.
    """

    name: str
    path: Path
    entry: CatalogEntry | None = None


def entries() -> dict[str, CatalogEntry]:
    """Return the catalog, name → entry: xllama's entries, overridden by the user's.

    Raises:
        InvalidRequestError: a catalog file cannot be read; the message names the file and the
            entry.
    """
    files = []
    if (folder := find_config_dir()) is not None and os.path.isfile(own := folder / "catalog.toml"):
        files.append(own)
    if chosen := os.environ.get("XLLAMA_CATALOG"):
        files.append(expand_home(chosen))
    merged = dict(_shipped())
    for file in files:
        merged.update(_read(file))
    return merged


def has_sentence_types(entry: CatalogEntry | None, names: Iterable[str]) -> bool:
    """Return whether the documents that a reranker reads have the type of sentence B.

    Args:
        entry: the model's entry, if it was named by the catalog.
        names: the names that its file gives it; they find an entry of ours for a model that was named by a path.
    """
    if entry is None:
        known = _shipped()
        entry = next((known[name] for name in names if name in known), None)
    return entry is None or entry.sentence_types is not False


def resolve(model: str | Path | None, *, progress: bool | None = None) -> ResolvedModel:
    """Find a model's file, and fetch it first if it is not on this disk.

    If a catalog name and a file are equal, the catalog is used; write ``./name`` for the file.

    Args:
        model: a path, a name of the catalog, or ``hf:owner/repo[:quant-or-file]``; None: the value of
            ``XLLAMA_MODEL``.
        progress: show a progress bar on stderr; None: if stderr is a terminal.

    Raises:
        ModelNotFoundError: the model does not exist or could not be fetched; the message says what to do.
        InvalidRequestError: a catalog file of the user's cannot be read.
    """
    model = _given(model)
    show = is_terminal(sys.stderr) if progress is None else progress
    if isinstance(model, str):
        if model.startswith("hf:"):
            return ResolvedModel(model, hub.fetch(hub.HubModel.parse(model), progress=show))
        catalog = entries()
        if entry := catalog.get(model):
            return ResolvedModel(model, _entry_path(entry, show), entry)
        if not {os.sep, os.altsep} & set(model) and not os.path.exists(model):  # Windows has two separators
            raise ModelNotFoundError(_unknown(model, catalog))
    return _local(expand_home(model))


def pull(model: str, *, progress: bool | None = None) -> ResolvedModel:
    """Fetch a model like ``resolve``, and compute its files' sha256 again even if they are known.

    Raises:
        ModelNotFoundError: see ``resolve``; or the file is not the one in the catalog.
        InvalidRequestError: a catalog file of the user's cannot be read.
    """
    resolved = resolve(model, progress=progress)
    if (entry := resolved.entry) is not None and entry.derive is None:
        _check_parts(entry, resolved.path, again=True)
    return resolved


def is_cached(name: str) -> bool:
    """Return whether a model of the catalog is on this disk, ready to be used. Never uses the network.

    Raises:
        ModelNotFoundError: the name is not in the catalog.
    """
    catalog = entries()
    if name not in catalog:
        raise ModelNotFoundError(_unknown(name, catalog))
    return present_path(catalog[name]) is not None


def find_local(model: str | Path | None) -> Path | None:
    """Return a model's file if it is on this disk, ready to be loaded. Never uses the network.

    Args:
        model: see ``resolve``.

    Raises:
        InvalidRequestError: a catalog file of the user's cannot be read, or an ``hf:`` text is malformed.
    """
    model = model or os.environ.get("XLLAMA_MODEL") or ""
    if isinstance(model, str):
        if model.startswith("hf:"):
            return hub.cached_path(hub.HubModel.parse(model))
        if entry := entries().get(model):
            return present_path(entry)
    path = expand_home(model)
    return path if os.path.isfile(path) else None


def cached_path(model: str | Path | None) -> Path | None:
    """Return a model's file if it is on this disk, ready to be used; else None. Never uses the network.

    Args:
        model: see ``resolve``.

    Raises:
        ModelNotFoundError: no model was named.
        InvalidRequestError: a catalog file of the user's cannot be read.
    """
    return find_local(_given(model))


def _given(model: str | Path | None) -> str | Path:
    chosen = os.environ.get("XLLAMA_MODEL") if model is None else model
    if not chosen:
        raise ModelNotFoundError(
            "no model was named; pass a path, a name of the catalog (`xllama models list` shows "
            "them) or hf:owner/repo, or set XLLAMA_MODEL"
        )
    return chosen


def _local(path: Path) -> ResolvedModel:
    if os.path.isdir(path):
        inside = ", ".join(sorted(file.name for file in path.glob("*.gguf"))) or "none"
        raise ModelNotFoundError(f"{path} is a folder; name a GGUF file in it (it has: {inside})")
    if not os.path.isfile(path):
        reason = missing_reason(path, "file")
        raise ModelNotFoundError(f"{reason}; check the path, or use a name of the catalog, or hf:owner/repo")
    return ResolvedModel(Path(native_path(path, "the model")).stem, path)


def _unknown(model: str, catalog: dict[str, CatalogEntry]) -> str:
    near = difflib.get_close_matches(model.lower(), catalog, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"model {model!r} is not in the catalog and is not a file{hint} `xllama models list` shows all"


def present_path(entry: CatalogEntry) -> Path | None:
    """Return the file to load if it does not need to be fetched or made, else None. Never uses the network."""
    if entry.derive is not None:
        return sources.derived_path(entry.name, _one_sum(entry), entry.derive.quantize)
    return _present_source(entry)


def _present_source(entry: CatalogEntry) -> Path | None:
    kind, _, place = entry.source.partition(":")
    if kind == "hf":
        return hub.cached_path(hub.HubModel.parse(entry.source))
    if kind == "package":
        return sources.package_path(place)
    if kind == "pypi":
        return sources.wheel_member_path(place, str(entry.file), _one_sum(entry))
    return Path(place) if os.path.isfile(place) else None


def _entry_path(entry: CatalogEntry, progress: bool) -> Path:
    if entry.derive is None:
        return _source_path(entry, progress)
    ready = sources.derived_path(entry.name, _one_sum(entry), entry.derive.quantize)
    if ready is not None:
        return ready
    source = _source_path(entry, progress)
    return sources.make_derived(entry.name, source, _one_sum(entry), entry.derive.quantize)


def _source_path(entry: CatalogEntry, progress: bool) -> Path:
    kind, _, place = entry.source.partition(":")
    present = _present_source(entry)
    if kind == "hf":  # asked even if the file is present, because the hub may have a newer revision
        path = hub.fetch(hub.HubModel.parse(entry.source), progress=progress)
    elif kind == "pypi":
        path = present or sources.fetch_wheel_member(place, str(entry.file), _one_sum(entry), progress=progress)
    elif present is not None:
        path = present
    else:
        raise ModelNotFoundError(_absent(entry, place))
    _check_parts(entry, path)
    return path


def _check_parts(entry: CatalogEntry, path: Path, *, again: bool = False) -> None:
    """Check the file of a model, or all its parts, every time: other programs write to the same folders.

    Raises:
        ModelNotFoundError: a file is another one, damaged or missing, or the entry has sums of more or fewer parts.
    """
    # Checking the size is cheap, and finds a truncated file or a Git LFS pointer.
    check_file(path, size_bytes=entry.size_bytes)
    if entry.sha256 is None:
        return
    parts = hub.model_parts(path)
    sums = (entry.sha256,) if isinstance(entry.sha256, str) else entry.sha256
    if len(sums) != len(parts):
        raise ModelNotFoundError(
            f"model {entry.name!r} has {len(parts)} files, but its catalog entry has {len(sums)} sha256; "
            "give one for each, in their order"
        )
    for part, sha256 in zip(parts, sums, strict=True):
        if not part.is_file():
            raise ModelNotFoundError(f"the part {part} of model {entry.name!r} is missing; fetch the model again")
        check_file(part, sha256=sha256, again=again)


def _one_sum(entry: CatalogEntry) -> str | None:
    """Return the sha256 of a model that is one file."""
    return entry.sha256 if isinstance(entry.sha256, str) else None


def _absent(entry: CatalogEntry, place: str) -> str:
    if entry.source.startswith("file:"):
        return f"model {entry.name!r} is missing at {place}; put it there or correct its catalog entry"
    module, _, file = place.partition("/")
    install = "'xllama[models]'" if module == "xllama_models" else module.replace("_", "-")
    return (
        f"model {entry.name!r} is {file} in the package {module}, which is not installed; run `pip install {install}`"
    )


@functools.cache
def _shipped() -> dict[str, CatalogEntry]:
    return _read(_SHIPPED)


def _read(file: Path) -> dict[str, CatalogEntry]:
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequestError(
            f"the model catalog {file} cannot be read: {error}; correct or remove it "
            "(XLLAMA_CATALOG names it, or it is in the user's configuration folder)"
        ) from error
    return {name: _entry(name, table, file) for name, table in tables.items()}


def _entry(name: str, table: Any, file: Path) -> CatalogEntry:
    if not isinstance(table, dict):
        raise InvalidRequestError(f"{file}: {name!r} is not a table; write [{name}] and its fields below")
    try:
        entry = CatalogEntry.checked(**{**table, "name": name})
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{file}: entry [{name}]: {error}") from None
    if entry.source.startswith("file:"):  # relative to the catalog that contains it
        path = file.parent / expand_home(entry.source.removeprefix("file:"))
        entry = entry.model_copy(update={"source": f"file:{path}"})
    return entry
