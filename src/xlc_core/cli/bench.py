"""``xllama bench``: measures a model on this machine, and how much a setting gains."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from xlc_core.cli.output import new_table, readable_size, result_console

if TYPE_CHECKING:
    from xlc_core.benchmarking.speculation_report import SpeculationReport

__all__ = ["bench_app"]

bench_app = typer.Typer(help="Measure a model on this machine, and how much a setting gains.", no_args_is_help=True)


@bench_app.command()
def speed(
    model: Annotated[
        str | None,
        typer.Argument(help="A name of the catalog, hf:owner/repo[:quant-or-file], or a path; default: XLLAMA_MODEL."),
    ] = None,
    n_prompt: Annotated[int, typer.Option(min=1, help="Tokens of the prompt.")] = 512,
    n_predict: Annotated[int, typer.Option(min=1, help="Tokens of each answer.")] = 64,
    n_requests: Annotated[int, typer.Option(min=1, help="Requests that are generated together.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Number of repetitions.")] = 3,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads to compute with; default: all cores.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, vulkan, vulkan:1 …")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure how fast a model reads prompts, generates alone and several requests together, embeds, or ranks.

    Try:

        xllama bench speed smollm2-135m-instruct

        xllama bench speed all-minilm-l6-v2 --json
    """
    from rich.console import Console

    from xlc_core.benchmarking.speed import measure_speed  # loads llama.cpp

    with Console(stderr=True).status("opening the model") as status:
        report = measure_speed(
            model, n_prompt=n_prompt, n_predict=n_predict, n_requests=n_requests, rounds=rounds, n_threads=threads,
            device=device, progress=status.update,
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2))
        return
    console = result_console()
    size = readable_size(report.memory_bytes)
    console.print(f"{report.model} ({report.description}): open after {report.load_seconds:.1f} s, {size} of memory")
    table = new_table()
    for name in ("", "median", "least", "greatest", ""):
        table.add_column(name, no_wrap=True, justify="right" if name else "left")
    for one in report.figures:
        shown = (f"{value:.1f}" for value in (one.median, min(one.values), max(one.values)))
        table.add_row(one.name, *shown, one.unit)
    console.print(table)


@bench_app.command()
def speculation(
    model: Annotated[
        str | None,
        typer.Option(help="A name of the catalog, hf:owner/repo[:quant-or-file], or a path; default: XLLAMA_MODEL."),
    ] = None,
    draft: Annotated[str | None, typer.Option(help="A smaller model with the same vocabulary, or a head.")] = None,
    types: Annotated[
        str | None,
        typer.Option(
            help="Types by llama.cpp's names, with commas; default: n-grams, and the draft model if there is one."
        ),
    ] = None,
    prompts: Annotated[str, typer.Option(help="Sets of prompts, with commas.")] = "copy,prose",
    n_predict: Annotated[int, typer.Option(help="Tokens to generate for each prompt.")] = 128,
    rounds: Annotated[int, typer.Option(help="Number of repetitions.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads to compute with; default: all cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure acceptance, draft cost and verify cost, and recommend a speculation for this model, if one gains.

    Try:

        xllama bench speculation --model qwen3-4b --draft qwen3-0.6b
    """
    from rich.console import Console

    from xlc_core.benchmarking.speculation import measure_speculation  # loads llama.cpp

    with Console(stderr=True).status("opening the model") as status:
        report = measure_speculation(
            model, draft=draft, types=None if types is None else _split(types), prompts=_split(prompts),
            n_predict=n_predict, rounds=rounds, n_threads=threads, progress=lambda text: status.update(text),
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2))
    else:
        _print(report)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _print(report: SpeculationReport) -> None:
    from xlc_core.benchmarking.speculation_report import as_code

    console = result_console()
    speed = 1 / report.seconds_per_token
    console.print(
        f"{report.model}: {speed:.1f} tokens/s without speculation; {report.n_predict} tokens for each prompt"
    )
    costs = ", ".join(f"v({k:.3g}) = {cost:.2f}" for k, cost in report.verify_costs.measured)
    console.print(f"cost of a step over k tokens, as a multiple of one token: {costs or 'nothing could be drafted'}\n")
    table = new_table()
    for name in ("prompts", "setting"):
        table.add_column(name, no_wrap=True)
    for name in (
        "α",
        "γ",
        "c",
        "v(γ+1)",
        "drafted steps",
        "theory, drafted steps",
        "theory, all",
        "measured",
        "tokens/s",
    ):
        table.add_column(name, justify="right")
    for one in report.results:
        found = ["–"] * 7
        if one.draft_steps:
            found = [
                *(
                    f"{one.acceptance:.2f}",
                    f"{one.draft_length:.1f}",
                    f"{one.draft_cost:.2f}",
                    f"{one.verify_cost:.2f}",
                ),
                *(f"{one.coverage:.0%}", f"{one.theoretical_speedup:.2f}×", f"{one.expected_speedup:.2f}×"),
            ]
        table.add_row(one.prompts, as_code(one.setting), *found, f"{one.speedup:.2f}×", f"{one.tokens_per_second:.1f}")
    console.print(table)
    for name, reason in report.unavailable.items():
        console.print(f"{name}: not with this model: {reason}", soft_wrap=True, markup=False)
    console.print()
    for recommended in report.recommendations:
        advice = "no speculation"
        if recommended.setting is not None:
            advice = f"speculation={as_code(recommended.setting)}, {recommended.speedup:.2f}× as fast"
        console.print(f"for {recommended.prompts}: {advice}", soft_wrap=True, markup=False)
