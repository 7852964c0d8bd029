"""Writing a GGUF file from a published model, with llama.cpp's converter."""

from __future__ import annotations

import collections
import fnmatch
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from xlc_core import _native
from xlc_core.errors import (
    InvalidRequestError,
    ModelLoadError,
    ModelNotFoundError,
    UnsupportedFeatureError,
    XllamaError,
)
from xlc_core.logger import logger
from xlc_core.models import hub
from xlc_core.models.interpreter import interpreter_path
from xlc_core.models.quantize import QUANTIZATION_TYPES, quantize_model
from xlc_core.terminal import is_terminal

__all__ = ["CONVERSION_TYPES", "convert_model"]

_WRITTEN_BY_CONVERTER = ("auto", "f32", "f16", "bf16", "q8_0", "tq1_0", "tq2_0")
CONVERSION_TYPES: tuple[str, ...] = (
    *_WRITTEN_BY_CONVERTER,
    *(name for name in QUANTIZATION_TYPES if name.lower() not in _WRITTEN_BY_CONVERTER),
)
"""Types of weights that convert_model can write; ``auto`` is the 16-bit type nearest to the original."""

_NEEDED = {"torch": "torch", "transformers": "transformers", "yaml": "PyYAML", "google.protobuf": "protobuf"}
"""Modules that the converter imports for every model, and their packages."""

_SHARE_OF_CONVERTING = 0.5  # of the progress, where quantising follows
_LAST_LINES = 8  # of the converter's log that an error carries


def convert_model(
    source: str | Path,
    target: str | Path,
    weights: str = "auto",
    *,
    projector: bool = False,
    base: str | Path | None = None,
    pre_tokenizer: str | None = None,
    trust_remote_code: bool = False,
    overwrite: bool = False,
    progress: Callable[[float], object] | None = None,
) -> Path:
    """Write a GGUF file from a model that transformers or sentence-transformers can load.

    llama.cpp's converter runs in a separate process and needs the extra ``convert``. Cross-encoders of BERT's
    architecture keep their pooler, which the unchanged converter would drop. sentence-transformers' dense layers are
    converted if llama.cpp supports them. Some models bring their tokenizer as Python code, which is run only with
    ``trust_remote_code``. Blocks as long as reading and writing the weights takes, without the GIL.

    Args:
        source: a folder with config.json and weights, or ``hf:owner/repo``, which is fetched; for a LoRA adapter, a
            folder with adapter_config.json; or a head that drafts for a model (EAGLE-3, DFlash, DSpark).
        target: the file to write; it appears only when it is complete.
        weights: one of CONVERSION_TYPES, in upper or lower case. Types that the converter cannot write are quantised
            afterwards.
        projector: write the model's part for images and sound (``mmproj``) instead of its part for text.
        base: for a LoRA adapter or a head, the folder of the model that it belongs to (config.json and tokenizer
            suffice), or ``hf:owner/repo``; None for a model.
        pre_tokenizer: llama.cpp's name for the way in which the tokenizer splits text, such as ``"qwen2"`` or
            ``"llama-bpe"``, for a tokenizer that the converter does not recognise. A wrong name gives wrong tokens.
            None: the one that the converter recognises.
        trust_remote_code: whether Python code of the model may run, in the converter's process and with its rights: of
            its folder, and of other repositories that its files name.
        overwrite: whether the target may exist.
        progress: called with 0 … 1 now and then; an exception in it ends the work. None: it is not reported.

    Returns:
        the target.

    Raises:
        InvalidRequestError: the type does not exist or is not one for an adapter, the target exists, the source is a
            GGUF file already, or ``base`` is missing or not needed.
        ModelNotFoundError: the source, its config.json or the target's folder does not exist, or the source could not
            be fetched.
        UnsupportedFeatureError: a package is missing, the converter does not know the architecture or tokenizer, or it
            needs code of the model that is not trusted.
        ModelLoadError: the converter failed; the message carries its reason.
    """
    kind = _known_type(weights)
    target = Path(target)
    _check_target(target, overwrite)
    folder = _source_folder(source, with_code=trust_remote_code)
    script, extra = _script(folder, projector=projector, base=base, with_code=trust_remote_code)
    if kind not in _WRITTEN_BY_CONVERTER and script != _CONVERT_MODEL:
        raise InvalidRequestError(f"an adapter is written as f32, f16, bf16 or q8_0, not {weights!r}")
    converter = _converter_folder()
    _require_packages()

    quantised = kind not in _WRITTEN_BY_CONVERTER
    share = _SHARE_OF_CONVERTING if quantised else 1.0
    with tempfile.TemporaryDirectory(prefix=".xllama-", dir=target.parent) as work:
        made = Path(work) / target.name
        arguments = [str(folder), "--outfile", str(made), "--outtype", "auto" if quantised else kind, *extra]
        if script == _CONVERT_ADAPTER and kind == "auto":
            arguments[arguments.index("auto")] = "f16"
        trust = _TRUSTED if trust_remote_code else ""
        _run(converter, script, [pre_tokenizer or "", trust], arguments, _scaled(progress, 0, share))
        written = _written_file(Path(work), made)
        if quantised:
            smaller = Path(work) / "quantised.gguf"
            quantize_model(written, smaller, kind, progress=_scaled(progress, share, 1))
            written = smaller
        os.replace(written, target)
    if progress is not None:
        progress(1.0)
    return target


_CONVERT_MODEL = "convert_hf_to_gguf.py"
_CONVERT_ADAPTER = "convert_lora_to_gguf.py"
_TRUSTED = "trust-remote-code"  # convert_process.py knows this word

# The files of a repository on the hub that the converter reads. Many repositories have their weights in several forms.
_HUB_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "README.md")
_HUB_CODE = ("*.py",)
_HUB_WEIGHTS = ("*model*.safetensors",)
_HUB_OLD_WEIGHTS = ("pytorch_model*.bin", "adapter_model.bin")


def _fitting(names: list[str], patterns: tuple[str, ...]) -> list[str]:
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def _files_but_weights(names: list[str]) -> list[str]:
    return _fitting(names, _HUB_FILES)


def _code_files(names: list[str]) -> list[str]:
    return _fitting(names, _HUB_CODE)


def _files_to_fetch(names: list[str]) -> list[str]:
    weights = _fitting(names, _HUB_WEIGHTS) or _fitting(names, _HUB_OLD_WEIGHTS)
    return [*_files_but_weights(names), *weights]


def _known_type(weights: str) -> str:
    by_name = {name.lower(): name for name in CONVERSION_TYPES}
    if (kind := by_name.get(weights.lower())) is None:
        known = ", ".join(CONVERSION_TYPES)
        raise InvalidRequestError(f"unknown type of weights {weights!r}; choose one of {known}")
    return kind


def _check_target(target: Path, overwrite: bool) -> None:
    if target.is_dir():
        raise InvalidRequestError(f"{target} is a folder; name the file to write, such as {target / 'model.gguf'}")
    if target.exists() and not overwrite:
        raise InvalidRequestError(f"{target} exists; choose another name or overwrite it")
    if not target.parent.is_dir():
        raise ModelNotFoundError(f"there is no folder {target.parent} to write {target.name} to")


def _source_folder(source: str | Path, *, with_code: bool = False, with_weights: bool = True) -> Path:
    if str(source).startswith("hf:"):
        model = hub.HubModel.parse(str(source))

        def choose(names: list[str]) -> list[str]:
            chosen = _files_to_fetch(names) if with_weights else _files_but_weights(names)
            return [*chosen, *(_code_files(names) if with_code else ())]

        return hub.fetch_repository(model, choose, progress=is_terminal(sys.stderr))
    folder = Path(source)
    if folder.suffix == ".gguf" and folder.is_file():
        raise InvalidRequestError(f"{folder} is a GGUF file already; `xllama models quantize` writes other weights")
    if not folder.is_dir():
        raise ModelNotFoundError(
            f"there is no folder {folder}; pass one with config.json and the weights, or hf:owner/repo"
        )
    return folder


def _script(folder: Path, *, projector: bool, base: str | Path | None, with_code: bool) -> tuple[str, list[str]]:
    if (folder / "adapter_config.json").is_file():
        if base is None:
            raise InvalidRequestError(
                f"{folder} holds a LoRA adapter; name the folder of its model with `base` (--base); "
                "its config.json and tokenizer are read"
            )
        return _CONVERT_ADAPTER, ["--base", str(_source_folder(base, with_code=with_code))]
    if not any((folder / name).is_file() for name in ("config.json", "params.json")):
        raise ModelNotFoundError(f"{folder} has no config.json; pass the folder that transformers would load")
    if _is_head(folder):
        if base is None:
            raise InvalidRequestError(
                f"{folder} holds a head that drafts for a model; name that model's folder with `base` (--base); "
                "its config.json and tokenizer are read"
            )
        return _CONVERT_MODEL, [
            "--target-model-dir",
            str(_source_folder(base, with_code=with_code, with_weights=False)),
        ]
    if base is not None:
        raise InvalidRequestError(
            f"`base` is for LoRA adapters and heads that draft for a model, but {folder} holds neither"
        )
    extra = []
    if (folder / "params.json").is_file() and not (folder / "config.json").is_file():
        extra.append("--mistral-format")
    if projector:
        extra.append("--mmproj")
    elif _has_dense_layers(folder):
        extra.append("--sentence-transformers-dense-modules")
    return _CONVERT_MODEL, extra


def _read(path: Path, otherwise: Any) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return otherwise


def _is_head(folder: Path) -> bool:
    """Return whether the folder holds a head, for which the converter also needs the model. It uses the same signs."""
    config = _read(folder / "config.json", {})
    names = " ".join(map(str, config.get("architectures") or ()))
    return "draft_vocab_size" in config or any(kind in names for kind in ("Eagle3", "DFlash", "DSpark"))


def _has_dense_layers(folder: Path) -> bool:
    modules = _read(folder / "modules.json", [])
    return any(str(module.get("type", "")).endswith("Dense") for module in modules)


def _converter_folder() -> Path:
    """Return the converter's folder: beside the native module if it is installed, or in the source of the build."""
    here = Path(__file__).parents[1]
    native = Path(str(_native.__file__)).parent
    for folder in (native / "_converter", here / "_converter", here.parent.parent / "vendor" / "llama.cpp"):
        if (folder / _CONVERT_MODEL).is_file():
            return folder
    raise UnsupportedFeatureError(
        "this installation of xllama came without llama.cpp's converter; install xllama again from its wheel or source"
    )


def _require_packages() -> None:
    missing = [package for module, package in _NEEDED.items() if not _is_installed(module)]
    if missing:
        raise UnsupportedFeatureError(
            f"converting needs {', '.join(missing)}, which are not installed: pip install 'xllama[convert]'"
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _scaled(progress: Callable[[float], object] | None, low: float, high: float) -> Callable[[float], object] | None:
    return None if progress is None else lambda done: progress(low + (high - low) * done)


def _run(
    converter: Path,
    script: str,
    settings: Sequence[str],
    arguments: Sequence[str],
    progress: Callable[[float], object] | None,
) -> None:
    python = interpreter_path("converting a model", "convert it with `xllama models convert` where Python is installed")
    program = Path(__file__).with_name("convert_process.py")
    environment = {**os.environ, "PYTHONUTF8": "1", "TOKENIZERS_PARALLELISM": "false"}
    lines: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
    failure: dict[str, Any] | None = None
    with subprocess.Popen(
        [python, str(program), str(converter), script, *settings, *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", errors="replace", env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        reader = threading.Thread(target=_follow_log, args=(process.stderr, lines), daemon=True)
        reader.start()
        try:
            for line in process.stdout:
                said = _parse(line)
                if "error" in said:
                    failure = said
                elif "progress" in said and progress is not None:
                    progress(float(said["progress"]))
        except BaseException:
            process.kill()
            raise
        finally:
            reader.join()
    if process.returncode != 0 or failure is not None:
        raise _error(failure or {}, process.returncode, list(lines))


def _follow_log(stream: IO[str], lines: collections.deque[str]) -> None:
    for line in stream:
        if text := line.rstrip():
            lines.append(text)
            logger.debug("converter: %s", text)


def _parse(line: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _error(failure: dict[str, Any], code: int, lines: list[str]) -> XllamaError:
    kind, message = failure.get("error"), str(failure.get("message") or "")
    if kind == "unsupported":
        return UnsupportedFeatureError(message)
    if kind == "pre_tokenizer":
        return UnsupportedFeatureError(
            "llama.cpp's converter does not recognise the model's tokenizer; if it splits text like a known tokenizer, "
            "name that one with `pre_tokenizer` (--pre-tokenizer), such as qwen2 or llama-bpe"
        )
    if kind == "import":
        return UnsupportedFeatureError(f"{message}; the converter needs that package for this model: install it")
    reason = message or "\n  ".join(lines) or f"exit code {code}"
    return ModelLoadError(f"llama.cpp's converter failed: {reason}")


def _written_file(folder: Path, expected: Path) -> Path:
    """Return the written file. Its name may differ: the converter puts a prefix before a projector's name."""
    if expected.is_file():
        return expected
    found = sorted(folder.glob("*.gguf"))
    if len(found) != 1:
        raise ModelLoadError(f"llama.cpp's converter wrote {len(found)} files, but one was expected")
    return found[0]
