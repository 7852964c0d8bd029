"""Speculative decoding: compares Engine with llama-server for the same types and flags, and measures each type's gain.

benchmarks/README.md explains the measurements and how to read them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from measure import Contender, Peer, run_rounds, unavailable
from peers import CACHE, UnavailableError, llama_cpp_programs
from settings import Settings, add_common_options, settings_of
from tables import Column, cells, comparison, disturbance, ratios, spread, write_section

import xlc_core as xlc
from xlc_core.benchmarking.speculation import PROMPT_SETS, prompt_set
from xlc_core.benchmarking.speculation_report import as_code
from xlc_core.engine.opening import speculation_arguments
from xlc_core.models import catalog
from xlc_core.models.quantize import quantize_model

TARGET = 0.98
NONE = "no speculation"


def settings_to_measure(options: argparse.Namespace, draft: Path) -> dict[str, list[xlc.Speculation]]:
    """Return the settings by the name of their row; the first four are also measured with llama-server."""
    ngram: dict[str, Any] = {}
    if options.n_match is not None:
        ngram["n_match"] = options.n_match
    if options.n_max is not None:
        ngram["n_max"] = options.n_max
    least = {} if options.n_max is None else {"n_min": min(48, options.n_max)}
    kinds: list[xlc.Speculation] = [
        xlc.DraftModel(draft),
        xlc.Ngram("simple", **ngram),
        xlc.Ngram("mod", **ngram, **least),
        xlc.Ngram("map-k", **ngram),
        xlc.Ngram("map-k4v", **ngram),
        xlc.Ngram("cache"),
        xlc.Ngram("simple", n_match=4, n_max=6),  # short drafts, for processors
    ]
    rows: dict[str, list[xlc.Speculation]] = {NONE: []}
    for kind in kinds:
        rows[as_code(kind).replace(str(draft), draft.stem) if kind is kinds[0] else as_code(kind)] = [kind]
    return rows


def parse(arguments: list[str]) -> tuple[argparse.Namespace, Settings]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, 7)
    parser.add_argument("--llama-server", type=Path, metavar="PATH", help="an existing build of llama-server")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="default: %(default)s")
    parser.add_argument(
        "--draft-weights", default="Q4_0", help="weight type of the draft, a copy of the model (default: %(default)s)"
    )
    parser.add_argument("--prompts", choices=PROMPT_SETS, default="copy", help="default: %(default)s")
    parser.add_argument("--n-predict", type=int, default=128, help="tokens for each prompt (default: %(default)s)")
    parser.add_argument("--n-match", type=int, help="for the n-grams (default: llama.cpp's)")
    parser.add_argument("--n-max", type=int, help="for the n-grams (default: llama.cpp's)")
    options = parser.parse_args(arguments)
    n_tokens = 24 if options.quick else options.n_predict
    return options, settings_of(options, arguments, "speculation.py", n_tokens=n_tokens)


def accepted(contender: Contender) -> str:
    """Return how many of the drafted tokens were right, in the last round."""
    last = contender.rounds[-1] if contender.rounds else {}
    return f"{last['accepted']} of {last['drafted']}" if last.get("drafted") else ""


def same_text(baseline: Contender) -> Column:
    """Return a column that says whether all answers equal the baseline's."""
    expected = {round_["texts"] for round_ in baseline.rounds}

    def cell(contender: Contender) -> str:
        found = {round_["texts"] for round_ in contender.rounds}
        return "" if not (found and expected) else "yes" if found == expected and len(found) == 1 else "no"

    return "same text", cell


def server_comparison(pairs: list[tuple[str, Contender, Contender]]) -> str:
    """Return a table with a row for each type: llama-server, Engine, and their ratio."""
    rows = [["", "llama-server", "Engine", "Engine / llama-server", "expected", "accepted, both"]]
    for name, server, engine in pairs:
        error = server.error or engine.error
        if error:
            rows.append([name, f"skipped: {' '.join(error.split())[:200]}", "", "", "", ""])
            continue
        figures = [spread(one.figures("wall"), 1) for one in (server, engine)]
        counts = " / ".join(dict.fromkeys(text for one in (server, engine) if (text := accepted(one))))
        rows.append([name, *figures, spread(ratios(engine, server), 3), f"≥ {TARGET}", counts])
    return cells(rows)


def run(options: argparse.Namespace, settings: Settings) -> str:
    """Measure, and return the section of the document."""
    model = catalog.resolve(options.model)
    CACHE.mkdir(exist_ok=True)
    draft = CACHE / f"{model.name}-{options.draft_weights}.gguf"
    quantize_model(model.path, draft, options.draft_weights, overwrite=True)
    prompts = prompt_set(options.prompts)[: 1 if options.quick else None]
    with xlc.Engine(options.model, n_ctx=2048, n_parallel=1, progress=False, warmup=False) as engine:
        rendered = [engine.render_chat(prompt) if engine.info.has_chat_template else prompt for prompt in prompts]
        n_prompt = max(len(engine.tokenize(prompt, parse_special=True)) for prompt in rendered)
    rows = settings_to_measure(options, draft)
    names = list(rows)
    work: dict[str, Any] = {
        "model": str(model.path),
        "n_threads": settings.n_threads,
        "n_tokens": settings.n_tokens,
        "n_ctx": n_prompt + settings.n_tokens + 128,
        "prompts": rendered,
        "arguments": {
            name: speculation_arguments(xlc.EngineOptions(speculation=tuple(kinds))) for name, kinds in rows.items()
        },
    }
    ours = Peer("", "xllama_speculation", work, settings)
    if ours.worker is None:
        raise SystemExit(f"xllama itself does not run: {ours.error}")
    try:
        folder = llama_cpp_programs(options.llama_server, ("llama-server",))
        theirs = Peer("", "llama_server_speculation", {**work, "server": str(folder / "llama-server")}, settings)
        no_server = theirs.error
    except UnavailableError as error:
        theirs, no_server = None, str(error)
    engines = [ours.row(f"`{name}`" if rows[name] else name, name) for name in names]
    servers = [
        unavailable("llama-server", no_server) if theirs is None else theirs.row(f"llama-server, {name}", name)
        for name in names[:4]
    ]
    try:
        print("speculation", file=sys.stderr)
        # The two sides of a pair run one after the other, so that the machine drifts least between them.
        pairs = [one for pair in zip(servers, engines[:4], strict=True) for one in pair]
        run_rounds([*pairs, *engines[4:]], settings.n_rounds, settings.others_limit, settings.retries)
    finally:
        ours.close()
        if theirs is not None:
            theirs.close()
    beside = [(engine.name, server, engine) for server, engine in zip(servers, engines[:4], strict=True)]
    source = "copy from their prompt (edit, extract, quote)" if options.prompts == "copy" else "are free prose"
    return f"""## Speculative decoding

{model.name}, {settings.n_threads} threads; {len(prompts)} prompts whose answers {source},
{settings.n_tokens} tokens each with `ignore_eos`, greedy, one after the other. The draft model is a copy of the model
with {options.draft_weights} weights. {settings.machine}

    {settings.command}

Decode steps per second by llama.cpp's own timings on both sides. Engine and server are opened again for each
measurement, so that no type remembers an answer. Figures are medians over {settings.n_rounds} rounds (least–greatest);
ratios are taken round by round.

{server_comparison(beside)}

The gain of each type, with Engine alone:

{comparison(engines, "tokens/s", 1, columns=[("accepted", accepted), same_text(engines[0])])}

{best_ngram(engines)}{disturbance([*servers, *engines])}
"""


def best_ngram(engines: list[Contender]) -> str:
    """Return a sentence that names the n-grams with the largest gain."""
    gains = {engine.name: ratios(engine, engines[0]) for engine in engines if "Ngram" in engine.name and engine.rounds}
    if not gains or not engines[0].rounds:
        return ""
    name = max(gains, key=lambda one: sorted(gains[one])[len(gains[one]) // 2])
    return f"The best n-grams are {name}: {spread(gains[name], 2)} times the speed without speculation.\n\n"


def main() -> None:
    options, settings = parse(sys.argv[1:])
    section = run(options, settings)
    print(section, flush=True)
    if options.write is not None:
        write_section(options.write, "speculation", section)


if __name__ == "__main__":
    main()
