"""The first inputs of the targets in C++, and the models that they open."""

from __future__ import annotations

import random
from pathlib import Path

from attacks.hostile_requests import GRAMMAR_PIECES
from helpers.tiny_media import RED, wav, write_mmproj
from helpers.tiny_models import write_byte_llama

__all__ = ["native_seeds", "write_models"]

MODELS = Path(__file__).parents[1] / "model_files"
TEMPLATES = Path(__file__).parents[2] / "vendor" / "llama.cpp" / "models" / "templates"
GRAMMARS = (
    r'root ::= "{" ws "\"a\":" ws value "}"' + '\nvalue ::= [0-9]{1,3} | "[" value? "]"\nws ::= [ \\t]*',
    'root ::= (a | b)+ # comment\na ::= "x"{2,} b?\nb ::= [^a-z\\x41-\\u0042] .',
)


def write_models(folder: Path) -> None:
    """Write a model, and a projector for it."""
    write_byte_llama(folder / "model.gguf")
    write_mmproj(folder / "projector.gguf", audio=True)


def native_seeds() -> dict[str, list[bytes]]:
    """Return the first inputs of each target."""
    chance = random.Random(1)
    soups = ["root ::= " + "".join(chance.choices(GRAMMAR_PIECES, k=12)) for _ in range(20)]
    grammars = [
        f"{text}\0{begin}".encode(errors="replace") for text in (*GRAMMARS, *soups) for begin in ("", '{"a": 1')
    ]
    templates = sorted(TEMPLATES.glob("*.jinja"), key=lambda path: path.stat().st_size)[:12]
    return {
        "native_gguf": [(MODELS / f"{name}.gguf").read_bytes()[:60_000] for name in ("llama-lora", "bert-embedder")],
        "native_gbnf": grammars,
        "native_ending": grammars,
        "native_template": [path.read_bytes() + b"\0Hello <tool_call>" for path in templates] + [b"\0Hello"],
        "native_media": [RED, wav(440, seconds=0.02)],
    }
