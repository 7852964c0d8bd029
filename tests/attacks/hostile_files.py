"""Runs hostile files in processes of their own and counts the outcomes. Also a program, for long runs:

PYTHONPATH=tests python -m attacks.hostile_files --seed 1 --minutes 10      # random changes
PYTHONPATH=tests python -m attacks.hostile_files --systematic               # each change of one thing, some hours
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from attacks import running
from attacks.gguf_mutations import random_variant, read_gguf, systematic_variants
from attacks.running import Case, Figures

TESTS = Path(__file__).parents[1]
MODELS = TESTS / "model_files"

GENERATORS = (
    "llama",
    "mixture-of-experts",
    "recurrent",
    "hybrid",
    "multi-token",
    "multi-token-hybrid",
    "gemma3-vision",
)
EMBEDDERS = (
    "bert", "xlm-roberta", "modern-bert", "nomic-bert", "jina-bert-v2", "qwen3", "llama",
)  # fmt: skip
RERANKERS = ("bert", "xlm-roberta", "modern-bert", "jina-bert-v2", "qwen3")
SOURCES: dict[str, tuple[str, ...]] = {
    "generator": GENERATORS,
    "embedder": (*(f"{name}-embedder" for name in EMBEDDERS), "embedding-gemma"),
    "embedder on llama.cpp": ("bert-embedder", "modern-bert-embedder", "nomic-bert-embedder"),
    "reranker": tuple(f"{name}-reranker" for name in RERANKERS),
    "projector": ("gemma3-vision-mmproj",),
    "adapter": ("llama-lora",),
    "eagle3": ("llama-eagle3",),
    "dflash": ("llama-dflash",),
    "dspark": ("llama-dspark",),
    "draft model": ("llama",),
    "estimate": ("llama", "bert-embedder", "multi-token"),
    "vocabulary": ("llama", "bert-embedder", "xlm-roberta-embedder", "modern-bert-embedder"),
    "quantize": ("llama", "mixture-of-experts"),
}
"""Files by the role in which they are opened."""


def run(cases: Sequence[Case]) -> Figures:
    """Open the file of each case."""
    return running.run(Path(__file__).with_name("open_files.py"), cases)


def name_of(case: Case) -> str:
    """Return what is changed, for a report."""
    variants = systematic_variants(read_gguf(Path(case["source"]).read_bytes()))
    number = case["variant"]
    variant = variants[number] if number >= 0 else random_variant(variants, -1 - number)
    return f"{case['role']}, {Path(case['source']).name} [{number}]: {variant.name}"


def report(figures: Figures) -> str:
    lines = [f"{figures.counts.total()} files: {dict(figures.counts)}"]
    lines += [f"{name_of(case)}\n    {text}" for case, text in figures.faults]
    return "\n".join(lines)


def case_of(role: str, source: str, variant: int) -> Case:
    return {"role": role, "source": source, "variant": variant}


def all_sources() -> Iterator[tuple[str, str]]:
    for role, names in SOURCES.items():
        for name in names:
            yield role, str(MODELS / f"{name}.gguf")


def systematic_cases(role: str, source: str, step: int = 1, first: int = 0) -> list[Case]:
    """Return each change of one thing in a file, or every ``step``-th of them."""
    n = len(systematic_variants(read_gguf(Path(source).read_bytes())))
    return [case_of(role, source, number) for number in range(first, n, step)]


def random_cases(role: str, source: str, seeds: Iterable[int]) -> list[Case]:
    """Return changes that the seeds decide."""
    return [case_of(role, source, -1 - seed) for seed in seeds]


def fuzz(seed: int, minutes: float, roles: Iterable[str]) -> Iterator[tuple[str, Figures]]:
    """Yield the figures of rounds of random changes, by role, until the time is over."""
    over = threading.Event()
    timer = threading.Timer(60 * minutes, over.set)
    timer.daemon = True
    timer.start()
    n_seeds = 25
    while not over.is_set():
        for role, source in all_sources():
            if role in roles and not over.is_set():
                yield role, run(random_cases(role, source, range(seed, seed + n_seeds)))
        seed += n_seeds


def sweep(first: int, step: int, roles: Iterable[str]) -> Iterator[tuple[str, Figures]]:
    """Yield the figures of the changes of one thing, by role."""
    for role, source in all_sources():
        if role in roles:
            yield role, run(systematic_cases(role, source, step, first))


def main() -> int:
    parser = argparse.ArgumentParser(description="Open hostile GGUF files and count the outcomes.")
    parser.add_argument("--seed", type=int, default=1, help="of the first file")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--systematic", action="store_true", help="each change of one thing instead of random changes")
    parser.add_argument("--step", type=int, default=1, help="with --systematic: every so many-th change")
    parser.add_argument("--first", type=int, default=0, help="with --step: the number of the first change")
    parser.add_argument("--roles", nargs="+", choices=SOURCES, default=list(SOURCES))
    asked = parser.parse_args()
    totals: dict[str, Counter[str]] = {}
    faults: list[tuple[Case, str]] = []
    rounds = (
        sweep(asked.first, asked.step, asked.roles)
        if asked.systematic
        else fuzz(asked.seed, asked.minutes, asked.roles)
    )
    for role, figures in rounds:
        totals.setdefault(role, Counter()).update(figures.counts)
        faults += figures.faults
        for fault in figures.faults:
            print(f"{name_of(fault[0])}\n    {fault[1]}", flush=True)
    print("| role | files | opened | refused | faults |\n| --- | --- | --- | --- | --- |")
    totals["all"] = sum(totals.values(), Counter())
    for role, counts in totals.items():
        n = counts.total()
        print(
            f"| {role} | {n} | {counts['opened']} | {counts['refused']} | {n - counts['opened'] - counts['refused']} |"
        )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
