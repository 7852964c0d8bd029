"""Compare how fast prompts are read, and tokens generated after a long one, with llama-bench, in one run, in turns.

The models are SmolLM2 and models with random weights in the shapes of published ones (random_models.py).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from measure import Contender, Peer, run_rounds, unavailable
from peers import UnavailableError, llama_cpp_programs
from random_models import SHAPES, random_model
from settings import Settings, add_common_options, compiled_for, settings_of
from tables import cells, disturbance, ratios, rounds_note, spread, write_section

from generation import LlamaBench
from xlc_core.models import catalog

SMOLLM2 = "smollm2-135m:Q8_0"
N_PROMPT = 512
N_CONTEXT = 1500
MODELS = (
    SMOLLM2,
    *(f"qwen3-0.6b:{type_}" for type_ in ("Q8_0", "F16", "BF16", "Q4_K_M", "Q5_K_M", "Q6_K", "Q4_0")),
    *(f"llama-3.2-1b:{type_}" for type_ in ("Q8_0", "BF16", "Q4_K_M")),
    *(f"granite-3.1-1b-a400m:{type_}" for type_ in ("Q8_0", "Q4_K_M")),
)
# Expected ratios to llama-bench for prompts, by type of weights; 1.3 for the others.
EXPECTED = {"Q8_0": 2.0, "F16": 1.8, "BF16": 1.8}


def parse(arguments: list[str]) -> tuple[argparse.Namespace, Settings]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, 5)
    parser.add_argument("--llama-bench", type=Path, metavar="PATH", help="an existing build of llama-bench")
    parser.add_argument(
        "--models", nargs="*", default=MODELS, metavar="SHAPE:TYPE",
        help=f"{SMOLLM2}, or shapes ({', '.join(SHAPES)}) and types of weights (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--section", default="prompts", help="its name in the document (default: %(default)s)")
    options = parser.parse_args(arguments)
    changes = {"n_tokens": 16 if options.quick else 48, "llama_bench": options.llama_bench}
    return options, settings_of(options, arguments, "prompts.py", **changes)


def measure(model: Path, settings: Settings, programs: Path | None, no_bench: str) -> list[Contender]:
    """Return the four rows of a model: reading and generating, llama-bench's and ours.

    Args:
        model: its file.
        settings: how to measure.
        programs: the folder of llama.cpp's programs.
        no_bench: why there is not any.
    """
    raw = [unavailable("llama-bench", no_bench)] * 2
    if programs is not None:
        bench = LlamaBench(programs, model, settings.n_tokens, settings.n_threads)
        raw = [
            Contender("llama-bench", lambda: bench.read(N_PROMPT)),
            Contender("llama-bench", lambda: bench.generate(N_CONTEXT)),
        ]
    work: dict[str, Any] = {
        "model": str(model),
        "n_threads": settings.n_threads,
        "n_prompt": N_PROMPT,
        "n_context": N_CONTEXT,
        "n_tokens": settings.n_tokens,
    }
    ours = Peer("", "xllama_prompts", work, settings)
    contenders = [raw[0], ours.row("`Engine`, prompt", "read"), raw[1], ours.row("`Engine`, generation", "generate")]
    try:
        run_rounds(contenders, settings.n_rounds, settings.others_limit, settings.retries)
    finally:
        ours.close()
    return contenders


def models(options: argparse.Namespace) -> list[tuple[str, str, Path]]:
    """Return name, type and file of each model."""
    found = []
    for pair in options.models:
        name, _, type_ = pair.partition(":")
        if pair == SMOLLM2:
            found.append((name, type_, catalog.resolve("smollm2-135m-instruct").path))
        elif name in SHAPES and type_:
            found.append((name, type_, random_model(name, type_)))
        else:
            raise SystemExit(f"--models: {SMOLLM2}, or SHAPE:TYPE with a shape of {', '.join(SHAPES)}, got {pair!r}")
    return found


def run(options: argparse.Namespace, settings: Settings) -> str:
    """Measure, and return the section of the document."""
    programs: Path | None = None
    no_bench = ""
    try:
        programs = llama_cpp_programs(settings.llama_bench, ("llama-bench", "llama-batched-bench"))
    except UnavailableError as error:
        no_bench = str(error)
    head = ["model", "weights", "llama-bench, prompt", "`Engine`", "ratio", "expected"]
    head += ["llama-bench, generation", "`Engine`", "ratio"]
    rows = [head]
    everything: list[Contender] = []
    for name, type_, path in models(options):
        print(f"{name} {type_}", file=sys.stderr)
        contenders = measure(path, settings, programs, no_bench)
        everything += contenders
        raw_prompt, prompt, raw_generation, generation = contenders
        rows.append([name, type_, *_figures(raw_prompt, prompt), f"≥ {EXPECTED.get(type_, 1.3)}"])
        rows[-1] += _figures(raw_generation, generation)
    return f"""## Prompts, and generation after them: {compiled_for()}

Tokens per second, {settings.n_threads} threads: prompts of {N_PROMPT} tokens that are not cached, and
{settings.n_tokens} tokens generated after a prompt of {N_CONTEXT}. All models except SmolLM2 have random weights.
{settings.machine}

    {settings.command}

{rounds_note(settings.n_rounds)} llama-bench does not sample.

{cells(rows)}

{disturbance(everything)}
"""


def _figures(raw: Contender, ours: Contender) -> list[str]:
    texts = [f"skipped: {row.error}" if row.error else spread(row.figures("wall"), 1) for row in (raw, ours)]
    return [*texts, spread(ratios(ours, raw), 2)]


def main() -> None:
    options, settings = parse(sys.argv[1:])
    section = run(options, settings)
    print(section, flush=True)
    if options.write is not None:
        write_section(options.write, options.section, section)


if __name__ == "__main__":
    main()
