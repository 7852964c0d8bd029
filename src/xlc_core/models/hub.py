"""Models from the Hugging Face hub: ``hf:owner/repo[:quant-or-file]``.

Chooses the file of a repository and fetches it with huggingface_hub, which keeps it in its own
cache, resumes after a broken connection, and honours HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE and
HF_HOME.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from xlc_core.errors import ModelNotFoundError
from xlc_core.logger import logger
from xlc_core.models.checksums import file_sha256
from xlc_core.terminal import SafeStderr

__all__ = ["HubModel", "cached_path", "fetch", "fetch_repository", "model_parts", "pick_files"]

_DEFAULT_QUANTS = ("Q4_K_M", "Q8_0")
_PART = re.compile(r"-(\d{5})-of-(\d{5})(?=\.gguf$)", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PROJECTOR = re.compile(r"mmproj", re.IGNORECASE)
_NOT_A_MODEL = re.compile(r"mmproj|imatrix", re.IGNORECASE)
_HEAD = re.compile(r"(mtp|eagle3|dflash|dspark)-", re.IGNORECASE)  # drafts for the model beside it
_DEFAULT_PROJECTOR_QUANTS = ("Q8_0", "F16")
_FORM = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(?::(?P<pick>.+))?")


class HubModel(NamedTuple):
    """A repository on the hub, and a quantisation, a file's name, or None for the usual one."""

    repo: str
    pick: str | None

    @classmethod
    def parse(cls, text: str) -> HubModel:
        """Parse ``hf:owner/repo[:quant-or-file]``.

        Raises:
            ModelNotFoundError: the text has another form.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ModelNotFoundError(
                f"{text!r} is not a model on the hub; write hf:owner/repo or "
                "hf:owner/repo:quant-or-file, such as hf:Qwen/Qwen3-0.6B-GGUF:Q8_0"
            )
        return cls(match["repo"], match["pick"])

    def __str__(self) -> str:
        return f"hf:{self.repo}" + (f":{self.pick}" if self.pick else "")


def cached_path(model: HubModel) -> Path | None:
    """Return the model's (first) file in huggingface_hub's cache, or None. Never uses the network."""
    snapshot = _snapshot(model.repo)
    if snapshot is None:
        return None
    names = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*.gguf")]
    try:
        return snapshot / pick_files(model, names)[0]
    except ModelNotFoundError:  # the cache holds other files of this repository
        return None


def fetch(model: HubModel, *, progress: bool) -> Path:
    """Return the model's file; download it if the cache does not have it or has an older revision.

    Without a network, and with HF_HUB_OFFLINE=1, only the cache is used. The cache names a file by the hub's sha256 of
    it, so each file is read once and compared, also those that another program has put there.

    Returns:
        The file. For a split model the first part; the others are beside it.

    Raises:
        ModelNotFoundError: the repository or file does not exist, may not be read, or the hub
            cannot be reached; or a file in the cache is damaged.
    """
    path = _fetched(model, progress=progress)
    for part in model_parts(path):
        _check_cached(part)
    return path


def model_parts(path: Path) -> list[Path]:
    """Return all parts of a split model that this is the first part of; else only the file."""
    match = _PART.search(path.name)
    if match is None:
        return [path]
    name, n_parts = path.name[: match.start()], int(match[2])
    width, suffix = len(match[2]), path.name[match.end() :]
    return [path.with_name(f"{name}-{number:0{width}}-of-{match[2]}{suffix}") for number in range(1, n_parts + 1)]


def _check_cached(path: Path) -> None:
    blob = Path(os.path.realpath(path))
    if not path.is_symlink() or not _SHA256.fullmatch(blob.name):
        return  # a small file, which git keeps, or a system without links
    if (digest := file_sha256(blob)) != blob.name:
        raise ModelNotFoundError(
            f"{path.name} in huggingface_hub's cache has sha256 {digest}, but the hub says {blob.name}: it is damaged "
            f"or was changed; remove {blob} and fetch the model again"
        )


def _fetched(model: HubModel, *, progress: bool) -> Path:
    from huggingface_hub import HfApi, constants, hf_hub_download  # slow to import

    endpoint = _endpoint()
    if _is_offline():
        if (path := cached_path(model)) is None:
            raise ModelNotFoundError(
                f"{model} is not in the cache ({constants.HF_HUB_CACHE}) and HF_HUB_OFFLINE is "
                f"set; unset it and run `xllama models pull {model}` once, or pass the path of a "
                "model file"
            )
        return path
    try:
        # Not list_repo_files: this is only one request, and without a network it does not retry for a
        # minute.
        found = HfApi(endpoint=endpoint).model_info(model.repo, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        files = pick_files(model, [sibling.rfilename for sibling in found.siblings or ()])
        bar = _bar(progress)
        paths = [hf_hub_download(model.repo, file, endpoint=endpoint, tqdm_class=bar) for file in files]
    except ModelNotFoundError:
        raise
    except Exception as error:  # its class depends on the HTTP library of huggingface_hub's major version
        path = cached_path(model)
        if path is not None and not _is_final(error):
            logger.warning("cannot ask %s about %s; using the copy in the cache", endpoint, model)
            return path
        raise ModelNotFoundError(_explain(model, error, endpoint)) from error
    return Path(paths[0])


def fetch_repository(model: HubModel, choose: Callable[[list[str]], list[str]], *, progress: bool) -> Path:
    """Return the folder with some files of a repository; download the files that the cache lacks.

    With HF_HUB_OFFLINE=1 only the cache is used.

    Args:
        model: the repository.
        choose: receives the names of all files and returns those to fetch.
        progress: show bars on stderr.

    Raises:
        ModelNotFoundError: the repository does not exist or may not be read, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, constants, hf_hub_download

    endpoint = _endpoint()
    snapshot = _snapshot(model.repo)
    if _is_offline():
        if snapshot is None:
            raise ModelNotFoundError(
                f"{model} is not in the cache ({constants.HF_HUB_CACHE}) and HF_HUB_OFFLINE is set; unset it, or pass "
                "the path of a folder"
            )
        return snapshot
    try:
        found = HfApi(endpoint=endpoint).model_info(model.repo, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        bar = _bar(progress)
        for name in choose([sibling.rfilename for sibling in found.siblings or ()]):
            path = hf_hub_download(model.repo, name, revision=found.sha, endpoint=endpoint, tqdm_class=bar)
            snapshot = Path(path.removesuffix(name))
    except Exception as error:  # its class depends on the HTTP library of huggingface_hub's major version
        raise ModelNotFoundError(_explain(model, error, endpoint)) from error
    if snapshot is None:
        raise ModelNotFoundError(f"{model} does not have any of the needed files; look at {endpoint}/{model.repo}")
    return snapshot


def pick_files(model: HubModel, names: list[str]) -> list[str]:
    """Return the files of a repository that form the model, in order.

    Args:
        model: the wanted model. Without a quantisation: Q4_K_M, else Q8_0, else the only one; ``mmproj`` is the
            projector, in Q8_0, else F16, else the only one. Heads that draft (``mtp-…``) are ignored beside a
            model, unless the pick begins with their kind.
        names: all files of the repository.

    Raises:
        ModelNotFoundError: no file or several fit; the message lists the files.
    """
    if model.pick is not None:
        named = [name for name in names if model.pick in (name, name.rpartition("/")[2])]
        if len(named) == 1 and not _PART.search(named[0]):
            return named
        if _PROJECTOR.search(model.pick):
            return [_pick_projector(model, names)]
    groups: dict[str, list[str]] = {}
    for name in _model_files(model.pick, names):
        groups.setdefault(_PART.sub("", name), []).append(name)
    if not groups:
        raise ModelNotFoundError(
            f"{model.repo} has no GGUF file; look for a repository whose name ends in -GGUF, or convert the model: "
            f"xllama models convert hf:{model.repo} model.gguf"
        )
    fitting = _fitting(model.pick, list(groups))
    if len(fitting) != 1:
        problem = "no file that fits" if not fitting else f"{len(fitting)} files that fit"
        listed = "\n  ".join(fitting or groups)
        raise ModelNotFoundError(
            f"{model.repo} has {problem} {model.pick or 'the default'}; name one of them, as in "
            f"hf:{model.repo}:{(fitting or list(groups))[0]}\n  {listed}"
        )
    return _all_parts(model, groups[fitting[0]])


def _model_files(pick: str | None, names: list[str]) -> list[str]:
    files = [name for name in sorted(names) if name.lower().endswith(".gguf")]
    files = [name for name in files if not _NOT_A_MODEL.search(name.rpartition("/")[2])]
    models = [name for name in files if not _HEAD.match(name.rpartition("/")[2])]
    return models if models and not (pick and _HEAD.match(f"{pick}-")) else files


def _pick_projector(model: HubModel, names: list[str]) -> str:
    projectors = sorted(name for name in names if name.lower().endswith(".gguf") and _PROJECTOR.search(name))
    wanted = (model.pick or "").lower().replace("mmproj", "").strip("-_.")
    fitting = [name for name in projectors if wanted in name.lower()]
    for quant in _DEFAULT_PROJECTOR_QUANTS:
        if len(fitting) > 1 and (preferred := _fitting(quant, fitting)):
            fitting = preferred
    if len(fitting) != 1:
        listed = "\n  ".join(fitting or projectors)
        raise ModelNotFoundError(
            f"{model.repo} has {'no' if not fitting else len(fitting)} projectors that fit {model.pick!r}; name one of "
            f"them, as in hf:{model.repo}:mmproj-F16.gguf\n  {listed}"
        )
    return fitting[0]


def _fitting(pick: str | None, names: list[str]) -> list[str]:
    if pick is None:
        for quant in _DEFAULT_QUANTS:
            if fitting := _fitting(quant, names):
                return fitting
        return names
    pick = _PART.sub("", pick)
    if exact := [name for name in names if pick in (name, name.rpartition("/")[2])]:
        return exact
    # As a whole word first: F16 must not find BF16, nor Q4_K find Q4_K_M beside a Q4_K.
    word = re.compile(rf"(?<![a-z0-9]){re.escape(pick)}(?![a-z0-9_])", re.IGNORECASE)
    return [name for name in names if word.search(name)] or [name for name in names if pick.lower() in name.lower()]


def _all_parts(model: HubModel, files: list[str]) -> list[str]:
    match = _PART.search(files[0])
    if match is not None and len(files) != int(match[2]):
        raise ModelNotFoundError(
            f"{model} has {len(files)} of its {int(match[2])} parts; the upload may be incomplete: "
            "choose another quantisation"
        )
    return files


def _snapshot(repo: str) -> Path | None:
    """Return the folder in huggingface_hub's cache with the last known main revision."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"
    try:
        snapshot = folder / "snapshots" / (folder / "refs" / "main").read_text("utf-8").strip()
    except OSError:
        return None
    return snapshot if snapshot.is_dir() else None


def _endpoint() -> str:
    from huggingface_hub import constants

    # huggingface_hub reads the variable when it is imported, perhaps long before the variable is set.
    return (os.environ.get("HF_ENDPOINT") or str(constants.ENDPOINT)).rstrip("/")


def _is_offline() -> bool:
    from huggingface_hub import constants

    asked = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    return asked or bool(constants.HF_HUB_OFFLINE)


def _bar(show: bool) -> type[Any]:
    """Return a progress bar for downloads. huggingface_hub's bar hides unless stderr is a terminal."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled
    from tqdm import tqdm

    hidden = not show or are_progress_bars_disabled()

    class Bar(tqdm):  # type: ignore[type-arg] # generic in the stubs only
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)  # an argument of huggingface_hub's own bar
            super().__init__(*args, **{**kwargs, "disable": hidden, "file": SafeStderr()})

    Bar.set_lock(threading.RLock())  # tqdm's default lock is shared between processes and starts one
    return Bar


def _is_final(error: Exception) -> bool:
    """Return whether the hub itself refused. Then an old copy in the cache must not hide the error."""
    from huggingface_hub.errors import HfHubHTTPError

    return isinstance(error, HfHubHTTPError) and error.response.status_code in {401, 403, 404}


def _explain(model: HubModel, error: Exception, endpoint: str) -> str:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    page = f"{endpoint}/{model.repo}"
    if isinstance(error, GatedRepoError):
        return (
            f"{model} is gated: accept its terms at {page}, then set HF_TOKEN to a token of that "
            "account that may read gated repositories (or run `hf auth login`)"
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{model} is not on the hub ({page}), or is private: check the spelling; for a private "
            "one set HF_TOKEN to a token that may read it"
        )
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status in {401, 403}:
            remedy = "set HF_TOKEN to a valid token that may read this repository"
        elif status == 404:
            remedy = "the file was removed meanwhile; look at the page and try again"
        elif status == 429:
            remedy = "wait a while, or set HF_TOKEN for a higher limit"
        else:
            remedy = "try again later"
        return f"{model} could not be fetched: {endpoint} answered {status}; {remedy}"
    reason = str(error.__cause__ or error) or type(error).__name__
    return (
        f"{model} could not be fetched from {endpoint}: {reason}; check the network and the room "
        "on the disk, set HF_ENDPOINT to a mirror that can be reached, or pass the path of a model "
        "file"
    )
