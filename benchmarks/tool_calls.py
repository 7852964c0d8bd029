"""Measures whether the arguments of tool calls satisfy their schemas.

    python benchmarks/tool_calls.py --functions bfcl_eval-….whl --data maskbench-dev.jsonl.gz --write

The functions are those of the Berkeley Function-Calling Leaderboard (``pip download --no-deps bfcl-eval``). SmolLM2
must call one for each question; it is too small to answer well, so a call is valid only if nothing else is allowed.
MaskBench's schemas are judged as the parameters of a tool, and as ``JsonSchema``.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from constraint_corpus import Case, Judge, Verdict, maskbench
from jsonschema import Draft202012Validator
from tables import write_section

import xlc_core as xlc

RESULTS = Path(__file__).parent.parent / "docs" / "benchmarks-constraints.md"
SETS = {
    "simple": ("simple_python", "simple_java", "simple_javascript"),
    "multiple": ("multiple",),
    "parallel": ("parallel", "parallel_multiple"),
    "live": ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple"),
}
KINDS = {  # the leaderboard's names of types, which are those of Python, Java and JavaScript
    "dict": "object", "HashMap": "object", "Hashtable": "object", "tuple": "array", "list": "array", "Array": "array",
    "ArrayList": "array", "Queue": "array", "Stack": "array", "Set": "array", "float": "number", "double": "number",
    "long": "integer", "short": "integer", "byte": "integer", "Bigint": "integer", "int": "integer", "String": "string",
    "char": "string", "Boolean": "boolean", "bool": "boolean",
}  # fmt: skip
JSON_KINDS = {"array", "boolean", "integer", "null", "number", "object", "string"}


def to_schema(described: Any) -> Any:
    """Return the leaderboard's description of parameters as a JSON schema."""
    if isinstance(described, list):
        return [to_schema(part) for part in described]
    if not isinstance(described, dict):
        return described
    schema = {name: value if name in ("default", "enum") else to_schema(value) for name, value in described.items()}
    kind = described.get("type")
    if isinstance(kind, str):
        kind = KINDS.get(kind, kind)
        schema["type"] = kind
        if kind not in JSON_KINDS:  # "any"
            del schema["type"]
    for name in ("default", "optional", "format"):
        if not isinstance(schema.get(name), dict):
            schema.pop(name, None)
    if isinstance(schema.get("required"), bool):
        del schema["required"]
    return schema


def entries(wheel: Path, n: int) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Yield the set, the question and the functions of ``n`` entries, spread evenly over the sets."""
    with zipfile.ZipFile(wheel) as archive:
        for title, names in SETS.items():
            rows = []
            for name in names:
                text = archive.read(f"bfcl_eval/data/BFCL_v4_{name}.json").decode()
                rows += [json.loads(line) for line in text.splitlines() if line]
            share = -(-n // len(SETS))
            for row in rows[:: max(1, len(rows) // share)][:share]:
                question = row["question"][0][-1]["content"]
                tools = [
                    {**function, "name": function["name"], "parameters": to_schema(function["parameters"])}
                    for function in row["function"]
                ]
                yield title, question, tools


def measure_functions(options: argparse.Namespace) -> str:
    counts: dict[str, Counter[str]] = {title: Counter() for title in SETS}
    with xlc.Engine("smollm2-135m-instruct", n_ctx=8192, n_parallel=1) as engine:
        for title, question, tools in entries(options.functions, options.n):
            count = counts[title]
            count["entries"] += 1
            if count["entries"] % 20 == 0:
                print(f"  {title}: {dict(count)}", file=sys.stderr, flush=True)
            schemas = {tool["name"]: tool["parameters"] for tool in tools}
            try:
                answer = engine.chat(
                    question,
                    tools=[{name: tool[name] for name in ("name", "description", "parameters")} for tool in tools],
                    tool_choice="required",
                    parallel_tool_calls=title == "parallel",
                    temperature=0.0,
                    max_tokens=200,
                )
            except xlc.ConstraintError as error:
                count["refused"] += 1
                print(f"  {title}: {error}"[:300], file=sys.stderr)
                continue
            fits = bool(answer.tool_calls)
            for call in answer.tool_calls:
                count["calls"] += 1
                try:
                    fits &= call.name in schemas
                    Draft202012Validator(schemas[call.name]).validate(json.loads(call.arguments))
                except Exception as error:
                    fits = False
                    print(f"  {title}: {call}: {error}"[:500], file=sys.stderr)
            count["valid"] += fits
            count["cut off"] += answer.finish_reason == "length" and not fits
    rows = [
        "| set | entries | refused | calls | entries whose calls are all valid | |",
        "| --- " + "| ---: " * 4 + "| --- |",
    ]
    for title, count in counts.items():
        note = f"{count['cut off']} cut off at 200 tokens" if count["cut off"] else ""
        rows.append(
            f"| {title} | {count['entries']} | {count['refused']} | {count['calls']} | {count['valid']} | {note} |"
        )
    return (
        "## Calls of functions\n\nFunctions and questions of the Berkeley Function-Calling Leaderboard; SmolLM2-135M "
        "must call. A call is valid if its\ntool exists and `jsonschema` accepts its arguments.\n\n"
        f"    python benchmarks/tool_calls.py --n {options.n} --functions bfcl_eval-….whl\n\n" + "\n".join(rows)
    )


def measure_schemas(options: argparse.Namespace) -> str:
    cases = [case for case in maskbench(options.data)[: options.limit] if is_of_objects(case)]
    columns = []
    for engine in ("llguidance", "open tool", "tool"):
        judge = Judge(engine)
        try:
            columns.append(shares([judge.judge(case) for case in cases]))
        finally:
            judge.close()
    rows = [
        "| | `JsonSchema` | a tool's parameters, `additionalProperties: true` where nothing is said | as they are |",
        "| --- | ---: | ---: | ---: |",
    ]
    rows += [
        "| " + " | ".join([cells[0][0], *(figure for _, figure in cells)]) + " |"
        for cells in zip(*columns, strict=True)
    ]
    return (
        f"## MaskBench's schemas as tools\n\n{len(cases)} schemas of objects. Formats that are hints, which "
        "`JsonSchema` refuses, are dropped in tools.\nTools' objects get no properties beyond those that they list, "
        "unless their schema says so: the last column.\n\n"
        "    python benchmarks/tool_calls.py --data maskbench-dev.jsonl.gz\n\n" + "\n".join(rows)
    )


def is_of_objects(case: Case) -> bool:
    is_object = isinstance(case.schema, dict) and case.schema.get("type", "object") == "object"
    texts = [text for text, valid in zip(case.texts, case.valid, strict=True) if valid]
    return is_object and all(text.startswith("{") for text in texts)


def shares(verdicts: list[Verdict]) -> list[tuple[str, str]]:
    def share(n: int) -> str:
        return f"{n / len(verdicts):.2%}"

    return [
        ("right", share(sum(one.right for one in verdicts))),
        ("refused", share(sum(bool(one.refused) for one in verdicts))),
        ("an invalid instance is accepted", share(sum(one.has_wrong(valid=False) for one in verdicts))),
        ("a valid instance is refused", share(sum(one.has_wrong(valid=True) for one in verdicts))),
        ("crash or hang", share(sum(bool(one.failure) for one in verdicts))),
    ]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=Path, metavar="PATH", help="the wheel of bfcl-eval")
    parser.add_argument("--data", type=Path, metavar="PATH", help="maskbench-dev.jsonl.gz")
    parser.add_argument("--n", type=int, default=500, help="entries of --functions")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N schemas of --data")
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{RESULTS.name}")
    options = parser.parse_args(arguments)
    sections = []
    if options.functions:
        sections.append(("functions", measure_functions(options)))
    if options.data:
        sections.append(("maskbench-tools", measure_schemas(options)))
    for name, section in sections:
        print(section)
        if options.write:
            write_section(RESULTS, name, section)


if __name__ == "__main__":
    main(sys.argv[1:])
