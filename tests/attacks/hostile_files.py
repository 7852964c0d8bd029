"""Runs hostile files in processes of their own and counts the outcomes. Also a program, for long runs:

python tests/attacks/hostile_files.py --seed 1 --minutes 10      # random changes
python tests/attacks/hostile_files.py --systematic               # each change of one thing, some hours
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).parents[1]
MODELS = TESTS / "model_files"
if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))

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


@dataclass(frozen=True)
class Case:
    role: str
    source: str
    variant: int

    def name(self) -> str:
        """Return what is changed, for a report."""
        from attacks.gguf_mutations import random_variant, read_gguf, systematic_variants

        variants = systematic_variants(read_gguf(Path(self.source).read_bytes()))
        variant = variants[self.variant] if self.variant >= 0 else random_variant(variants, -1 - self.variant)
        return f"{self.role}, {Path(self.source).name} [{self.variant}]: {variant.name}"


@dataclass
class Figures:
    """The outcomes of some cases. ``faults`` must be empty: signals, hangs, and errors that are not ours."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[Case, str]] = field(default_factory=list)

    def add(self, case: Case, outcome: str, text: str) -> None:
        self.counts[outcome] += 1
        if outcome not in ("opened", "refused"):
            self.faults.append((case, f"{outcome} {text}"))

    def report(self) -> str:
        lines = [f"{sum(self.counts.values())} files: {dict(self.counts)}"]
        lines += [f"{case.name()}\n    {text}" for case, text in self.faults]
        return "\n".join(lines)


def run(cases: Iterable[Case]) -> Figures:
    """Open the file of each case."""
    figures = Figures()
    left = list(cases)
    while left:
        done = 0
        for outcome, text in _survivors(left, figures):
            figures.add(left[done], outcome, text)
            done += 1
        left = left[done + 1 :] if done < len(left) else []
    return figures


def _survivors(cases: Sequence[Case], figures: Figures) -> Iterator[tuple[str, str]]:
    """Yield the outcomes of cases until one ends the process, and add that one to the figures."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    lines = "".join(json.dumps(vars(case)) + "\n" for case in cases)
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as errors:
        given.write(lines)
        given.seek(0)
        with subprocess.Popen(
            [sys.executable, str(TESTS / "attacks" / "open_files.py")],
            stdin=given, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            n_done = 0
            for line in process.stdout:
                outcome, text = json.loads(line)
                n_done += 1
                yield outcome, text
            code = process.wait()
        if n_done < len(cases):
            errors.seek(0)
            said = errors.read()
            hung = "Timeout (" in said
            how = "hang" if hung else signal.Signals(-code).name if code < 0 else f"exit {code}"
            figures.add(cases[n_done], how, said[-2000:])


def all_sources() -> Iterator[tuple[str, str]]:
    for role, names in SOURCES.items():
        for name in names:
            yield role, str(MODELS / f"{name}.gguf")


def systematic_cases(role: str, source: str, step: int = 1, first: int = 0) -> list[Case]:
    """Return each change of one thing in a file, or every ``step``-th of them."""
    from attacks.gguf_mutations import read_gguf, systematic_variants

    n = len(systematic_variants(read_gguf(Path(source).read_bytes())))
    return [Case(role, source, number) for number in range(first, n, step)]


def random_cases(role: str, source: str, seeds: Iterable[int]) -> list[Case]:
    """Return changes that the seeds decide."""
    return [Case(role, source, -1 - seed) for seed in seeds]


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


def sweep(step: int, roles: Iterable[str]) -> Iterator[tuple[str, Figures]]:
    """Yield the figures of the changes of one thing, by role."""
    for role, source in all_sources():
        if role in roles:
            yield role, run(systematic_cases(role, source, step))


def main() -> int:
    parser = argparse.ArgumentParser(description="Open hostile GGUF files and count the outcomes.")
    parser.add_argument("--seed", type=int, default=1, help="of the first file")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--systematic", action="store_true", help="each change of one thing instead of random changes")
    parser.add_argument("--step", type=int, default=1, help="with --systematic: every so many-th change")
    parser.add_argument("--roles", nargs="+", choices=SOURCES, default=list(SOURCES))
    asked = parser.parse_args()
    totals: dict[str, Counter[str]] = {}
    faults: list[tuple[Case, str]] = []
    rounds = sweep(asked.step, asked.roles) if asked.systematic else fuzz(asked.seed, asked.minutes, asked.roles)
    for role, figures in rounds:
        totals.setdefault(role, Counter()).update(figures.counts)
        faults += figures.faults
        for fault in figures.faults:
            print(f"{fault[0].name()}\n    {fault[1]}", flush=True)
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
