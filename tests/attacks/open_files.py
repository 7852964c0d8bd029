"""Opens hostile files, one after the other, in a process that they may end. ``hostile_files.py`` starts it.

It reads a line for each case from its input, ``{"role", "source", "variant"}``, and writes a line for each that it
survived, ``[outcome, text]``. A case that takes too long ends the process with the stacks of its threads.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import xlc_core as xlc
from attacks.gguf_mutations import Gguf, random_variant, read_gguf, systematic_variants
from helpers.sanitizers import SANITIZER, limit_memory
from helpers.tiny_media import RED
from xlc_core import _native

MODELS = Path(__file__).parents[1] / "model_files"
LLAMA = MODELS / "llama.gguf"
MEMORY = 6 << 30  # a file that asks for more than there is gets an error, and the machine is not harmed
SECONDS = 1200 if SANITIZER else 60  # a case takes some hundredths
OPTIONS: dict[str, Any] = {"n_ctx": 256, "n_parallel": 1, "n_threads": 2, "n_batch": 64, "n_ubatch": 64}
TEXTS = ["hello", "some words about nothing " * 3]


def generate(path: Path) -> None:
    with xlc.Engine(path, **OPTIONS) as engine:
        engine.complete("some words", max_tokens=2, temperature=0)
        engine.detokenize(engine.tokenize("words"))


def embed(path: Path) -> None:
    with xlc.Engine(path, n_threads=2) as engine:
        engine.embed(TEXTS)


def embed_with_llama_cpp(path: Path) -> None:
    with xlc.Engine(path, n_threads=2, encoder="llama.cpp") as engine:
        engine.embed(TEXTS)


def rerank(path: Path) -> None:
    with xlc.Engine(path, n_threads=2) as engine:
        engine.rerank("hello", TEXTS)


def see(path: Path) -> None:
    picture = xlc.ImagePart(data=RED)
    with xlc.Engine(MODELS / "gemma3-vision.gguf", mmproj=path, **OPTIONS) as engine:
        engine.chat([{"role": "user", "content": [picture, {"type": "text", "text": "what"}]}], max_tokens=2)


def adapt(path: Path) -> None:
    with xlc.Engine(LLAMA, lora=[path], **OPTIONS) as engine:
        engine.complete("some words", max_tokens=2, temperature=0)


def steer(path: Path) -> None:
    with xlc.Engine(LLAMA, control_vectors=[path], **OPTIONS) as engine:
        engine.complete("some words", max_tokens=2, temperature=0)


def draft(speculation: Callable[[Path], Any], path: Path) -> None:
    with xlc.Engine(LLAMA, speculation=speculation(path), **OPTIONS) as engine:
        engine.complete("some words", max_tokens=4, temperature=0)


def estimate(path: Path) -> None:
    xlc.Engine.estimate(path, **OPTIONS)


def read_vocabulary(path: Path) -> None:
    _native.VocabFile.open(str(path))


def quantize(path: Path) -> None:
    xlc.quantize_model(path, path.with_suffix(".quantized"), "Q8_0", overwrite=True)


ROLES: dict[str, Callable[[Path], None]] = {
    "generator": generate,
    "embedder": embed,
    "embedder on llama.cpp": embed_with_llama_cpp,
    "reranker": rerank,
    "projector": see,
    "adapter": adapt,
    "control vector": steer,
    "eagle3": lambda path: draft(xlc.Eagle3, path),
    "dflash": lambda path: draft(xlc.DFlash, path),
    "dspark": lambda path: draft(xlc.DSpark, path),
    "draft model": lambda path: draft(xlc.DraftModel, path),
    "estimate": estimate,
    "vocabulary": read_vocabulary,
    "quantize": quantize,
    "abort": lambda _: os.abort(),  # for the test of the tests
}


@cache
def source_of(path: str) -> Gguf:
    return read_gguf(Path(path).read_bytes())


@cache
def variants_of(path: str) -> list[Any]:
    return systematic_variants(source_of(path))


def content_of(case: dict[str, Any]) -> bytes:
    """Return the file of a case: ``variant`` is the number of a systematic one, or -1 - the seed of a random one."""
    number = case["variant"]
    variants = variants_of(case["source"])
    variant = variants[number] if number >= 0 else random_variant(variants, -1 - number)
    return bytes(variant.of(source_of(case["source"])))


def outcome(role: str, path: Path) -> tuple[str, str]:
    try:
        ROLES[role](path)
    except xlc.XllamaError as error:
        return "refused", f"{type(error).__name__}: {error}"
    except BaseException as error:
        return "foreign", f"{type(error).__name__}: {error}"
    return "opened", ""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_memory(MEMORY)
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="xllama-attack-") as folder:
        path = Path(folder) / "hostile.gguf"
        for line in sys.stdin:
            case = json.loads(line)
            path.write_bytes(content_of(case))
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            found = outcome(case["role"], path)
            faulthandler.cancel_dump_traceback_later()
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
