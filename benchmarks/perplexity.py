"""Compares the perplexity of a fixed text: computed by our kernels, and by llama.cpp's own products and attention.

The text is the examples' corpus, in pieces, and the model SmolLM2-135M, with weights of several types. What both should
give is the perplexity of a file with the same weights as float32, for which no activation is rounded.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from peers import CACHE, HERE
from settings import written_command
from tables import cells, write_section

from xlc_core import _native
from xlc_core.models import catalog
from xlc_core.models.quantize import quantize_model

MODEL = "smollm2-135m-instruct"
TYPES = ("Q8_0", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0")
MOST = 0.001  # expected relative difference of our kernels
KERNELS = ("none", "avx2", "avx512_vnni")


def perplexity(model: Path, kernels: str) -> float:
    """Return the perplexity that these kernels give, in a process of their own."""
    command = [sys.executable, str(HERE / "workers" / "xllama_perplexity.py"), str(model)]
    environment = {**os.environ, "XLLAMA_KERNELS": kernels}
    result = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return float(json.loads(result.stdout)["perplexity"])


def file_of(type_: str) -> Path:
    """Return the model's file with weights of a type, written once from the original's."""
    original = catalog.resolve(MODEL).path
    if type_ == "Q8_0":
        return original
    CACHE.mkdir(exist_ok=True)
    path = CACHE / f"{MODEL}-{type_}.gguf"
    if not path.exists():
        quantize_model(original, path, type_)
    return path


def as_float32(path: Path) -> Path:
    """Return a file with the same weights as float32, written once."""
    whole = CACHE / f"{path.stem}-as-F32.gguf"
    if not whole.exists():
        quantize_model(path, whole, "F32")
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", nargs="*", default=TYPES, help="types of weights (default: %(default)s)")
    parser.add_argument("--write", type=Path, metavar="PATH", help="put the table into this document")
    options = parser.parse_args()
    best = _native.best_kernels()
    kernels = KERNELS[: KERNELS.index(best or "none") + 1]
    rows = [["weights", "as float32", "llama.cpp", *kernels[1:], "expected of ours"]]
    for type_ in options.types:
        exact = perplexity(as_float32(file_of(type_)), "none")
        found = [perplexity(file_of(type_), name) for name in kernels]
        print(type_, exact, found, file=sys.stderr, flush=True)
        cell = [f"{figure:.4f} ({figure / exact - 1:+.3%})" for figure in found]
        rows.append([type_, f"{exact:.4f}", *cell, f"within {MOST:.1%}"])
    section = f"""## Perplexity

SmolLM2-135M, 16 pieces of 500 words of the examples' corpus: by llama.cpp's own products and attention
(`XLLAMA_KERNELS=none`), and by our kernels. In brackets: the distance to the perplexity of the same weights as float32.

    {written_command(sys.argv[1:], "perplexity.py")}

{cells(rows)}
"""
    print(section, flush=True)
    if options.write is not None:
        write_section(options.write, "perplexity", section)


if __name__ == "__main__":
    main()
