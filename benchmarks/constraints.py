"""Measures how often constraints are right and how long they take, with MaskBench and JSON-Schema-Test-Suite.

Every schema is judged in a worker process, with two seconds for it and its instances. MaskBench's schemas are also
judged with ``Gbnf`` from llama.cpp's converter.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter
from pathlib import Path

from constraint_corpus import Case, Judge, Verdict, maskbench, suite
from settings import Settings
from tables import write_section

from xlc_core.models import catalog

DOCS = Path(__file__).parent.parent / "docs"
RESULTS = DOCS / "benchmarks-constraints.md"
CONFORMANCE = DOCS / "constraints-conformance.md"
DRAFTS = ("draft2020-12", "draft7")
ENGINES = {"llguidance": "`JsonSchema`", "gbnf": "`Gbnf` from llama.cpp's converter"}
GBNF_EVERY = 16  # only one of so many GBNF masks is timed, because each takes milliseconds
TITLE = """# Benchmark of constraints

Written by `benchmarks/constraints.py` and `benchmarks/constrained_speed.py`. Shares can be compared across machines,
times only within a run.
"""


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="PATH", help="maskbench-dev.jsonl.gz")
    parser.add_argument("--suite", type=Path, metavar="PATH", help="json-schema-test-suite.tar.gz")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N schemas of --data")
    parser.add_argument("--no-gbnf", action="store_true", help="leave out the column of Gbnf, which takes minutes")
    parser.add_argument("--no-masks", action="store_true", help="do not time masks")
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{RESULTS.name}")
    parser.add_argument("--list", action="store_true", help="print every case that is judged wrongly")
    return parser.parse_args(arguments)


def percent(part: int, whole: int) -> str:
    return f"{part / whole:.2%} ({part} of {whole})" if whole else "–"


def maskbench_column(verdicts: list[Verdict], masks: list[float]) -> list[str]:
    """Return the figures of one engine, in the order of the table's rows."""
    taken = [verdict for verdict in verdicts if verdict.accepted is not None]
    failures = Counter("hang" if verdict.failure == "hang" else "crash" for verdict in verdicts if verdict.failure)
    n_invalid = sum(not valid for verdict in taken for valid in verdict.case.valid)
    wrongly_in = sum(not verdict.case.valid[i] for verdict in taken for i in verdict.wrong)
    microseconds = sorted(second * 1e6 for second in masks)
    timed = ["–"] * 3
    if microseconds:
        p99 = microseconds[int(0.99 * (len(microseconds) - 1))]
        timed = [f"{statistics.fmean(microseconds):.0f} µs", f"{p99:.0f} µs", str(len(microseconds))]
    compiling = [verdict.compile_seconds * 1e3 for verdict in taken]
    return [
        percent(sum(verdict.right for verdict in verdicts), len(verdicts)),
        percent(len(taken), len(verdicts)),
        percent(sum(verdict.has_wrong(valid=False) for verdict in taken), len(taken)),
        percent(wrongly_in, n_invalid),
        percent(sum(verdict.has_wrong(valid=True) for verdict in taken), len(taken)),
        str(failures["crash"]),
        str(failures["hang"]),
        f"{statistics.median(compiling):.1f} ms" if compiling else "–",
        *timed,
    ]


MASKBENCH_ROWS = [
    ("schemas fully right: accepted, and every instance judged correctly", "≥ 83 %"),
    ("schemas accepted", ""),
    ("accepted schemas that accept an invalid instance", "≤ 0.2 %"),
    ("invalid instances that their accepted schema accepts", "≤ 0.2 %"),
    ("accepted schemas that refuse a valid instance", "≤ 1 %"),
    ("crashes", "0"),
    ("hangs: more than 2 s for a schema and its instances", "0"),
    ("compiling, median", ""),
    ("mask, mean", ""),
    ("mask, 99th percentile", ""),
    ("masks timed", ""),
]


def measure_maskbench(options: argparse.Namespace) -> str:
    cases = maskbench(options.data)[: options.limit]
    vocab = catalog.resolve("smollm2-135m-instruct").path
    columns = []
    engines = ["llguidance"] if options.no_gbnf else list(ENGINES)
    for engine in engines:
        judge = Judge(engine, vocab)
        try:
            verdicts = judged(judge, cases, options.list)
            masks: list[float] = []
            for verdict in verdicts:
                if verdict.accepted is not None and any(verdict.case.valid) and not options.no_masks:
                    masks += judge.masks(verdict.case, 1 if engine == "llguidance" else GBNF_EVERY)
        finally:
            judge.close()
        columns.append(maskbench_column(verdicts, masks))
    rows = ["| | " + " | ".join(ENGINES[engine] for engine in engines) + " | target of `JsonSchema` |"]
    rows.append("| --- " + "| ---: " * (len(engines) + 1) + "|")
    for i, (name, target) in enumerate(MASKBENCH_ROWS):
        rows.append(f"| {name} | " + " | ".join(column[i] for column in columns) + f" | {target} |")
    n_instances = sum(len(case.texts) for case in cases)
    return (
        f"## MaskBench\n\n{len(cases)} schemas, {n_instances} instances. Masks are computed for SmolLM2's 49,152 "
        f"tokens along the valid instances; with `Gbnf` only one in {GBNF_EVERY}, for about 0.3 s per schema. "
        "Both may accept an instance's properties in another order.\n\n"
        f"    python benchmarks/constraints.py --data maskbench-dev.jsonl.gz\n\n" + "\n".join(rows)
    )


def judged(judge: Judge, cases: list[Case], verbose: bool) -> list[Verdict]:
    verdicts = []
    for case in cases:
        verdict = judge.judge(case)
        verdicts.append(verdict)
        if verbose and (verdict.wrong or verdict.failure):
            which = [f"{'valid refused' if case.valid[i] else 'INVALID ACCEPTED'} #{i}" for i in verdict.wrong]
            print(f"  {case.name}: {verdict.failure or ', '.join(which)}", file=sys.stderr)
    return verdicts


def measure_suite(options: argparse.Namespace) -> str:
    rows = ["| | groups | right | refused | wrong | of these, invalid accepted |", "| --- " + "| ---: " * 5 + "|"]
    explained = " ".join(CONFORMANCE.read_text("utf-8").split()) if CONFORMANCE.exists() else ""
    judge = Judge("llguidance")
    try:
        for draft in DRAFTS:
            verdicts = judged(judge, list(suite(options.suite, draft)), options.list)
            for title, is_optional in ((draft, False), (f"{draft}, optional/", True)):
                part = [verdict for verdict in verdicts if verdict.case.name.startswith("optional/") is is_optional]
                wrong = [verdict for verdict in part if verdict.wrong or verdict.failure]
                accepting = [verdict for verdict in wrong if verdict.has_wrong(valid=False)]
                rows.append(
                    f"| {title} | {len(part)} | {sum(verdict.right for verdict in part)} | "
                    f"{sum(bool(verdict.refused) for verdict in part)} | {len(wrong)} | {len(accepting)} |"
                )
                for verdict in wrong:
                    if " ".join(verdict.case.name.split()) not in explained:
                        print(f"{draft}/{verdict.case.name}: not explained in {CONFORMANCE.name}", file=sys.stderr)
    finally:
        judge.close()
    return (
        "## JSON-Schema-Test-Suite\n\nA group is a schema with instances. The groups that are judged wrongly, and why: "
        f"[{CONFORMANCE.name}]({CONFORMANCE.name}).\n\n"
        "    python benchmarks/constraints.py --suite json-schema-test-suite.tar.gz\n\n" + "\n".join(rows)
    )


def main() -> None:
    options = parse(sys.argv[1:])
    sections = {"maskbench": (options.data, measure_maskbench), "suite": (options.suite, measure_suite)}
    for name, (path, measure) in sections.items():
        if path is None or not path.is_file():
            option = "--data" if name == "maskbench" else "--suite"
            reason = f"pass its file with {option}" if path is None else f"the file {path} does not exist"
            print(f"{name}: skipped, {reason}")
            continue
        text = measure(options)
        if name == "maskbench":
            text += f"\n\n{Settings().machine}"
        print(text)
        if options.write:
            if not RESULTS.exists():
                RESULTS.write_text(TITLE, "utf-8")
            write_section(RESULTS, name, text)


if __name__ == "__main__":
    main()
